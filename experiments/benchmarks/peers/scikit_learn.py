"""Fit problems with scikit-learn, one after the other: every solver, at its best."""

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
    Tried,
    Way,
    attempt,
    loosest,
    rank,
    scaled,
)
from experiments.benchmarks.harness.problems import Models, Problems, side_by_side

SOLVERS = ("newton-cg", "lbfgs", "newton-cholesky", "liblinear", "sag", "saga")
# Some solvers are faster in float32, and some reach the goal in float64 only.
DTYPES = ("float32", "float64")
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
PATIENCE = 5.0  # seconds for one row, before a solver is given up
HOPELESS = 4.0  # as many times as slow as the best solver is no candidate


def fit_rows(
    problems: Problems, solver: str, tol: float, checks: bool = False
) -> Models:
    """Return the models of all problems, by a loop over them.

    All checks that a user may leave out are left out, unless they are asked for.
    """
    X, Y, weight, l2, start = problems
    w, b = np.empty((X.shape[1], problems.size)), np.empty((problems.size, 1))
    # liblinear penalises the bias too; scaled so, that moves it by nothing that counts.
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
            if start is not None:  # each from the same start, none from its neighbour
                model.coef_ = np.array(start.w.T)
                model.intercept_ = np.array(start.b[:, 0])
            model.fit(X, Y[k % len(Y)], sample_weight=own)
            w[:, k], b[k] = model.coef_[0], model.intercept_
    return Models(w=w, b=b)


def one_thread(problems: Problems, solver: str, tol: float) -> Models:
    """Return what fit_rows does, with products on one thread."""
    with threadpool_limits(1):
        return fit_rows(problems, solver, tol)


def two_threads(problems: Problems, solver: str, tol: float) -> Models:
    """Return what fit_rows does, with products on two threads."""
    with threadpool_limits(2):
        return fit_rows(problems, solver, tol)


def two_processes(problems: Problems, solver: str, tol: float) -> Models:
    """Return what fit_rows does, by two processes that see one copy of X."""
    rows = np.array_split(np.arange(problems.size), 4)
    parts = [problems.part(own) for own in rows if own.size]
    return side_by_side(share(delayed(fit_rows)(part, solver, tol) for part in parts))


def share(calls: Iterable[Any]) -> list[Any]:
    """Return what calls return, made in two processes."""
    with processes():
        return list(Parallel(n_jobs=2, batch_size=1)(calls))


def processes() -> Any:
    """Return a context in which joblib's processes stay, and share larger arrays."""
    settings = {"idle_worker_timeout": 3600, "max_nbytes": 100_000}
    return parallel_config(backend="loky", inner_max_num_threads=1, **settings)


def warm() -> None:
    """Do what is done only once: imports, and the start of the processes."""
    share(delayed(_wait)(0.5) for _ in range(4))  # so long that both have some


def _wait(seconds: float) -> None:
    time.sleep(seconds)


SPREADS: dict[str, Callable[[Problems, str, float], Models]] = {
    "one thread": one_thread,
    "two threads": two_threads,
    "two processes": two_processes,
}


class Entry(NamedTuple):
    """Hold a solver, the features' precision, and how rows are spread over cores."""

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
    ) -> Tried:
        """Return the way with the loosest tolerance, from start on, that does it."""
        tolerances = [tol for tol in TOLERANCES if start is None or tol <= start]
        return loosest(partial(self.way, problems), goal, tolerances, patience)


def contest(
    console: Console, problems: Problems, goal: float, probes: int, finals: int
) -> list[Tried]:
    """Return scikit-learn's best ways, and what each other solver would take.

    Every solver in every precision has one row. Those that are near the best then have
    some more, spread in every way, and the best of these have all.

    Args:
        console: where to say how it goes.
        problems: all of them.
        goal: the largest gradient that will do.
        probes: how many rows the better solvers are tried on.
        finals: how many ways are tried on all rows.
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


def _again(each: Tried) -> Tried:
    """Return the faster of two calls: a stall must not keep a way from the finals."""
    return min(each, attempt(each.way, each.tol), key=lambda tried: tried.seconds)
