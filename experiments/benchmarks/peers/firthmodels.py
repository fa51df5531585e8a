"""Fit problems one after the other with firthmodels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from joblib import delayed
from threadpoolctl import threadpool_limits

from experiments.benchmarks.harness.compare import Attempt, Way, loosest
from experiments.benchmarks.peers.scikit_learn import share, warm

MISSING = "firthmodels is not installed (the extra `peers`): it is skipped"

# Of X (m, n) and Y (K, m), a table (K, n + 1): weights, then the bias.
Check = Callable[[np.ndarray], float]


def fit_rows(X: np.ndarray, Y: np.ndarray, tol: float) -> np.ndarray:
    """Return Firth's estimates (K, n + 1), the bias last, of all label rows."""
    from firthmodels import FirthLogisticRegression

    found = np.empty((len(Y), X.shape[1] + 1))
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # a fit that has not converged is seen below
        for row, y in zip(found, Y, strict=True):
            model = FirthLogisticRegression(max_iter=1000, gtol=tol, xtol=tol)
            model.fit(X, y)
            row[:] = np.append(model.coef_, model.intercept_)
    return found


def spread(X: np.ndarray, Y: np.ndarray, tol: float) -> np.ndarray:
    """Return the estimates of `fit_rows`, by two processes."""
    parts = np.array_split(Y, 4)
    return np.concatenate(share(delayed(fit_rows)(X, part, tol) for part in parts))


def label_rows(
    X: np.ndarray, Y: np.ndarray, check: Check, goal: float
) -> tuple[list[Attempt], list[str]]:
    """Return firthmodels in one and in two processes, or a note if it is missing.

    Each has the loosest tolerance that reaches the goal.
    """
    if not find_spec("firthmodels"):
        return [], [MISSING]
    warm()
    fit_rows(X, Y[:1], 1e-2)  # Numba compiles
    tried = []
    for where, run in (("one process", fit_rows), ("two processes", spread)):

        def make(tol: float, where: str = where, run: Any = run) -> Way:
            name = f"firthmodels, tol {tol:g}, {where}"
            return Way(name, partial(run, X, Y, tol), check)

        tried.append(loosest(make, goal))
    return tried, []
