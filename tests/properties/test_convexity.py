"""The cost is convex, and the mean squared error of the probability is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from jlogreg import Params, cost, hessian, logits, squared_loss
from tests.problems import make_problem, problems, slack

compiled_cost = jax.jit(cost)
compiled_hessian = jax.jit(hessian)


@jax.jit
def squared_cost(params, X, y):
    return squared_loss(logits(params, X), y).mean()


def towards(problem, seed):
    """Return the ends of a segment through the parameters, and its middle."""
    random = np.random.default_rng(seed)
    away = jax.tree.map(
        lambda leaf: leaf + 3 * random.standard_normal(leaf.shape).astype(leaf.dtype),
        problem.params,
    )
    middle = jax.tree.map(lambda p, q: (p + q) / 2, problem.params, away)
    return problem.params, away, middle


@given(problems(), st.integers(0, 2**32 - 1))
def test_cost_lies_below_its_chords(problem, seed):
    """J((p + q) / 2) <= (J(p) + J(q)) / 2, equation (14) of the derivation."""
    points = towards(problem, seed)
    J = [compiled_cost(p, problem.X, problem.y, **problem.options) for p in points]
    within = sum(slack(problem._replace(params=p)).J for p in points)
    # The middle itself is rounded; along the segment J changes by at most the sum of
    # |x| times that, which slack counts as an error of the logits.
    assert float(J[2]) <= (float(J[0]) + float(J[1])) / 2 + within


@given(problems())
def test_hessian_is_symmetric_and_positive_semidefinite(problem):
    H = np.asarray(compiled_hessian(*problem.arguments, **problem.options), float)
    eps = float(np.finfo(problem.X.dtype).eps)
    size = np.abs(H).sum(axis=1).max()
    n, m = problem.X.shape
    assert np.abs(H - H.T).max() <= 2 * (m + 4) * eps * size
    assert np.linalg.eigvalsh((H + H.T) / 2).min() >= -(n + m + 4) * eps * size


def one_feature(seed, w, b):
    problem = make_problem((1, 7), np.float64, seed=seed, l2=0.0)
    point = Params(w=jnp.full((1, 1), float(w)), b=jnp.full((1, 1), float(b)))
    return problem._replace(params=point)


def excess_over_chord(f, case):
    """Return how far f at the middle of a segment exceeds the mean of its ends."""
    seed, p, q = case
    ends = [one_feature(seed, *p), one_feature(seed, *q)]
    middle = one_feature(seed, *(np.add(p, q) / 2))
    values = [float(f(x.params, x.X, x.y)) for x in (*ends, middle)]
    return values[2] - (values[0] + values[1]) / 2


point = st.tuples(st.integers(-8, 8), st.integers(-8, 8))
segments = st.tuples(st.integers(0, 20), point, point)


def test_squared_error_is_not_convex_by_a_counter_example_that_is_found():
    """The same inequality, asked of the squared error, has a counter-example."""
    found = find(
        segments,
        lambda case: excess_over_chord(squared_cost, case) > 1e-3,
        settings=settings(max_examples=2000, derandomize=True, database=None),
    )
    assert excess_over_chord(squared_cost, found) > 1e-3
    assert excess_over_chord(compiled_cost, found) <= 0


def test_squared_error_is_not_convex_on_one_sample():
    """With x = y = 1, b = 0: (1 - sigmoid(w))^2 / 2 is concave for w < -log 2."""
    X = y = jnp.ones((1, 1))
    J = [
        float(squared_cost(Params(w=jnp.full((1, 1), w), b=jnp.zeros((1, 1))), X, y))
        for w in (-8.0, -5.0, -2.0)
    ]
    due = [0.5 / (1 + np.exp(w)) ** 2 for w in (-8.0, -5.0, -2.0)]
    assert pytest.approx(due, rel=1e-14) == J
    assert J[1] > (J[0] + J[2]) / 2 + 0.03
