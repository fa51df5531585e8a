"""The cost is convex, and the mean squared error of the probability is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import jlogreg as jl
from jlogreg.testing import Kind, check_convex
from tests.helpers import problems, seeds, slack

compiled_cost = jax.jit(jl.cost)
compiled_hessian = jax.jit(jl.hessian)


@jax.jit
def squared_cost(params, X, y):
    return jl.squared_loss(jl.logits(params, X), y).mean()


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


@given(problems(hazards=list(Kind)))
def test_hessian_is_symmetric_and_positive_semidefinite(problem):
    H = np.asarray(compiled_hessian(*problem.arguments, **problem.options), float)
    eps = float(np.finfo(problem.X.dtype).eps)
    size = np.abs(H).sum(axis=1).max()
    n, m = problem.X.shape
    assert np.abs(H - H.T).max() <= 2 * (m + 4) * eps * size
    assert np.linalg.eigvalsh((H + H.T) / 2).min() >= -(n + m + 4) * eps * size


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
