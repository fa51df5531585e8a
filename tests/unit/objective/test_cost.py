"""Cost, weights, offsets and penalties, by hand and by what they mean."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import loops
from tests.helpers import EPS, assert_close, leaf_pairs

X = jnp.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
Y = jnp.array([[1.0, 0.0, 1.0]])
PARAMS = jl.Params(w=jnp.array([[0.5], [-1.0]]), b=jnp.array([[0.25]]))
COLUMN = jnp.array([[2.0], [4.0]])


def assert_leaves_close(result, expected, roundings):
    for leaf, other in leaf_pairs(result, expected):
        assert_close(leaf, other, roundings * EPS)


def test_cost_by_hand():
    z, y = np.array([0.25, 1.25, -3.25]), np.asarray(Y)[0]
    expected = np.mean(np.log(1 + np.exp(z)) - y * z)
    assert_close(jl.cost(PARAMS, X, Y), expected, 16 * EPS)
    assert_close(jl.cost(PARAMS, X, Y, l2=0.5), expected + 0.25 * 1.25, 16 * EPS)
    assert_close(jl.cost(PARAMS, X, Y, l2=COLUMN), expected + 0.25 + 2, 16 * EPS)


@pytest.mark.parametrize("function", [jl.cost, jl.gradient, jl.value_and_gradient])
def test_the_loops_know_every_option(function):
    same = getattr(loops, function.__name__)
    options = {
        "weight": jnp.array([[2.0, 0.5, 1.0]]),
        "offset": jnp.array([[0.1, -0.2, 0.3]]),
        "l2": COLUMN,
    }
    for chosen in ({}, options, {"l2": 0.5}):
        result, expected = (f(PARAMS, X, Y, **chosen) for f in (function, same))
        assert_leaves_close(result, expected, 64)
        dtypes = {np.asarray(leaf).dtype for leaf in jax.tree.leaves(expected)}
        assert dtypes == {Y.dtype}
    u, v = np.array([[1.0], [2.0], [3.0]]), np.array([[4.0], [-5.0], [6.0]])
    assert loops.dot(u, v) == 12


@pytest.mark.parametrize("function", [jl.cost, jl.value_and_gradient, jl.hessian])
def test_absent_options_are_ones_and_zeros(function):
    options = {"weight": jnp.ones((1, 3)), "offset": jnp.zeros((1, 3)), "l2": 0.0}
    result = function(PARAMS, X, Y, **options)
    assert_leaves_close(result, function(PARAMS, X, Y), 16)


def test_the_penalty_of_the_hessian_leaves_b_out():
    plain, H = jl.hessian(PARAMS, X, Y), jl.hessian(PARAMS, X, Y, l2=COLUMN)
    assert_close(H - plain, np.diag([2.0, 4.0, 0.0]), 16 * EPS)
    for matrix, options in ((plain, {}), (H, {"l2": COLUMN})):
        product = jl.hessian_vector(PARAMS, PARAMS, X, Y, **options)
        assert_close(np.vstack(product), matrix @ np.vstack(PARAMS), 32 * EPS)


def test_curvature_is_not_lost_at_misclassified_samples_far_out():
    """Where a (1 - a) is exactly 0 the Hessian must not be."""
    far = jl.Params(w=jnp.array([[-40.0]]), b=jnp.zeros((1, 1)))
    ones, expected = jnp.ones((1, 1)), float(np.exp(-40.0))
    for params in (far, far._replace(w=-far.w)):
        assert_close(jl.hessian(params, ones, ones)[0, 0], expected, 1e-15 * expected)


@pytest.mark.parametrize("scale", [5e-308, 1e-30, 1e30, 8e307])
def test_the_scale_of_the_weights_decides_nothing(scale):
    weight = np.array([[1.0, 2.0, 0.5]])
    expected = jl.value_and_gradient(PARAMS, X, Y, weight=weight)
    result = jl.value_and_gradient(PARAMS, X, Y, weight=weight * scale)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-14), result, expected)


def test_no_penalty_is_no_penalty_even_where_the_square_overflows():
    params = jl.init_params(2)._replace(w=jnp.array([[1e200], [-1e200]]))
    tiny = np.full((2, 3), 1e-200)
    assert np.isclose(jl.cost(params, tiny, Y), np.log(2), rtol=1e-14)
    costs = jl.gradient_descent(params, tiny, Y, learning_rate=0.1, steps=9).costs
    assert np.allclose(costs, np.log(2), atol=0.2)
