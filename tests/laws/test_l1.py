"""Laws of fits with an L1 penalty, against coordinate descent in NumPy."""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jlogreg as jl
from jlogreg import Status
from tests.helpers import EPS, entry, seeds, stack
from tests.oracles.coordinate_descent import lasso_cost, lasso_minimum, optimality

FEW = settings(max_examples=settings.default.max_examples // 4)
# More samples than features, and fewer.
SHAPES = [(3, 20), (12, 10)]


class Problem(NamedTuple):
    """Hold the arguments of a fit, with penalties (n, 1)."""

    X: np.ndarray
    y: np.ndarray
    l1: np.ndarray
    l2: np.ndarray
    weight: np.ndarray
    offset: np.ndarray


def _fit(problem, max_steps=100):
    rest = problem._asdict()
    X, y = rest.pop("X"), rest.pop("y")
    return jl.fit(X, y, max_steps=max_steps, **rest)


fit = jax.jit(_fit)
mapped = jax.jit(jax.vmap(_fit, in_axes=(Problem(None, 0, 0, 0, 0, 0),)))


@jax.jit
def subgradient(problem, params):
    """Return the subgradient of least norm, and the gradient without l1."""
    given = problem._asdict()
    least = jl.subgradient(params, **given)
    del given["l1"]
    return least, jl.gradient(params, **given)


l1_max = jax.jit(lambda X, y, **rest: jl.l1_max(X, y, **rest))


@st.composite
def problems(draw, shapes=SHAPES, dtype=float, elastic=None):
    """Draw a problem that has one minimum."""
    (n, m), random = draw(st.sampled_from(shapes)), np.random.default_rng(draw(seeds))
    X = random.standard_normal((n, m))
    hazard = draw(st.sampled_from(["none", "correlated", "constant", "far", "units"]))
    if hazard == "correlated":
        X = 0.2 * X + random.standard_normal((1, m))
    if hazard == "constant":
        X[1] = 3
    if hazard == "far":
        X += 1000 * random.standard_normal((n, 1))
    weight = random.choice([0.0, 1.0, 2.0, 0.5], (1, m))
    weight[0, :2] = 1
    y = (random.random((1, m)) < 0.4) * 1.0
    if draw(st.booleans()):
        y = random.random((1, m))
    y[0, :2] = 0, 1
    offset = random.normal(size=(1, m)) * draw(st.sampled_from([0, 1, 8]))
    l1 = 10 ** random.uniform(-3, -0.5) * random.choice([1, 2.5], (n, 1))
    elastic = draw(st.booleans()) if elastic is None else elastic
    l2 = np.full((n, 1), 10 ** random.uniform(-3, 0) if elastic else 0.0)
    if hazard == "units":
        unit = 10.0 ** random.integers(-8, 9, (n, 1))
        X, l1, l2 = X * unit, l1 * unit, l2 * unit**2
    return Problem(*(np.asarray(a, dtype) for a in (X, y, l1, l2, weight, offset)))


def theta_of(found):
    return np.append(np.ravel(found.params.w), np.ravel(found.params.b)).astype(float)


def oracle(function, problem, *first):
    return function(*first, *(np.asarray(leaf, float) for leaf in problem))


def cost_of(problem, theta):
    return oracle(lasso_cost, problem, theta)


def gradient_slack(problem, dtype=float):
    """Return what rounding, and the last step, leave of each gradient (n + 1,).

    A logit of size up to 60 is off by its roundings, and the last Newton step by tol^2
    over 20 (`gradient_slack` of the smooth fits).
    """
    eps = float(np.finfo(dtype).eps)
    share = (problem.weight / problem.weight.sum()).astype(float)
    X = np.vstack([problem.X, np.ones_like(problem.y)]).astype(float)
    sizes = 60 + np.abs(problem.offset).max()
    far = np.abs(X).max(axis=1)
    return (share @ np.abs(X).T)[0] * eps * (sizes + 8 * len(X) + 10) + far * eps * 8


@settings(max_examples=settings.default.max_examples // 12)
@given(problems())
def test_a_fit_is_the_minimum_that_coordinate_descent_finds(problem):
    found = fit(problem)
    assert found.status == Status.CONVERGED
    theta, expected = theta_of(found), oracle(lasso_minimum, problem)
    J, least = cost_of(problem, theta), cost_of(problem, expected)
    np.testing.assert_allclose(found.cost, J, rtol=1e-13)
    assert found.gap <= 1e-14 * (1 + J) + 1e-13
    assert J - least <= 1e-13 * (1 + J)
    # In the units of each feature.
    sizes = np.append(np.abs(problem.X).max(axis=1), 1.0)
    logits = (theta - expected)[:-1] @ problem.X + (theta - expected)[-1]
    assert (
        np.abs(logits[problem.weight[0] > 0]) <= 1e-6 * (1 + np.abs(theta) @ sizes)
    ).all()


@given(problems())
def test_zero_is_a_subgradient_at_the_end_of_each_fit(problem):
    found = fit(problem)
    assert found.status == Status.CONVERGED
    left = oracle(optimality, problem, theta_of(found))
    assert (left <= 20 * gradient_slack(problem)).all()


@given(problems(dtype=np.float32, shapes=SHAPES[:1]))
def test_in_float32(problem):
    found = fit(problem)
    assert found.status == Status.CONVERGED
    J = cost_of(problem, theta_of(found))
    least = fit(Problem(*(np.asarray(leaf, float) for leaf in problem))).cost
    eps = float(np.finfo(np.float32).eps)
    assert J - least <= 100 * eps * (1 + J)


@FEW
@given(problems(), st.integers(0, 5))
def test_the_gap_bounds_how_far_the_cost_is_above_its_minimum(problem, steps):
    """At any point that is not too far, whether the fit has converged or not."""
    found, end = fit(problem, steps), fit(problem)
    J = cost_of(problem, theta_of(found))
    above = J - cost_of(problem, theta_of(end))
    # The dual point is feasible where a Newton step moves no logit by more than 1.
    if found.gap < 0.01:
        assert above <= found.gap + 1e-13 * (1 + J)


@FEW
@given(problems(), seeds)
def test_the_least_subgradient_is_zero_or_between_the_slopes(problem, seed):
    random = np.random.default_rng(seed)
    n = len(problem.X)
    w = random.standard_normal((n, 1)) * (random.random((n, 1)) < 0.5)
    w = w / np.abs(problem.X).max(axis=1, keepdims=True)
    params = jl.Params(w, random.standard_normal((1, 1)))
    found, smooth = subgradient(problem, params)
    slope = np.concatenate(found).ravel()
    due = oracle(optimality, problem, np.append(w, params.b))
    slack = gradient_slack(problem) + 4 * EPS * np.append(problem.l1, 0)
    assert (np.abs(np.abs(slope) - due) <= slack).all()
    # At 0 it has the sign of the gradient, elsewhere l1 is added to that.
    sign = np.append(np.where(w == 0, -np.sign(smooth.w), np.sign(w)), 0)
    moved = slope - np.concatenate(smooth).ravel()
    assert (sign * moved >= 0).all()
    assert (np.abs(moved) <= np.append(problem.l1, 0) + slack).all()


@FEW
@given(problems(elastic=False, shapes=SHAPES[:1]))
def test_with_a_penalty_that_vanishes_it_is_the_fit_without(problem):
    soft = problem._replace(y=0.1 + 0.8 * problem.y, l1=0 * problem.l1)
    ends = fit(soft), jl.fit(*soft[:2], weight=soft.weight, offset=soft.offset)
    assert ends[0].status == ends[1].status
    if ends[0].status == Status.CONVERGED:
        tiny = fit(soft._replace(l1=soft.l1 + 1e-300))
        assert tiny.status == Status.CONVERGED
        costs = [cost_of(soft, theta_of(found)) for found in (*ends, tiny)]
        np.testing.assert_allclose(costs, costs[0], rtol=1e-12)


@FEW
@given(problems(), st.booleans())
def test_from_l1_max_on_no_weight_is_left(problem, without_offset):
    if without_offset:
        problem = problem._replace(offset=0 * problem.offset)
    rows = {"weight": problem.weight, "offset": problem.offset}
    most = float(l1_max(problem.X, problem.y, **rows))
    ones = np.ones_like(problem.l1)
    above, below = (
        fit(problem._replace(l1=part * most * ones)) for part in (1 + 1e-9, 0.99)
    )
    assert above.status == below.status == Status.CONVERGED
    assert not above.params.w.any()
    assert below.params.w.any()
    if without_offset:
        a = 1 / (1 + np.exp(-np.asarray(above.params.b)))
        mean = (problem.weight * problem.y).sum() / problem.weight.sum()
        np.testing.assert_allclose(a, [[mean]], rtol=1e-9)


@FEW
@given(problems(), st.integers(-20, 20))
def test_a_feature_in_another_unit_is_a_penalty_in_the_other(problem, power):
    unit = np.ones_like(problem.l1)
    unit[0] = 2.0**power
    l1, l2 = problem.l1 * unit, problem.l2 * unit**2
    one, other = fit(problem), fit(problem._replace(X=problem.X * unit, l1=l1, l2=l2))
    assert one.status == other.status == Status.CONVERGED
    np.testing.assert_array_equal(one.params.w == 0, other.params.w == 0)
    size = np.abs(one.params.w * np.abs(problem.X).max(axis=1, keepdims=True)).sum()
    off = np.abs(one.params.w - other.params.w * unit)
    far = np.abs(problem.X).max(axis=1, keepdims=True)
    assert (off * far <= 1e-7 * (1 + size)).all()


@FEW
@given(problems(), seeds)
def test_order_does_not_matter(problem, seed):
    random = np.random.default_rng(seed)
    (n, m) = problem.X.shape
    rows, columns = random.permutation(n), random.permutation(m)
    X, y, l1, l2, weight, offset = problem
    moved = Problem(
        X[rows][:, columns],
        *(y[:, columns], l1[rows], l2[rows], weight[:, columns], offset[:, columns]),
    )
    one, other = fit(problem), fit(moved)
    assert one.status == other.status == Status.CONVERGED
    np.testing.assert_allclose(one.cost, other.cost, rtol=1e-12)
    w, v = one.params.w[rows], other.params.w
    far = np.abs(X[rows]).max(axis=1, keepdims=True)
    size = np.abs(w * far).sum()
    assert (np.abs(w - v) * far <= 1e-6 * (1 + size)).all()


@FEW
@given(st.lists(problems(shapes=SHAPES[:1]), min_size=4, max_size=4), seeds)
def test_a_problem_ends_alone_as_among_others(drawn, seed):
    """Among others that are separated, invalid, or have no penalty at all."""
    X = drawn[0].X
    each = [one._replace(X=X) for one in drawn]
    each[1] = each[1]._replace(y=np.ones_like(each[1].y))
    each[2] = each[2]._replace(l1=-each[2].l1)
    many = mapped(stack(*each)._replace(X=X))
    for k, problem in enumerate(each):
        alone, one = fit(problem), entry(many, k)
        assert alone.status == one.status
        if alone.status == Status.CONVERGED:
            np.testing.assert_allclose(alone.cost, one.cost, rtol=1e-12)
            np.testing.assert_array_equal(
                np.abs(alone.params.w) > 1e-7, np.abs(one.params.w) > 1e-7
            )
    assert many.status[1] == Status.SEPARATED
    assert many.status[2] == Status.BAD_INPUT
    assert np.isnan(many.params.w[2]).all()
    assert np.isnan(many.gap[2])


@FEW
@given(seeds, st.floats(0.01, 0.3))
def test_features_of_groups_are_soft_thresholded(seed, l1):
    """With one feature for each group, an orthogonal design, the minimum is known.

    sigmoid(w_j) - 1/2 is the group's mean of y - 1/2, the score at 0, soft-thresholded.
    """
    random = np.random.default_rng(seed)
    n, m = 4, 24
    X = (np.arange(m)[None] % n == np.arange(n)[:, None]) * 1.0
    y = random.random((1, m))
    found = without_bias(X, y, l1=l1)
    score = X @ (y - 0.5).T * n / m
    due = np.sign(score) * np.maximum(np.abs(score) - l1 * n, 0)
    assert found.status == Status.CONVERGED
    np.testing.assert_array_equal(found.params.w != 0, due != 0)
    a = 1 / (1 + np.exp(-np.asarray(found.params.w)))
    np.testing.assert_allclose(a - 0.5, due, atol=20 * EPS)
    assert not found.params.b.any()


without_bias = jax.jit(partial(jl.fit, bias=False))


@jax.jit
def along(problem, change, size):
    """Return the parameters and the cost with the data changed, and their change."""

    def of(problem):
        found = jl.fit(
            *problem[:2],
            **dict(zip(problem._fields[2:], problem[2:], strict=True)),
            tol=4 * EPS,
        )
        return (found.params, found.cost), found.status

    moved = jax.tree.map(lambda a, d: a + size * d, problem, change)
    ends = of(moved), jax.jvp(lambda p: of(p)[0], (moved,), (change,))[1]
    weights = jax.tree.map(lambda leaf: leaf * 0 + 0.7, ends[0][0])
    _, back = jax.vjp(lambda p: of(p)[0], moved)
    return *ends, back(weights)[0]


@pytest.mark.parametrize("name", Problem._fields)
def test_derivatives_are_those_of_differences(name):
    random = np.random.default_rng(5)
    n, m = 4, 30
    X = random.standard_normal((n, m))
    y = 0.2 + 0.6 * (random.random((1, m)) < 1 / (1 + np.exp(-2 * X[:1])))
    rows = random.uniform(0.5, 2, (1, m)), random.normal(size=(1, m))
    problem = Problem(X, y, np.full((n, 1), 0.06), np.full((n, 1), 0.02), *rows)
    change = jax.tree.map(np.zeros_like, problem)
    some = random.standard_normal(getattr(problem, name).shape)
    change = change._replace(**{name: some})
    ((here, status), tangent, pulled) = along(problem, change, 0.0)
    assert status == Status.CONVERGED
    zeros = np.asarray(here[0].w)[:, 0] == 0
    assert 0 < zeros.sum() < n
    h = 1e-5
    (plus, _), *_ = along(problem, change, h)
    (minus, _), *_ = along(problem, change, -h)
    for a, b, due in zip(*map(jax.tree.leaves, (plus, minus, tangent)), strict=True):
        difference = (np.asarray(a) - np.asarray(b)) / (2 * h)
        np.testing.assert_allclose(due, difference, rtol=1e-5, atol=1e-8)
    assert (np.asarray(tangent[0].w)[zeros] == 0).all()
    forward = 0.7 * sum(np.sum(leaf) for leaf in jax.tree.leaves(tangent))
    reverse = np.sum(getattr(pulled, name) * some)
    np.testing.assert_allclose(forward, reverse, rtol=1e-9, atol=1e-12)
