"""Fit problems one after the other with each solver of scikit-learn."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, parallel_config
from rich.console import Console
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from experiments.benchmarks.harness.compare import (
    Attempt,
    Way,
    attempt,
    loosest,
    rank,
    scaled,
)
from experiments.benchmarks.harness.problems import Models, Problems, side_by_side

SOLVERS = ("newton-cg", "lbfgs", "newton-cholesky", "liblinear", "sag", "saga")
# Some solvers are faster in float32, some reach the goal only in float64.
DTYPES = ("float32", "float64")
PATIENCE = 5.0  # seconds for one row, after which no other tolerance is tried
HOPELESS = 4.0  # times the seconds of the best solver: slower ones are dropped


def fit_rows(
    problems: Problems, solver: str, tol: float, checks: bool = False
) -> Models:
    """Return the models of all problems, by a loop over them.

    scikit-learn skips its optional checks unless `checks` is true.
    """
    X, Y, weight, l2, start = problems
    w, b = np.empty((X.shape[1], problems.size)), np.empty((problems.size, 1))
    # liblinear penalizes the bias, too; with this scale the effect is negligible.
    more = {"intercept_scaling": 100.0} if solver == "liblinear" else {}
    off = not checks
    with (
        warnings.catch_warnings(),
        config_context(assume_finite=off, skip_parameter_validation=off),
    ):
        warnings.simplefilter("ignore", ConvergenceWarning)
        for k in range(problems.size):
            own = None if weight is None else weight[k % len(weight)]
            model = LogisticRegression(
                C=1 / (l2 * (len(X) if own is None else own.sum(dtype=float))),
                solver=solver, tol=tol, max_iter=1000, random_state=0,
                warm_start=start is not None, **more,
            )  # fmt: skip
            if start is not None:  # each from the same start, not from the last
                model.coef_ = np.array(start.w.T)
                model.intercept_ = np.array(start.b[:, 0])
            model.fit(X, Y[k % len(Y)], sample_weight=own)
            w[:, k], b[k] = model.coef_[0], model.intercept_
    return Models(w=w, b=b)


def one_thread(problems: Problems, solver: str, tol: float) -> Models:
    """Return the models of `fit_rows`, with products on one thread."""
    with threadpool_limits(1):
        return fit_rows(problems, solver, tol)


def two_threads(problems: Problems, solver: str, tol: float) -> Models:
    """Return the models of `fit_rows`, with products on two threads."""
    with threadpool_limits(2):
        return fit_rows(problems, solver, tol)


def two_processes(problems: Problems, solver: str, tol: float) -> Models:
    """Return the models of `fit_rows`, by two processes with one copy of X."""
    rows = np.array_split(np.arange(problems.size), 4)
    parts = [problems.part(own) for own in rows if own.size]
    return side_by_side(share(delayed(fit_rows)(part, solver, tol) for part in parts))


def share(calls: Iterable[Any]) -> list[Any]:
    """Return the values of calls that are made in two processes."""
    with processes():
        return list(Parallel(n_jobs=2, batch_size=1)(calls))


def processes() -> Any:
    """Return a context in which joblib keeps its processes and shares large arrays."""
    settings = {"idle_worker_timeout": 3600, "max_nbytes": 100_000}
    return parallel_config(backend="loky", inner_max_num_threads=1, **settings)


def warm() -> None:
    """Start the processes and let them import their modules."""
    share(delayed(_wait)(0.5) for _ in range(4))  # long enough for both to have some


def _wait(seconds: float) -> None:
    time.sleep(seconds)


SPREADS: dict[str, Callable[[Problems, str, float], Models]] = {
    "one thread": one_thread,
    "two threads": two_threads,
    "two processes": two_processes,
}


class Entry(NamedTuple):
    """A solver, the dtype of the features, and the use of the two cores."""

    solver: str
    dtype: str
    spread: str = "one thread"

    def way(self, problems: Problems, tol: float) -> Way:
        """Return the way with a tolerance."""
        name = f"scikit-learn {self.solver}, {self.dtype}, tol {tol:g}, {self.spread}"
        given = problems._replace(X=problems.X.astype(self.dtype))
        run = partial(SPREADS[self.spread], given, self.solver, tol)
        return Way(name, run, problems.largest_gradient)

    def loosest(
        self,
        problems: Problems,
        goal: float,
        start: float | None = None,
        patience: float = math.inf,
    ) -> Attempt:
        """Return the way with the loosest tolerance that reaches the goal."""
        make = partial(self.way, problems)
        return loosest(make, goal, start=start, patience=patience)


def contest(
    console: Console, problems: Problems, goal: float, probes: int, finals: int
) -> list[Attempt]:
    """Return scikit-learn's best ways, and the extrapolated times of its other solvers.

    Every solver in every dtype fits one row. Those near the best then fit some rows,
    with every use of the cores, and the best of these fit all rows.

    Args:
        console: where to print.
        problems: all of them.
        goal: the largest gradient that is accepted.
        probes: the number of rows that the better solvers fit.
        finals: the number of ways that fit all rows.
    """
    warm()
    console.print(f"scikit-learn: every solver on 1 row, the better ones on {probes}")
    one, some = (problems.part(np.arange(rows)) for rows in (1, probes))
    one_thread(one, "lbfgs", 1e-2)
    first = {
        entry: entry.loosest(one, goal, patience=PATIENCE)
        for entry in (Entry(solver, dtype) for solver in SOLVERS for dtype in DTYPES)
    }
    limit = HOPELESS * min(first.values(), key=partial(rank, goal)).seconds
    near = [entry for entry, each in first.items() if rank(goal, each) < (0, limit)]
    second = {
        entry: _again(entry.loosest(some, goal, start=first[alone].tol))
        for alone in near
        for entry in (alone._replace(spread=spread) for spread in SPREADS)
    }
    best = sorted(second, key=lambda entry: rank(goal, second[entry]))[:finals]
    console.print(f"scikit-learn: the best {len(best)} ways on all {problems.size}")
    found = [entry.loosest(problems, goal, start=second[entry].tol) for entry in best]
    seen = {entry.solver for entry in best}
    for tried, rows in ((second, probes), (first, 1)):
        for entry in sorted(tried, key=lambda entry: rank(goal, tried[entry])):
            if entry.solver not in seen:
                seen.add(entry.solver)
                found.append(scaled(tried[entry], rows, problems.size))
    return found


def _again(each: Attempt) -> Attempt:
    """Return the faster of two calls: one delay must not rule a way out."""
    return min(each, attempt(each.way, each.tol), key=lambda tried: tried.seconds)
