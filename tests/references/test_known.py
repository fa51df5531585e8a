"""Fits of problems that are built from their solution: no solver is asked for it.

At the minimum the residuals d = y - a, weighted by v, cancel along every feature that
is not penalized and along the bias, and bear the penalty along the others:

    sum(v d) = 0,    sum(v d x_j) = l2_j w_j sum(v)    for every feature j.

Read from right to left that is a recipe: draw residuals which cancel where they must,
then each penalized weight is what the second equation says, the other parameters are
free, and the labels are y = a + d. Residuals small enough keep them between 0 and 1.
"""

import numpy as np
import pytest
from hypothesis import given, settings

from jlogreg import Params, Status
from tests.helpers import (
    SHAPE,
    WIDE,
    Problem,
    assert_close,
    cost_and_gradient,
    newton,
    newton_cg,
    seeds,
)
from tests.oracles.numpy_fit import assert_minimum, gradient_slack

SOME = settings(max_examples=settings.default.max_examples // 4)

n, _ = WIDE
MIXED = np.where(np.arange(n) < 2, 0.0, 0.1).reshape(-1, 1)  # two are not penalized
CASES = {
    "long, no penalty": (SHAPE, np.zeros((3, 1))),
    "long, a penalty": (SHAPE, np.full((3, 1), 0.1)),
    "long, penalties": (SHAPE, np.array([[0.0], [0.5], [0.01]])),
    "wide, a penalty": (WIDE, 0.1),
    "wide, penalties": (WIDE, MIXED),
}
BY_GRADIENTS = ["long, penalties", "wide, a penalty"]  # each compiles again


def known(X, l2, random):
    """Return a problem on X (n, m), penalized by l2, at its minimum.

    The minimum is the only one if no other parameters that are not penalized have the
    same logits.
    """
    n, m = X.shape
    ridge = np.broadcast_to(np.asarray(l2, float), (n, 1))
    free = ridge == 0
    weight = random.choice([0.5, 1.0, 2.0, 3.0], (1, m))
    offset = random.standard_normal((1, m))
    own = random.choice([-1.0, 1.0], (n, 1)) * random.uniform(0.5, 1.5, (n, 1))
    b = random.standard_normal((1, 1))
    pull = cancelling(np.vstack([X[free[:, 0]], np.ones((1, m))]), random) / 2
    while True:
        borne = X @ pull.T / weight.sum()  # pull is v d
        w = np.where(free, own, borne / np.where(free, 1.0, ridge))
        z = w.T @ X + b + offset
        y = np.exp(-np.logaddexp(0, -z)) + pull / weight
        if y.min() >= 0 and y.max() <= 1:
            return Problem(Params(w=w, b=b), X, y, weight, offset, np.asarray(l2))
        pull = pull / 2


def cancelling(rows, random):
    """Return a row orthogonal to these, largest entry 1; 0 where they span all."""
    k, m = rows.shape
    if k >= m:
        return np.zeros((1, m))
    basis = np.linalg.qr(rows.T, mode="complete")[0][:, k:]
    row = (basis @ random.standard_normal((m - k, 1))).T
    return row / np.abs(row).max()


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
    slope = np.vstack(cost_and_gradient(problem.params, problem)[1])
    assert_close(slope, 0 * slope, gradient_slack(problem, problem.params))
    start = at_zero(problem)
    assert_minimum(newton(start), problem, problem.params)
    if case in BY_GRADIENTS:
        assert_minimum(newton_cg(start), problem, problem.params, inexact=True)


@pytest.mark.parametrize("solver", [newton, newton_cg], ids=["newton", "newton_cg"])
def test_of_many_solutions_none_is_called_the_one(solver):
    """With more features than samples and no penalty any logits can be had."""
    random = np.random.default_rng(1)
    problem = known(random.standard_normal(WIDE), 0.0, random)
    assert solver(at_zero(problem)).status == Status.SINGULAR
