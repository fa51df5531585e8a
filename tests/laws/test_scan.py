"""Laws of every scan: a feature's row is its fit, whatever the other features are.

`fit` itself is compared with other minima in test_fit.py. Here a feature's fit is made
on a matrix of its own, the covariates and the feature without the samples where it is
missing, and compared with its row of the scan.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.special import log_ndtr

import jlogreg as jl
from jlogreg import Scan, Status
from tests.helpers import Problem, assert_close, seeds
from tests.oracles.numpy_fit import numpy_wald

# Samples, and those that each feature misses, so that all fits have one shape.
M, MISSING = 40, 4
HAZARDS = [
    "plain",
    "plain",
    "plain",
    "rare",
    "once",
    "constant",
    "covariate",
    "constant where it is there",
    "all missing",
    "separated",
    "quasi-separated",
    "separates one class",
    "bad",
    "plain",
]
# Where some samples alone are separated, roundings decide which of these is said.
NOWHERE = {Status.DIVERGED, Status.SINGULAR, Status.MAX_STEPS}
BY_ROUNDINGS = {"rare", "once", "quasi-separated", "separates one class"}
SOME = settings(max_examples=settings.default.max_examples // 5)


class Study(NamedTuple):
    """The arguments of a scan, and the names of its features.

    numbers are the features as float64, NaN for missing.
    """

    G: Any
    covariates: Any
    y: Any
    weight: Any
    offset: Any
    names: Any
    numbers: Any

    def scan(self, G=None) -> Scan:
        rows = {"weight": self.weight, "offset": self.offset}
        G = self.G if G is None else G
        return jax.tree.map(
            np.asarray, jl.scan_features(G, self.covariates, self.y, **rows)
        )

    def problem(self, j) -> Problem:
        """Return the problem of a feature alone, in float64."""
        ones = np.ones((1, M))
        kept = ~np.isnan(self.numbers[j])
        covariates = np.empty((0, M)) if self.covariates is None else self.covariates
        X = np.concatenate([covariates, self.numbers[j : j + 1]])
        weight = ones if self.weight is None else self.weight
        offset = 0 * ones if self.offset is None else self.offset
        rows = (np.asarray(row, float)[:, kept] for row in (X, self.y, weight, offset))
        return Problem(None, *rows, np.zeros(()))


# What compiles alike: the dtype of all numbers, whether features are int8, and whether
# there are covariates, weights and an offset.
KINDS = {
    "int8, all": (np.float64, True, True),
    "float32, nothing else": (np.float32, False, False),
}


def study_of(kind, seed):
    dtype, whole, more = KINDS[kind]
    random = np.random.default_rng(seed)
    y = (random.random((1, M)) < 0.5) * 1.0
    covariates = random.standard_normal((2, M))
    covariates[0] = random.integers(0, 3, M)
    weight = random.choice([0.0, 0.5, 1.0, 2.0], (1, M), p=[0.1, 0.2, 0.5, 0.2])
    offset = random.standard_normal((1, M))
    names = random.permutation(HAZARDS)
    numbers = np.stack([feature(name, random, covariates, y, whole) for name in names])
    # A sample that weighs nothing may contain anything; a missing number stays missing.
    out = more & (weight[0] == 0)
    numbers[:, out] += np.inf
    for row in (covariates, y, offset):
        row[:, out] = random.choice([np.nan, np.inf, 1e9])
    G = numbers.astype(dtype)
    if whole:
        G = np.nan_to_num(numbers, nan=-1, posinf=-2).astype(np.int8)
    rows = (covariates, y, weight, offset)
    covariates, y, weight, offset = (row.astype(dtype) for row in rows)
    numbers = numbers if whole else G.astype(float)
    if not more:
        return Study(G, None, y, None, None, names, numbers)
    return Study(G, covariates, y, weight, offset, names, numbers)


def feature(hazard, random, covariates, y, whole):
    """Return a feature (M,), NaN where it is missing; "bad" ones have an infinity."""
    g = random.integers(0, 3, M) * 1.0 if whole else random.standard_normal(M)
    some = random.permutation(M)
    if hazard == "rare":
        g = (np.arange(M) < 4) * 1.0
    if hazard == "once":
        g = (np.arange(M) == some[-1]) * 1.0
    if hazard == "constant":
        g[:] = 1
    if hazard == "covariate":
        g = covariates[0].copy()
    if hazard == "constant where it is there":
        g[some[MISSING:]] = 2
    if hazard == "separated":
        g = 2 * y[0]
    if hazard == "quasi-separated":
        g = np.where(y[0] == 1, random.integers(0, 3, M), 0) * 1.0
    if hazard == "separates one class":
        g = random.integers(0, 2, M) + y[0]
    if hazard == "bad":
        g[some[-1]] = np.inf
    g[some[:MISSING]] = np.nan
    return np.full(M, np.nan) if hazard == "all missing" else g


@jax.jit
def fit_status(X, y, weight, offset):
    return jl.fit(X, y, weight=weight, offset=offset).status


def status_alone(study, j):
    """Return the status of a feature's fit."""
    problem = study.problem(j)
    if not problem.y.size:
        return Status.BAD_INPUT
    return fit_status(*(row.astype(study.y.dtype) for row in problem[1:5]))


def assert_rows(scan, study, statuses, expected):
    """Assert that every row of a scan is the fit of its feature."""
    dtype = study.y.dtype
    assert [column.dtype for column in scan[:5]] == [dtype] * 4 + [np.int32]
    eps = float(np.finfo(dtype).eps)
    for j, status in enumerate(statuses):
        both, name = {int(scan.status[j, 0]), int(status)}, study.names[j]
        alike = len(both) == 1 or (name in BY_ROUNDINGS and both <= NOWHERE)
        assert alike, (name, both)
        result, error, z, log10_p = (float(column[j, 0]) for column in scan[:4])
        if status != Status.CONVERGED:
            assert np.isnan([result, error, z, log10_p]).all()
            continue
        wald = expected[j]
        assert_close(result, wald.estimate, wald.estimate_slack)
        assert_close(error, wald.standard_error, wald.standard_error_slack)
        assert_close(z, result / error, eps * abs(z))
        log10_tail = (log_ndtr(-abs(z)) + np.log(2)) / np.log(10)
        assert_close(log10_p, log10_tail, 4 * eps * (abs(log10_tail) + 1))


@pytest.mark.parametrize("kind", KINDS)
@SOME
@given(seeds)
def test_a_row_of_a_scan_is_the_fit_of_its_feature_whatever_the_others_are(kind, seed):
    """In any order, in one block or several, with any neighbors."""
    study, random, V = study_of(kind, seed), np.random.default_rng(seed), len(HAZARDS)
    statuses = [status_alone(study, j) for j in range(V)]
    converged = np.flatnonzero(np.array(statuses) == Status.CONVERGED)
    assert converged.size
    expected = {j: numpy_wald(study.problem(j), study.y.dtype) for j in converged}
    whole, order = study.scan(), random.permutation(V)
    moved = study.scan(study.G[order])
    back = jax.tree.map(lambda column: column[np.argsort(order)], moved)
    blocks = [study.G[:9], study.G[9:]]
    joined = study.scan(iter(blocks))
    kept = random.permutation(V)[:, None] < V // 2
    other = study.scan(np.where(kept, study.G, study_of(kind, seed + 1).G))
    mixed = jax.tree.map(partial(np.where, kept), other, whole)
    for scan in (whole, back, joined, mixed):
        assert_rows(scan, study, statuses, expected)
    rows = {"weight": study.weight, "offset": study.offset}
    parts = list(jl.scan_blocks(blocks, study.covariates, study.y, **rows))
    for column, *others in zip(joined, *parts, strict=True):
        np.testing.assert_array_equal(column, np.concatenate(others))


def test_every_hazard_is_drawn_and_ends_as_it_must():
    """Or the laws would be about plain features alone."""
    seen = set()
    for seed in range(8):
        study = study_of("int8, all", seed)
        seen |= set(study.scan().status[:, 0].tolist())
    assert seen >= {
        Status.CONVERGED,
        Status.SEPARATED,
        Status.SINGULAR,
        Status.DIVERGED,
        Status.BAD_INPUT,
    }
