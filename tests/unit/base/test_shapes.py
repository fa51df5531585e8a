"""Images become columns in C order."""

import jax
import numpy as np
import pytest

import jlogreg as jl


@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 3, 2, 3), (1, 1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, bool])
def test_flatten_images_runs_down_each_column_in_c_order(shape, dtype):
    images = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    columns = jl.flatten_images(images)
    assert columns.shape == (np.prod(shape[1:]), shape[0])
    assert columns.dtype == dtype
    for i, image in enumerate(images):
        np.testing.assert_array_equal(columns[:, i], list(image.flat))
    np.testing.assert_array_equal(columns.T.reshape(shape), images)


@jax.enable_x64(False)
def test_without_x64_long_whole_numbers_are_refused():
    assert jl.flatten_images(np.ones((2, 3, 3))).dtype == np.float32
    assert jl.flatten_images(np.ones((2, 3, 3), np.uint8)).dtype == np.uint8
    with pytest.raises(
        jl.DtypeError, match="images has dtype int64, which JAX would cut"
    ):
        jl.flatten_images(np.full((2, 3, 3), 2**40))
