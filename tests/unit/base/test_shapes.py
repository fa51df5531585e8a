"""Images become columns in C order."""

import jax
import jax.numpy as jnp
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


def test_a_row_for_each_class():
    labels = np.array([["b", None, "a", "c", "b"]], object)
    found = jl.one_against_rest(labels)
    assert found.classes.tolist() == [["a"], ["b"], ["c"]]
    nan = np.nan
    expected = [[0, nan, 1, 0, 0], [1, nan, 0, 0, 1], [0, nan, 0, 1, 0]]
    np.testing.assert_array_equal(found.Y, expected)
    numbers = jl.one_against_rest(jnp.array([[3.0, np.nan, 1.0]]), dtype=np.float32)
    assert numbers.Y.dtype == np.float32
    np.testing.assert_array_equal(numbers.classes, [[1.0], [3.0]])
    np.testing.assert_array_equal(numbers.Y, [[0, nan, 1], [1, nan, 0]])


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (["a", "b"], jl.DtypeError, r"^labels .* list: write np.array\(\[labels\]\)"),
        (np.array(["a", "b"]), jl.RankError, r"labels.reshape\(1, -1\) for a row"),
        (np.array([["a"], ["b"]]), jl.ShapeError, r"\(2, 1\), but must have .*\(1, m"),
        (np.empty((1, 0)), jl.ShapeError, "m at least 1"),
        (np.array([["a", 1]], object), jl.DtypeError, "classes of several types"),
        (np.array([["a", "a"]]), ValueError, "^labels has 1 classes, but must have 2"),
    ],
)
def test_labels_that_are_no_classes(labels, error, words):
    with pytest.raises(error, match=words):
        jl.one_against_rest(labels)
    with pytest.raises(jl.DtypeError, match=r"^dtype has dtype int"):
        jl.one_against_rest(np.array([["a", "b"]]), dtype=int)


def test_another_dtype_is_refused_with_the_cure():
    with pytest.raises(jl.DtypeError, match=r"pass dtype=jnp\.float32"):
        jl.one_against_rest(np.array([["a", "b"]], object), dtype=np.float16)
