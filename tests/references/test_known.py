"""Fits of problems whose solution was there before they were."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jlogreg import Params, Status, fit_many
from tests.helpers import (
    SHAPE,
    WIDE,
    assert_close,
    cost_and_gradient,
    newton,
    newton_cg,
)
from tests.oracles.numpy_fit import gradient_slack, numpy_hessian, params_slack
from tests.references.known import known, least_norm

SOME = settings(max_examples=settings.default.max_examples // 4)
seeds = st.integers(0, 2**32 - 1)

n, _ = WIDE
MIXED = np.where(np.arange(n) < 2, 0.0, 0.1).reshape(-1, 1)  # two are not penalised
CASES = {
    "long, no penalty": (SHAPE, np.zeros((3, 1))),
    "long, a penalty": (SHAPE, np.full((3, 1), 0.1)),
    "long, penalties": (SHAPE, np.array([[0.0], [0.5], [0.01]])),
    "wide, a penalty": (WIDE, 0.1),
    "wide, penalties": (WIDE, MIXED),
}
BY_GRADIENTS = ["long, penalties", "wide, a penalty"]  # each compiles again


def drawn(case, seed):
    """Return a problem of this case, with its solution as params."""
    shape, l2 = CASES[case]
    random = np.random.default_rng(seed)
    return known(random.standard_normal(shape), l2, random)


def assert_found(found, due, inexact=False):
    """Assert that a fit converged to the known solution."""
    assert found.status == Status.CONVERGED
    within = params_slack(due, due.params, inexact)
    assert_close(found.params.w, due.params.w, within.w)
    assert_close(found.params.b, due.params.b, within.b)


@pytest.mark.parametrize("case", CASES)
@SOME
@given(seeds)
def test_a_known_solution_has_no_gradient_and_is_found(case, seed):
    problem = drawn(case, seed)
    _, slope = cost_and_gradient(problem.params, problem)
    within = gradient_slack(problem, problem.params)
    assert_close(np.vstack(slope), np.zeros_like(within), within)
    far = Params(*(np.zeros_like(leaf) for leaf in problem.params))
    assert_found(newton(problem._replace(params=far)), problem)
    if case in BY_GRADIENTS:
        assert_found(newton_cg(problem._replace(params=far)), problem, inexact=True)


@pytest.mark.parametrize("shape", [SHAPE, WIDE])
@settings(max_examples=5)
@given(seeds)
def test_known_solutions_are_found_together(shape, seed):
    """Rows of labels, weights, offsets and penalties of their own over one X."""
    random = np.random.default_rng(seed)
    X = random.standard_normal(shape)
    l2 = np.array([[1.0], [0.1], [0.01], [0.1]])
    rows = [known(X, penalty, random) for penalty in l2[:, 0]]
    Y, weight, offset = (
        np.vstack([getattr(row, name) for row in rows])
        for name in ("y", "weight", "offset")
    )
    found = fit_many(X, Y, weight=weight, offset=offset, l2=l2, tol=2**-26)
    for k, row in enumerate(rows):
        assert_found(jax.tree.map(lambda leaf, k=k: np.asarray(leaf)[k], found), row)


@pytest.mark.parametrize("solver", [newton, newton_cg], ids=["newton", "newton_cg"])
def test_of_many_solutions_none_is_called_the_one(solver):
    """With more features than samples and no penalty any logits can be had."""
    random = np.random.default_rng(1)
    problem = known(random.standard_normal(WIDE), 0.0, random)
    far = Params(*(np.zeros_like(leaf) for leaf in problem.params))
    assert solver(problem._replace(params=far)).status == Status.SINGULAR


@SOME
@given(seeds)
def test_a_small_penalty_finds_the_shortest_solution(seed):
    """To first order in l2 it is l2 H^-1 w away, in the span of the samples."""
    random = np.random.default_rng(seed)
    problem = known(random.standard_normal(WIDE) / 4, 0.0, random)
    z = problem.params.w.T @ problem.X + problem.params.b
    l2 = 1e-8
    due = problem._replace(params=least_norm(problem.X, z), l2=np.asarray(l2))
    start = Params(*(np.zeros_like(leaf) for leaf in due.params))
    found = newton(due._replace(params=start))
    assert found.status == Status.CONVERGED
    H = numpy_hessian(due, due.params)
    pull = np.vstack([l2 * due.params.w, [[0.0]]])
    away = np.linalg.solve(H, pull)
    size = np.linalg.norm(away)
    within = np.vstack(params_slack(due, due.params)) + size / 100
    assert np.all(within < 1e-4)
    assert_close(np.vstack(found.params), np.vstack(due.params) - away, within)


@pytest.mark.parametrize("case", ["long, a penalty", "wide, penalties"])
def test_a_wrong_solution_is_noticed(case):
    problem = drawn(case, seed=1)
    found = newton(problem)
    assert_found(found, problem)
    moved = Params(w=problem.params.w * (1 + 1e-9), b=problem.params.b)
    with pytest.raises(AssertionError, match="too far"):
        assert_found(found, problem._replace(params=moved))
