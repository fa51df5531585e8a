"""The analytic gradient is the gradient, and the cost is convex.

By autodiff, loops and a complex step; the mean squared error is not convex.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import jlogreg as jl
from jlogreg import Params, loops
from jlogreg.testing import Kind, check_convex, check_gradient
from tests.helpers import (
    assert_close,
    assert_params_close,
    cost_and_gradient,
    hessian_slack,
    make_problem,
    problems,
    seeds,
    slack,
)

compiled_cost = jax.jit(jl.cost)
compiled_gradient = jax.jit(jl.gradient)
compiled_hessian = jax.jit(jl.hessian)
autodiff_hessian = jax.jit(jax.hessian(jl.cost))
compiled_product = jax.jit(jl.hessian_vector)


def textbook(problem):
    """Return the cost as NumPy writes it for complex parameters."""
    X, y, weight, offset, l2 = (np.asarray(array, float) for array in problem[1:])

    def J(params):
        w, b = params
        z = w.T @ X + b + offset
        losses = np.where(z.real > 0, (1 - y) * z, -y * z) + np.log1p(
            np.exp(np.where(z.real > 0, -z, z))
        )
        return np.sum(weight * losses) / weight.sum() + l2 * np.sum(w * w) / 2

    return J


@given(problems(hazards=list(Kind)))
def test_gradient_is_that_of_the_cost(problem):
    """Against autodiff and a complex step of the textbook's cost."""

    def at(function):
        return lambda params: function(params, *problem[1:3], **problem.options)

    within = Params(*slack(problem)[1:])
    formula = textbook(problem)
    f, slope = at(compiled_cost), at(compiled_gradient)
    check_gradient(f, problem.params, slope, formula=formula, within=within)


def assert_like_the_loops(problem):
    within = slack(problem)
    expected = loops.value_and_gradient(*problem.arguments, **problem.options)
    J, slope = cost_and_gradient(problem.params, problem)
    assert_close(J, expected[0], within.J)
    assert_params_close(slope, expected[1], within)
    J = compiled_cost(*problem.arguments, **problem.options)
    assert_close(J, expected[0], within.J)


@given(problems(hazards=list(Kind)))
def test_cost_and_gradient_equal_the_loops(problem):
    assert_like_the_loops(problem)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("hazard", Kind)
def test_cost_and_gradient_equal_the_loops_on_every_hazard(hazard, dtype):
    """Hypothesis draws hazards; this makes sure that none is ever left out."""
    for seed in range(3):
        assert_like_the_loops(make_problem((3, 20), dtype, hazard, seed))


@given(problems(hazards=list(Kind)))
def test_hessian_is_symmetric_and_positive_semidefinite(problem):
    H = np.asarray(compiled_hessian(*problem.arguments, **problem.options), float)
    n, m = problem.X.shape
    few = (n + m + 4) * float(np.finfo(problem.X.dtype).eps) * np.abs(H).sum(1).max()
    assert_close(H, H.T, 2 * few)
    assert np.linalg.eigvalsh((H + H.T) / 2).min() >= -few


@given(problems(), seeds)
def test_hessian_is_autodiff_of_the_cost_and_multiplies_a_vector(problem, seed):
    arguments, options = problem.arguments, problem.options
    H = np.asarray(compiled_hessian(*arguments, **options), float)
    rows = autodiff_hessian(*arguments, **options)
    n = problem.X.shape[0]
    expected = np.block(
        [
            [np.reshape(leaf, (-1, size)) for leaf, size in ((row.w, n), (row.b, 1))]
            for row in rows
        ]
    )
    assert_close(H, expected, hessian_slack(problem))
    random, dtype = np.random.default_rng(seed), problem.X.dtype
    vector = random.standard_normal((n + 1, 1)).astype(dtype)
    along = Params(vector[:n], vector[n:])
    result = compiled_product(problem.params, along, *arguments[1:], **options)
    X = np.vstack([np.abs(problem.X), np.ones((1, problem.X.shape[1]))]).astype(float)
    weight = np.asarray(problem.weight, float)
    size = (X * weight) @ X.T / weight.sum() / 4 + float(problem.l2)
    few = hessian_slack(problem) + 4 * (n + 1) * float(np.finfo(dtype).eps) * size
    assert_close(np.vstack(result), H @ vector, few @ np.abs(vector))


@given(problems(hazards=list(Kind)), seeds)
def test_cost_lies_below_its_chords(problem, seed):
    """Equation (14) of the derivation."""
    random = np.random.default_rng(seed)
    away = jax.tree.map(
        lambda leaf: leaf + 3 * random.standard_normal(leaf.shape).astype(leaf.dtype),
        problem.params,
    )

    def J(params):
        return compiled_cost(params, *problem[1:3], **problem.options)

    # A point between is rounded; along the segment J changes by at most the sum of |x|
    # times that, which slack counts as an error of the logits.
    def within(params):
        return slack(problem._replace(params=params)).J

    check_convex(J, problem.params, away, within=within)


@jax.jit
def squared_cost(params, X, y):
    return jl.squared_loss(jl.logits(params, X), y).mean()


def test_squared_error_is_not_convex():
    """With x = y = 1, b = 0: (1 - sigmoid(w))^2 / 2 is concave for w < -log 2."""
    one = jnp.ones((1, 1))
    for w in (-8.0, -5.0, -2.0):
        J = squared_cost(jl.Params(w * one, 0 * one), one, one)
        assert pytest.approx(0.5 / (1 + np.exp(w)) ** 2, rel=1e-14) == J
    ends = [jl.Params(w * one, 0 * one) for w in (-8.0, -2.0)]
    check_convex(lambda params: compiled_cost(params, one, one), *ends)
    with pytest.raises(AssertionError):
        check_convex(lambda params: squared_cost(params, one, one), *ends)
