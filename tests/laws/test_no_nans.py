"""No number becomes NaN on the way to an answer: JAX's own check raises no alarm.

Neither in what only fills up a batch to its width, nor in what is thrown away later.
"""

import jax
import numpy as np
import optax
import pytest

import jlogreg as jl
from jlogreg import Status
from tests.helpers import make_problem
from tests.laws.conftest import TABLE
from tests.table import host_cases

CASES = {**TABLE[np.float64], **host_cases()}
M = 40
SOLVERS = {
    "Newton": jl.Newton(),
    "NewtonCG": jl.NewtonCG(),
    "Optax": jl.Optax(optax.sgd(1.0)),
}


def rows_of(problem, plain):
    """Return no further rows, or weights, some of them 0, and an offset."""
    if plain:
        return {}
    weight = np.array(problem.weight)
    weight[0, ::5] = 0
    return {"weight": weight, "offset": np.array(problem.offset)}


@pytest.mark.parametrize("name", CASES)
def test_every_function(name):
    with jax.debug_nans(True):
        CASES[name].call()


# What is plain, or weighted, is so before a solver sees it.
@pytest.mark.parametrize(
    ("name", "plain"),
    [("Newton", True), ("Newton", False), ("NewtonCG", False), ("Optax", True)],
)
def test_fits_alone_and_in_batches_that_are_filled_up(name, plain):
    solver = SOLVERS[name]
    problem = make_problem((3, M), np.float64, "soft labels", seed=1)
    rows, l2 = rows_of(problem, plain), np.array([[1.0], [0.1]])
    X, y = np.array(problem.X), np.array(problem.y)
    labels = np.random.default_rng(1).permuted(np.tile(y, (5, 1)), axis=1)
    with jax.debug_nans(True):
        found = jl.fit(X, y, solver=solver, **rows)
        many = jl.fit_many(X, labels, l2=0.1, solver=solver, **rows)
        folds = jl.cross_validate(X, labels[:3], l2, solver=solver, folds=3, **rows)
        path = jl.regularization_path(X, y, l2, solver=solver, **rows)
    for status in (found.status, many.status, folds.status, path.status):
        assert (np.asarray(status) == Status.CONVERGED).all()


@pytest.mark.parametrize(
    ("kind", "dtype", "plain"),
    [
        ("counts", np.float32, True),
        ("counts", np.float64, False),
        ("missing", np.float32, False),
        ("missing", np.float64, True),
        ("floats", np.float32, True),
        ("floats", np.float64, False),
    ],
)
def test_a_scan_whose_features_are_filled_up(kind, dtype, plain):
    problem = make_problem((2, M), dtype, "soft labels", seed=2)
    random, rows = np.random.default_rng(2), rows_of(problem, plain)
    G = random.integers(0, 3, (6, M)).astype(np.int8)
    if kind == "missing":
        G[1, 3] = G[4, 8] = -1
    if kind == "floats":
        G = random.standard_normal((6, M)).astype(dtype)
        G[0, 5] = np.nan
    with jax.debug_nans(True):
        scan = jl.scan_features(G, np.array(problem.X), np.array(problem.y), **rows)
    assert (scan.status == Status.CONVERGED).all()


def test_a_feature_without_an_answer_is_nan_and_raises_no_alarm():
    G = np.random.default_rng(3).integers(0, 3, (6, M)).astype(np.int8)
    G[2] = 1
    y = np.array(make_problem((2, M), np.float64, "soft labels", seed=2).y)
    with jax.debug_nans(True):
        scan = jl.scan_features(G, None, y)
    kept = np.arange(6) != 2
    assert np.isnan([column[2, 0] for column in scan[:4]]).all()
    assert np.isfinite([np.asarray(column)[kept] for column in scan[:4]]).all()
