"""The cost is convex, and the mean squared error of the probability is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import jlogreg as jl
from jlogreg.testing import Kind, check_convex
from tests.helpers import make_problem, problems, seeds, slack

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


def is_convex(f, case):
    """Return whether f lies below its chord between two points, with one feature."""
    seed, *ends = case
    problem = make_problem((1, 7), np.float64, seed=seed, l2=0.0)
    p, q = (jl.Params(np.full((1, 1), w), np.full((1, 1), b)) for w, b in ends)
    try:
        check_convex(lambda params: f(params, problem.X, problem.y), p, q)
    except AssertionError:
        return False
    return True


def test_squared_error_is_not_convex_by_a_counter_example_that_is_found():
    """The same inequality, asked of the squared error, has a counter-example."""
    point = st.tuples(*[st.integers(-8, 8).map(float)] * 2)
    result = find(
        st.tuples(st.integers(0, 20), point, point),
        lambda case: not is_convex(squared_cost, case),
        settings=settings(max_examples=2000, derandomize=True, database=None),
    )
    assert is_convex(compiled_cost, result)


def test_squared_error_is_not_convex_on_one_sample():
    """With x = y = 1, b = 0: (1 - sigmoid(w))^2 / 2 is concave for w < -log 2."""
    w, one = np.array([-8.0, -5.0, -2.0]), jnp.ones((1, 1))
    J = [squared_cost(jl.Params(w=one * at, b=0 * one), one, one) for at in w]
    assert pytest.approx(0.5 / (1 + np.exp(w)) ** 2, rel=1e-14) == J
    assert J[1] > (J[0] + J[2]) / 2 + 0.03
