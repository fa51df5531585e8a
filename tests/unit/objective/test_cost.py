"""Cost, weights, offsets and penalties, by hand and by what they mean."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import loops
from tests.helpers import assert_close, make_problem

X = jnp.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
Y = jnp.array([[1.0, 0.0, 1.0]])
PARAMS = jl.Params(w=jnp.array([[0.5], [-1.0]]), b=jnp.array([[0.25]]))
EPS = np.finfo(float).eps


def by_hand(z, y):
    return np.log(1 + np.exp(z)) - y * z


def test_cost_by_hand():
    z = np.array([0.5 - 0.5 + 0.25, 1.0 + 0.25, -0.5 - 3.0 + 0.25])
    due = by_hand(z, np.asarray(Y)[0]).mean()
    assert_close(jl.cost(PARAMS, X, Y), due, 16 * EPS)
    assert_close(jl.cost(PARAMS, X, Y, l2=0.5), due + 0.25 * 1.25, 16 * EPS)
    column = jnp.array([[2.0], [4.0]])
    assert_close(jl.cost(PARAMS, X, Y, l2=column), due + 0.25 + 2, 16 * EPS)


def test_gradient_by_hand():
    z = np.array([[0.25, 1.25, -3.25]])
    dz = 1 / (1 + np.exp(-z)) - np.asarray(Y)
    found = jl.gradient(PARAMS, X, Y, l2=2.0)
    assert_close(found.w, np.asarray(X) @ dz.T / 3 + 2 * PARAMS.w, 16 * EPS)
    assert_close(found.b, [[dz.mean()]], 16 * EPS)


def test_cost_at_zero_is_log_2_whatever_the_data():
    for seed in range(3):
        problem = make_problem((5, 64), np.float64, seed=seed)
        assert_close(
            jl.cost(jl.init_params(5), problem.X, problem.y), np.log(2), 4 * EPS
        )


def test_the_results_have_the_shapes_of_the_contract():
    J, slope = jl.value_and_gradient(PARAMS, X, Y)
    assert J.shape == ()
    assert isinstance(slope, jl.Params)
    assert (slope.w.shape, slope.b.shape) == ((2, 1), (1, 1))
    assert jl.hessian(PARAMS, X, Y).shape == (3, 3)
    product = jl.hessian_vector(PARAMS, PARAMS, X, Y)
    assert (product.w.shape, product.b.shape) == ((2, 1), (1, 1))


COLUMNS = jnp.array([0, 0, 2])
SAME = {
    "absent options are ones and zeros": (
        *(16, (PARAMS, X, Y), {}),
        {"weight": jnp.ones((1, 3)), "offset": jnp.zeros((1, 3)), "l2": 0.0},
    ),
    "a weight of 2 is the sample twice, and 0 leaves it out": (
        *(64, (PARAMS, X[:, COLUMNS], Y[:, COLUMNS]), {"l2": 0.3}),
        {"weight": jnp.array([[2.0, 0.0, 1.0]]), "l2": 0.3},
    ),
    "an offset of b is b": (
        *(64, (PARAMS, X, Y), {}),
        {"params": PARAMS._replace(b=jnp.zeros((1, 1))), "offset": 0.25 + 0 * Y},
    ),
}


@pytest.mark.parametrize("law", SAME)
@pytest.mark.parametrize(
    "function", [jl.cost, jl.gradient, jl.value_and_gradient, jl.hessian]
)
def test_options_mean_what_they_say(function, law):
    units, arguments, options, others = SAME[law]
    due = function(*arguments, **options)
    found = function(**{"params": PARAMS, "X": X, "y": Y, **others})
    jax.tree.map(lambda leaf, other: assert_close(leaf, other, units * EPS), found, due)


def test_the_penalty_of_the_hessian_leaves_b_out():
    column = jnp.array([[2.0], [4.0]])
    added = jl.hessian(PARAMS, X, Y, l2=column) - jl.hessian(PARAMS, X, Y)
    assert_close(added, np.diag([2.0, 4.0, 0.0]), 16 * EPS)
    product = jl.hessian_vector(PARAMS, PARAMS, X, Y, l2=column)
    plain = jl.hessian_vector(PARAMS, PARAMS, X, Y)
    assert_close(product.w - plain.w, column * PARAMS.w, 32 * EPS)
    assert_close(product.b, plain.b, 0)


def test_curvature_is_not_lost_at_misclassified_samples_far_out():
    """Where a (1 - a) is exactly 0 the Hessian must not be."""
    far = jl.Params(w=jnp.array([[-40.0]]), b=jnp.zeros((1, 1)))
    ones = jnp.ones((1, 1))
    due = float(np.exp(-40.0))
    for params in (far, far._replace(w=-far.w)):
        assert jl.hessian(params, ones, ones)[0, 0] == pytest.approx(
            due, rel=1e-15, abs=0
        )


@pytest.mark.parametrize("function", [jl.cost, jl.gradient, jl.value_and_gradient])
def test_the_loops_know_every_option(function):
    same = getattr(loops, function.__name__)
    options = {
        "weight": jnp.array([[2.0, 0.5, 1.0]]),
        "offset": jnp.array([[0.1, -0.2, 0.3]]),
        "l2": jnp.array([[2.0], [4.0]]),
    }
    for chosen in ({}, options, {"l2": 0.5}):
        found, due = (f(PARAMS, X, Y, **chosen) for f in (function, same))
        jax.tree.map(
            lambda leaf, other: assert_close(leaf, other, 64 * EPS), found, due
        )
        assert {np.asarray(leaf).dtype for leaf in jax.tree.leaves(due)} == {Y.dtype}


def test_the_loop_of_the_dot_product():
    u, v = np.array([[1.0], [2.0], [3.0]]), np.array([[4.0], [-5.0], [6.0]])
    assert loops.dot(u, v) == 12


def test_the_data_stay_as_they_are():
    arrays = [np.array(array) for array in (PARAMS.w, PARAMS.b, X, Y)]
    copies = [array.copy() for array in arrays]
    w, b, x, y = arrays
    jl.value_and_gradient(jl.Params(w, b), x, y)
    loops.value_and_gradient(jl.Params(w, b), x, y)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("scale", [5e-308, 1e-30, 1e30, 8e307])
def test_the_scale_of_the_weights_decides_nothing(scale):
    weight = np.array([[1.0, 2.0, 0.5]])
    due = jl.value_and_gradient(PARAMS, X, Y, weight=weight)
    found = jl.value_and_gradient(PARAMS, X, Y, weight=weight * scale)
    close = partial(np.testing.assert_allclose, rtol=1e-14)
    jax.tree.map(close, found, due)


def test_no_penalty_is_no_penalty_even_where_the_square_overflows():
    params = jl.init_params(2)._replace(w=jnp.array([[1e200], [-1e200]]))
    tiny = np.full((2, 3), 1e-200)
    assert np.isclose(jl.cost(params, tiny, Y), np.log(2), rtol=1e-14)
    costs = jl.gradient_descent(params, tiny, Y, learning_rate=0.1, steps=9).costs
    assert np.allclose(costs, np.log(2), atol=0.2)
