"""Laws of many fits in one call: each is the fit of its own problem alone.

It does not matter which batch, order and chunks it is part of, nor what its neighbors
are.
"""

from functools import partial
from unittest import mock

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jlogreg as jl
from jlogreg import Params, Status
from jlogreg.batch import setup
from jlogreg.batch.scheduling import scheduler
from tests.helpers import (
    EPS,
    SHAPE,
    TOL,
    WIDE,
    Problem,
    assert_close,
    entry,
    fit_problem,
    same_bits,
    seeds,
    slack,
    stack,
)
from tests.oracles.numpy_fit import assert_same_fit

FEW = settings(max_examples=settings.default.max_examples // 8)

# The solver and the shape: in the features, by the products of their pairs; without a
# Hessian, by the spectrum of the features, since penalties differ; in the span.
WAYS = {
    "newton": (jl.Newton(), SHAPE),
    "newton_cg": (jl.NewtonCG(), (70, 90)),
    "lbfgs": (jl.LBFGS(), (70, 90)),
    "span": (jl.Newton(), WIDE),
}
VALID = ["plain", "soft labels", "left out", "far start"]
INVALID = ["label", "weight", "offset", "penalty", "no weight", "start"]
# 16, so that one chunk holds all.
KINDS = [*VALID, *VALID, *INVALID, "separated", "singular"]

fit_alone = {
    way: jax.jit(partial(fit_problem, solver)) for way, (solver, _) in WAYS.items()
}
mapped_newton = jax.jit(
    jax.vmap(partial(fit_problem, jl.Newton()), in_axes=(Problem(0, None, 0, 0, 0, 0),))
)


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
    return stack(*apart)._replace(X=problems[0].X)


def alone(way, problems):
    return [jax.device_get(fit_alone[way](problem)) for problem in problems]


def together(way, problems, min_width=4):
    """Return the fits of all in one call, one by one; at most four side by side."""
    batch = batch_of(problems)
    with (
        mock.patch.object(setup, "MAX_WIDTH", 4),
        mock.patch.object(scheduler, "MIN_WIDTH", min_width),
    ):
        results = jl.fit_many(
            batch.X,
            batch.y[:, 0],
            weight=batch.weight[:, 0],
            offset=batch.offset[:, 0],
            l2=batch.l2[:, None],
            init=batch.params,
            solver=WAYS[way][0],
            tol=TOL,
        )
    return [entry(results, k) for k in range(len(problems))]


def assert_same_end(result, expected, problem, way):
    """Assert that a problem ended in the same way, and at the same point."""
    assert result.status == expected.status
    if expected.status == Status.CONVERGED:
        rows = {  # zeros where a weight leaves a sample out
            name: np.where(problem.weight == 0, 0, getattr(problem, name))
            for name in ("y", "offset")
        }
        problem = problem._replace(**rows)
        assert_same_fit(
            result, expected, problem, inexact=way in ("newton_cg", "lbfgs")
        )
        # The rest of the logits' error is squared in the cost.
        within = slack(problem._replace(params=expected.params)).J
        assert_close(result.cost, expected.cost, 2 * within + EPS)
    if expected.status == Status.BAD_INPUT:
        assert all(np.isnan(leaf).all() for leaf in (*result.params, result.cost))


def assert_same_ends(results, expected, problems, way):
    for triple in zip(results, expected, problems, strict=True):
        assert_same_end(*triple, way)


@pytest.mark.parametrize("way", WAYS)
@FEW
@given(seeds)
def test_a_problem_ends_alike_alone_and_in_any_company(way, seed):
    """In several chunks, some of all, in another order; in a vmap.

    The vmap of other solvers takes long to compile; it is tested by test_fit_inputs.py.
    """
    random = np.random.default_rng(seed)
    X, kinds = random.standard_normal(WAYS[way][1]), random.permutation(KINDS)
    problems = [problem_of(kind, X, random) for kind in kinds]
    expected = alone(way, problems)
    for kind, one in zip(kinds, expected, strict=True):
        assert (one.status == Status.BAD_INPUT) == (kind in INVALID)
        assert (one.status == Status.SEPARATED) == (kind == "separated")
        assert (one.status == Status.SINGULAR) == (kind == "singular")
    count = len(problems)
    if way == "newton":
        mapped = mapped_newton(batch_of(problems))
        results = [entry(mapped, k) for k in range(count)]
        assert_same_ends(results, expected, problems, way)
    some = random.permutation(count)[: random.integers(9, count)]
    problems, expected = ([values[k] for k in some] for values in (problems, expected))
    min_width = 1 if way == "newton" else 4  # so does this
    assert_same_ends(together(way, problems, min_width), expected, problems, way)


@pytest.mark.parametrize("way", WAYS)
@FEW
@given(seeds, st.sampled_from(VALID), st.permutations(range(4)))
def test_an_invalid_neighbor_changes_not_a_bit(way, seed, kind, order):
    """Nor does one that is separated or singular: a valid one does the same."""
    random = np.random.default_rng(seed)
    X = random.standard_normal(WAYS[way][1])
    ill = random.choice([other for other in KINDS if other not in VALID], 2)
    well = [problem_of(kind, X, random) for kind in ("plain", kind)]
    batches = [
        well + [problem_of(kind, X, random) for kind in kinds]
        for kinds in (ill, ["plain", "plain"])
    ]
    results, expected = (together(way, [b[k] for k in order]) for b in batches)
    for k, one, other in zip(order, results, expected, strict=True):
        assert other.status == Status.CONVERGED
        assert same_bits(one, other) == (k < 2)


@FEW
@given(seeds, st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_feature_may_be_infinite_only_in_samples_without_weight(seed, garbage):
    """One problem may leave out a sample that another may not."""
    random = np.random.default_rng(seed)
    X, out = random.standard_normal(SHAPE), np.arange(20)[None] < 2
    kept = [1.0 - out, 3.0 - 3 * out, 1.0 - out * (np.arange(20) > 0), 0 * out + 1.0]
    problems = [problem_of("plain", X, random) for _ in kept]
    problems = [
        problem._replace(weight=problem.weight * row)
        for problem, row in zip(problems, kept, strict=True)
    ]
    spoilt = X.copy()
    spoilt[random.integers(3), :2] = garbage
    results = together("newton", [problem._replace(X=spoilt) for problem in problems])
    expected = alone("newton", problems[:2])
    assert_same_ends(results[:2], expected, problems[:2], "newton")
    for one in results[2:]:
        assert one.status == Status.BAD_INPUT
        assert np.isnan(one.params.w).all()
