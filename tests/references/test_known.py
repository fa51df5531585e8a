"""Fits of problems that are built from their solution."""

import numpy as np
import pytest
from hypothesis import given, settings

import jlogreg as jl
from jlogreg import Params, Status
from tests.helpers import (
    SHAPE,
    WIDE,
    assert_close,
    cost_and_gradient,
    entry,
    newton,
    newton_cg,
    seeds,
)
from tests.oracles.numpy_fit import (
    assert_minimum,
    gradient_slack,
    numpy_hessian,
    params_slack,
)
from tests.references.known import known, least_norm

SOME = settings(max_examples=settings.default.max_examples // 4)

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


def at_zero(problem):
    """Return the problem at parameters of 0."""
    zero = Params(*(np.zeros_like(leaf) for leaf in problem.params))
    return problem._replace(params=zero)


@pytest.mark.parametrize("case", CASES)
@SOME
@given(seeds)
def test_a_known_solution_has_no_gradient_and_is_found(case, seed):
    problem = drawn(case, seed)
    _, slope = cost_and_gradient(problem.params, problem)
    within = gradient_slack(problem, problem.params)
    assert_close(np.vstack(slope), np.zeros_like(within), within)
    start = at_zero(problem)
    assert_minimum(newton(start), problem, problem.params)
    if case in BY_GRADIENTS:
        assert_minimum(newton_cg(start), problem, problem.params, inexact=True)


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
    results = jl.fit_many(X, Y, weight=weight, offset=offset, l2=l2, tol=2**-26)
    for k, row in enumerate(rows):
        assert_minimum(entry(results, k), row, row.params)


@pytest.mark.parametrize("solver", [newton, newton_cg], ids=["newton", "newton_cg"])
def test_of_many_solutions_none_is_called_the_one(solver):
    """With more features than samples and no penalty any logits can be had."""
    random = np.random.default_rng(1)
    problem = known(random.standard_normal(WIDE), 0.0, random)
    assert solver(at_zero(problem)).status == Status.SINGULAR


@SOME
@given(seeds)
def test_a_small_penalty_finds_the_shortest_solution(seed):
    """To first order in l2 it is l2 H^-1 w away, in the span of the samples."""
    random = np.random.default_rng(seed)
    problem = known(random.standard_normal(WIDE) / 4, 0.0, random)
    z = problem.params.w.T @ problem.X + problem.params.b
    l2 = 1e-8
    due = problem._replace(params=least_norm(problem.X, z), l2=np.asarray(l2))
    found = newton(at_zero(due))
    assert found.status == Status.CONVERGED
    H = numpy_hessian(due, due.params)
    pull = np.vstack([l2 * due.params.w, [[0.0]]])
    away = np.linalg.solve(H, pull)
    size = np.linalg.norm(away)
    within = np.vstack(params_slack(due, due.params)) + size / 100
    assert np.all(within < 1e-4)
    assert_close(np.vstack(found.params), np.vstack(due.params) - away, within)
