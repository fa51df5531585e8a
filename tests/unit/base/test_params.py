"""Parameters of one model, and of K models side by side."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl


@pytest.mark.parametrize("dtype", [np.float32, np.float64, None])
def test_init_params_are_zeros(dtype):
    params = jl.init_params(3, dtype)
    assert isinstance(params, jl.Params)
    assert (params.w.shape, params.b.shape) == ((3, 1), (1, 1))
    assert params.w.dtype == params.b.dtype == (dtype or np.float64)
    assert not any(map(np.any, params))


def test_parameters_show_themselves():
    params = jl.Params(w=jnp.array([[1.5]]), b=jnp.array([[0.25]]))
    assert repr(params) == "Params(w=1.5 (1, 1), b=0.25 (1, 1))"
    rows = ("<th>w</th><td>1.5 (1, 1)</td>", "<th>b</th><td>0.25 (1, 1)</td>")
    assert all(row in params._repr_html_() for row in rows)


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
def test_stacked_models_are_columns(transform):
    """Of K models as fit_many and jax.vmap(fit) return them, all numbers different."""
    numbers = np.arange(9.0).reshape(3, 3, 1) / 7 - 1
    params = jl.Params(w=numbers[:, :2], b=numbers[:, 2:])
    result = transform(jl.stack)(params)
    assert (result.w.shape, result.b.shape) == ((2, 3), (3, 1))
    for k in range(3):
        np.testing.assert_array_equal(result.w[:, k], params.w[k, :, 0])
        np.testing.assert_array_equal(result.b[k], params.b[k, :, 0])
