"""What holds of many fits in one call: each is the fit of its own problem, alone.

Of whatever batch, order and chunks it is part, and whatever its neighbours are.
"""

from functools import partial
from unittest import mock

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from jlogreg import (
    Newton,
    NewtonCG,
    Params,
    Status,
    bootstrap_weights,
    fit_many,
    fold_weights,
)
from jlogreg.batch import scheduler as many_module
from jlogreg.batch import setup as plan_module
from tests.helpers import EPS, TOL, Problem, assert_close, entry, fit_problem, slack
from tests.oracles.numpy_fit import assert_same_fit, numpy_hessian, params_slack

FEW = settings(max_examples=settings.default.max_examples // 8)
seeds = st.integers(0, 2**32 - 1)

# The solver and the shape: in the features, by the products of their pairs; without a
# Hessian, by the spectrum of the features, since penalties differ; in the span.
WAYS = {
    "newton": (Newton(), (3, 20)),
    "newton_cg": (NewtonCG(), (70, 90)),
    "span": (Newton(), (30, 6)),
}
GOOD = ["plain", "soft labels", "left out", "far start"]
BAD = ["label", "weight", "offset", "penalty", "no weight", "start"]

KINDS = [*GOOD, *GOOD, *BAD, "separated", "singular"]  # 16, so that one chunk holds all

alone_by = {
    way: jax.jit(partial(fit_problem, solver)) for way, (solver, _) in WAYS.items()
}
LANES = Problem(0, None, 0, 0, 0, 0)
mapped_newton = jax.jit(jax.vmap(partial(fit_problem, Newton()), in_axes=(LANES,)))


def problem_of(kind, X, random):
    """Return a problem of a kind on these features."""
    n, m = X.shape
    wide = m < 2 * n  # without a penalty there is no minimum
    params = Params(random.standard_normal((n, 1)), random.standard_normal((1, 1)))
    y = (random.random((1, m)) < 0.5) * 1.0
    y[0, :2] = 0, 1
    weight, offset = random.choice([0.5, 1, 2, 3], (1, m)), random.normal(size=(1, m))
    l2 = random.choice([0.01, 0.1, 1.0])
    if kind == "soft labels":
        y, l2 = random.uniform(0.1, 0.9, (1, m)), l2 if wide else 0.0
    if kind == "left out":
        out = np.arange(m) >= m - random.integers(1, 4)
        garbage = random.choice([np.nan, np.inf, -np.inf, 1e300])
        y, offset = np.where(out, garbage, y), np.where(out, garbage, offset)
        weight = np.where(out, 0.0, weight)
    if kind == "far start":
        params = jax.tree.map(lambda leaf: 1e3 * leaf, params)
    if kind == "separated":
        y, offset, l2 = (X[:1] > np.median(X[0])) * 1.0, 0 * offset, 0.0
    if kind == "singular":
        y, weight, l2 = 0 * y + 0.3, 1.0 * (np.arange(m)[None] < 2), 0.0
    place = (0, random.integers(m))
    if kind == "label":
        y[place] = random.choice([np.nan, -0.5, 2, np.inf])
    if kind == "weight":
        weight[place] = random.choice([np.nan, -1, np.inf])
    if kind == "offset":
        offset[place] = random.choice([np.nan, np.inf, -np.inf])
    if kind == "penalty":
        l2 = random.choice([np.nan, -1, np.inf])
    if kind == "no weight":
        weight = 0 * weight
    if kind == "start":
        params.w[random.integers(n)] = random.choice([np.nan, np.inf])
    return Problem(params, X, y, weight, offset, np.float64(l2))


def batch_of(problems):
    """Return problems that share their features as one, with a leading axis."""
    apart = [problem._replace(X=None) for problem in problems]
    batch = jax.tree.map(lambda *leaves: np.stack(leaves), *apart)
    return batch._replace(X=problems[0].X)


def drawn(way, seed):
    """Return problems of all kinds in some order, and a generator for more."""
    random = np.random.default_rng(seed)
    X = random.standard_normal(WAYS[way][1])
    kinds = random.permutation(KINDS)
    return [problem_of(kind, X, random) for kind in kinds], kinds, random


def alone(way, problems):
    found = [alone_by[way](problem) for problem in problems]
    return [jax.tree.map(np.asarray, one) for one in found]


def together(way, problems, closed=4):
    """Return the fits of all in one call, one by one.

    Chunks are four lanes wide at most, and are closed up to so few.
    """
    params, X, y, weight, offset, l2 = batch_of(problems)
    with (
        mock.patch.object(plan_module, "MAX_WIDTH", 4),
        mock.patch.object(many_module, "MIN_WIDTH", closed),
    ):
        found = fit_many(
            X,
            y[:, 0],
            weight=weight[:, 0],
            offset=offset[:, 0],
            l2=l2[:, None],
            init=params,
            solver=WAYS[way][0],
            tol=TOL,
        )
    return lanes_of(found, len(problems))


def lanes_of(found, count):
    found = jax.tree.map(np.asarray, found)
    return [entry(found, lane) for lane in range(count)]


def used(problem):
    """Return the problem with zeros where a weight leaves a sample out."""
    out = problem.weight == 0
    rows = {name: np.where(out, 0, getattr(problem, name)) for name in ("y", "offset")}
    return problem._replace(**rows)


def assert_same_end(found, due, problem, way):
    """Assert that a problem ended in the same way, and at the same point."""
    assert found.status == due.status, (Status(found.status), Status(due.status))
    if due.status == Status.CONVERGED:
        problem = used(problem)
        assert_same_fit(found, due, problem, inexact=way == "newton_cg")
        # What is left of the logits' error is squared in the cost.
        within = slack(problem._replace(params=due.params)).J
        assert_close(found.cost, due.cost, 2 * within + EPS)
    if due.status == Status.BAD_INPUT:
        assert all(np.isnan(leaf).all() for leaf in (*found.params, found.cost))


def assert_same_ends(found, due, problems, way):
    for one, other, problem in zip(found, due, problems, strict=True):
        assert_same_end(one, other, problem, way)


@pytest.mark.parametrize("way", WAYS)
@FEW
@given(seeds)
def test_a_problem_ends_alike_alone_and_in_any_company(way, seed):
    """In several chunks, some of all, in another order; in a vmap.

    The vmap of other solvers takes long to compile; it is tested by test_fit_inputs.py.
    """
    problems, kinds, random = drawn(way, seed)
    due, count = alone(way, problems), len(problems)
    for kind, one in zip(kinds, due, strict=True):
        assert (one.status == Status.BAD_INPUT) == (kind in BAD)
        assert (one.status == Status.SEPARATED) == (kind == "separated")
        assert (one.status == Status.SINGULAR) == (kind == "singular")
    if way == "newton":
        mapped = lanes_of(mapped_newton(batch_of(problems)), count)
        assert_same_ends(mapped, due, problems, way)
    some = random.permutation(count)[: random.integers(9, count)]
    problems, due = ([values[lane] for lane in some] for values in (problems, due))
    closed = 1 if way == "newton" else 4  # so does this
    assert_same_ends(together(way, problems, closed), due, problems, way)


@pytest.mark.parametrize("way", WAYS)
def test_the_comparison_notices_a_wrong_end(way):
    problems, kinds, _ = drawn(way, 1)
    due = alone(way, problems)
    assert_same_ends(due, due, problems, way)
    one, other = np.flatnonzero(kinds == "plain")[:2]
    bad = [*kinds].index("label")
    for wrong in (
        {one: due[other], other: due[one]},  # two lanes exchanged
        {one: due[one]._replace(cost=due[one].cost * (1 + 1e-9))},
        {one: due[one]._replace(status=np.int32(Status.MAX_STEPS))},
        {bad: due[bad]._replace(params=due[one].params)},
        {one: with_params(due[one], lambda leaf: leaf * (1 + 1e-6))},
    ):
        found = [wrong.get(lane, due[lane]) for lane in range(len(due))]
        with pytest.raises(AssertionError):
            assert_same_ends(found, due, problems, way)


def with_params(found, change):
    return found._replace(params=jax.tree.map(change, found.params))


def same_bits(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(leaf.tobytes() == same.tobytes() for leaf, same in pairs)


@pytest.mark.parametrize("way", WAYS)
@FEW
@given(seeds, st.sampled_from(GOOD), st.permutations(range(4)))
def test_a_bad_neighbour_changes_not_a_bit(way, seed, kind, order):
    """Nor does one that is separated or singular: a healthy one does the same."""
    random = np.random.default_rng(seed)
    X = random.standard_normal(WAYS[way][1])
    ill = random.choice([other for other in KINDS if other not in GOOD], 2)
    well = [problem_of(kind, X, random) for kind in ("plain", kind)]
    batches = [
        well + [problem_of(kind, X, random) for kind in kinds]
        for kinds in (ill, ["plain", "plain"])
    ]
    found, due = (
        together(way, [problems[lane] for lane in order]) for problems in batches
    )
    for lane, one, other in zip(order, found, due, strict=True):
        assert other.status == Status.CONVERGED
        assert same_bits(one, other) == (lane < 2)


def plain(X, y, l2, weight=None):
    """Return a problem without offset or start."""
    no, zero = np.zeros_like(y), Params(np.zeros((len(X), 1)), np.zeros((1, 1)))
    weight = no + 1 if weight is None else weight
    return Problem(zero, X, y, weight, no, np.float64(l2))


def plain_ones(seed, count):
    """Return problems with labels and penalties of their own."""
    random = np.random.default_rng(seed)
    X = random.standard_normal(WAYS["newton"][1])
    ys = (random.random((count, X.shape[1])) < 0.5) * 1.0
    l2s = random.choice([0.01, 1.0], count)
    return [plain(X, y[None], l2) for y, l2 in zip(ys, l2s, strict=True)]


def by_scikit_learn(problem):
    """Return its fit, and how far the gradient there says that it is at most."""
    X, y, n = problem.X, problem.y, len(problem.X)
    C = 1 / (problem.l2 * problem.weight.sum())
    model = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-10)
    model.fit(X.T, y[0])
    params = Params(model.coef_.T, model.intercept_[:, None])
    a = 1 / (1 + np.exp(-params.w.T @ X - params.b))
    slope = np.vstack([X @ (a - y).T / y.size + problem.l2 * params.w, (a - y).mean()])
    assert np.abs(slope).max() < 1e-9
    far = 2 * np.abs(np.linalg.inv(numpy_hessian(problem, params))) @ np.abs(slope)
    return params, Params(far[:n], far[n:])


@FEW
@given(seeds)
def test_a_row_of_labels_is_the_fit_of_scikit_learn(seed):
    problems = [problem for problem in plain_ones(seed, 16) if 0 < problem.y.mean() < 1]
    for found, problem in zip(together("newton", problems), problems, strict=True):
        assert found.status == Status.CONVERGED
        due, far = by_scikit_learn(problem)
        within = params_slack(problem, due)
        assert_close(found.params.w, due.w, far.w + 2 * within.w)
        assert_close(found.params.b, due.b, far.b + 2 * within.b)


@FEW
@given(seeds)
def test_a_row_of_weights_of_a_fold_is_the_fit_of_its_samples(seed):
    problems = plain_ones(seed, 5)
    folds = np.asarray(fold_weights(jax.random.key(seed), 20, 5, dtype=float))
    weighted = [
        problem._replace(weight=row[None])
        for problem, row in zip(problems, folds, strict=True)
    ]
    found = together("newton", weighted)
    parts = [
        plain(problem.X[:, row == 1], problem.y[:, row == 1], problem.l2)
        for problem, row in zip(problems, folds, strict=True)
    ]
    due = alone("newton", parts)
    assert_same_ends(found, due, parts, "newton")
    with pytest.raises(AssertionError):  # of another fold
        assert_same_ends(found[1:] + found[:1], due, parts, "newton")


@FEW
@given(seeds)
def test_a_row_of_whole_weights_is_the_fit_of_samples_given_so_often(seed):
    problems = plain_ones(seed, 4)
    drawn = np.asarray(bootstrap_weights(jax.random.key(seed), 20, 4, dtype=float))
    weighted = [
        problem._replace(weight=row[None])
        for problem, row in zip(problems, drawn, strict=True)
    ]
    found = together("newton", weighted)
    repeated = [
        plain(*(np.repeat(rows, row.astype(int), axis=1) for rows in problem[1:3]), l2)
        for problem, row, l2 in zip(
            problems, drawn, (problem.l2 for problem in problems), strict=True
        )
    ]
    due = alone("newton", repeated)
    assert_same_ends(found, due, repeated, "newton")
    with pytest.raises(AssertionError):  # of another replicate
        assert_same_ends(found[1:] + found[:1], due, repeated, "newton")


@FEW
@given(seeds, st.sampled_from([np.nan, np.inf, -np.inf]))
def test_what_weighs_nothing_may_be_anything_and_what_weighs_may_not(seed, garbage):
    """In the features: what one problem leaves out another may not."""
    problems, random = plain_ones(seed, 4), np.random.default_rng(seed)
    X = problems[0].X.copy()
    X[random.integers(3), :2] = garbage
    out = np.arange(20)[None] < 2
    weights = [1.0 - out, 3.0 - 3 * out, 1.0 - out * (np.arange(20) > 0), 0 * out + 1.0]
    spoilt = [
        problem._replace(X=X, weight=weight)
        for problem, weight in zip(problems, weights, strict=True)
    ]
    found = together("newton", spoilt)
    due = alone("newton", [one._replace(weight=1.0 - out) for one in problems])
    assert_same_ends(found[:2], due[:2], problems[:2], "newton")
    for one in found[2:]:
        assert one.status == Status.BAD_INPUT
        assert np.isnan(one.params.w).all()
