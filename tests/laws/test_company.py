"""A problem ends alone, among 100 and among 5000 others with the same word.

On a CPU a minimum of 4096 entries or more passes over NaN, so no status may come out of
one.
"""

from functools import partial

import jax
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import Status

M, COMPANIES = 24, (100, 5000)


def labels(count):
    """Return rows of fair coins, the first of one class and the second separated."""
    random = np.random.default_rng(0)
    Y = (random.random((count, M)) < 0.5) * 1.0
    Y[0], Y[1] = 1, np.arange(M) < M // 2
    return Y


def features(kind, dtype):
    """Return features (3, M), where the third tells the second row of labels."""
    X = np.random.default_rng(1).standard_normal((3, M))
    X[2] = np.where(np.arange(M) < M // 2, 1, -1) * (1 + np.abs(X[2]))
    if kind == "collinear":
        X[1] = X[0]
    if kind == "overflow":
        X[1] *= np.finfo(dtype).max ** 0.75
    return X.astype(dtype)


@partial(jax.jit, static_argnums=0)
def mapped(solver, X, Y):
    return jax.vmap(lambda y: jl.fit(X, y[None], solver=solver))(Y)


@pytest.mark.parametrize("kind", ["plain", "collinear", "overflow"])
@pytest.mark.parametrize(
    ("solver", "dtype"), [(jl.Newton(), np.float32), (jl.NewtonCG(), np.float64)]
)
def test_a_status_does_not_depend_on_the_number_of_problems(kind, solver, dtype):
    X, Y = features(kind, dtype), labels(max(COMPANIES)).astype(dtype)
    ends = []
    for fits in (
        [mapped(solver, X, Y[:count]) for count in COMPANIES],
        [jl.fit_many(X, Y[:count], solver=solver) for count in COMPANIES],
    ):
        few, many = (np.asarray(fit.status)[: min(COMPANIES)] for fit in fits)
        np.testing.assert_array_equal(few, many)
        ends.append(few)
    if kind != "overflow":
        np.testing.assert_array_equal(*ends)
    if kind == "collinear":
        assert (few[2:] == Status.SINGULAR).all()
    if kind == "plain":
        assert (few[:2] == Status.SEPARATED).all()
        assert (few[2:] == Status.CONVERGED).mean() > 0.9


def test_thousands_of_collinear_problems_are_singular_by_lapack():
    """The arithmetic of a small factor is written out; it is in the test above."""
    random = np.random.default_rng(12)
    X = random.standard_normal((12, 60)).astype(np.float32)
    X[1] = X[0]
    Y = (random.random((max(COMPANIES), 60)) < 0.5).astype(np.float32)
    assert (jl.fit_many(X, Y).status == Status.SINGULAR).all()


def test_cross_validation_and_scans_do_not_depend_on_the_number_either():
    X, Y = features("collinear", np.float64), labels(2000)
    ends = [
        jl.cross_validate(X, Y[:count], l2=np.ones((1, 1)), folds=2).fit.status
        for count in (100, 2000)
    ]
    np.testing.assert_array_equal(ends[0], ends[1][:100])
    G = labels(5000)
    G[2] = X[0]
    ends = [jl.scan_features(G[:count], X[:1], Y[5:6]).status for count in COMPANIES]
    np.testing.assert_array_equal(ends[0], ends[1][:100])
    assert ends[0][2] == Status.SINGULAR
