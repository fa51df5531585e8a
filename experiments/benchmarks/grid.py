"""A grid of penalties on every fold, against the two tools of scikit-learn for it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from joblib import delayed
from rich.console import Console
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV

from experiments.benchmarks.harness.compare import (
    Attempt,
    Way,
    compare,
    loosest,
    ours,
    rank,
    scaled,
)
from experiments.benchmarks.harness.problems import Models, Problems, side_by_side
from experiments.benchmarks.peers.scikit_learn import processes, share, warm
from jlogreg import CrossValidation, cross_validate, fold_weights

# Without liblinear, which penalizes the bias too, so that large penalties would have
# another meaning, and sag and saga, which need hundreds of passes (see `heads`).
SOLVERS = ("newton-cholesky", "lbfgs", "newton-cg")
EXACT = 1e-9  # tolerance of the reference


class Work(NamedTuple):
    """The sizes, the goals, the rounds, and the solvers of scikit-learn."""

    labels: int = 10
    penalties: int = 20
    folds: int = 5
    features: int = 64
    goal: float = 1e-5  # largest |entry| of the gradients of the refits
    agree: float = 1e-4  # nats, the largest error of a held-out loss
    rounds: int = 5
    solvers: tuple[str, ...] = SOLVERS


WORK = Work()


class Grid(NamedTuple):
    """The result of a tool.

    Shapes: loss (K, L, F), the mean over the held-out samples of a fold; models, the K
    refits; l2 (K,), their penalties.
    """

    loss: np.ndarray
    models: Models
    l2: np.ndarray


class Data(NamedTuple):
    """The data of the grid: X (m, n), Y (K, m), l2 (L, 1), folds (F, m).

    The folds are of one size, so that scikit-learn's C, which multiplies the sum over
    samples, is the same penalty in each.
    """

    X: np.ndarray
    Y: np.ndarray
    l2: np.ndarray
    folds: np.ndarray

    @property
    def trained(self) -> int:
        """The number of samples that a fold trains on."""
        return int(self.folds[0].sum())

    @property
    def C(self) -> list[float]:
        """The penalties in scikit-learn's units."""
        return [float(1 / (l2 * self.trained)) for l2 in self.l2[:, 0]]

    @property
    def labels(self) -> list[Data]:
        """The data of each label alone."""
        return [self._replace(Y=y[None]) for y in self.Y]

    @property
    def splits(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The folds in scikit-learn's form."""
        return [(np.flatnonzero(row), np.flatnonzero(row == 0)) for row in self.folds]

    def first(self, count: int) -> Data:
        """Return the data of the first labels."""
        return self._replace(Y=self.Y[:count])

    def largest_gradient(self, grid: Grid) -> float:
        """Return the largest |entry| of the gradients of the refits."""
        return max(
            Problems(self.X, self.Y[k : k + 1], None, float(l2)).largest_gradient(
                Models(w=grid.models.w[:, k : k + 1], b=grid.models.b[k : k + 1])
            )
            for k, l2 in enumerate(grid.l2)
        )


OneLabel = Callable[[Data, str, float, int], Grid]


def run(console: Console, work: Work = WORK) -> None:
    """Time 20 penalties x 5 folds x 10 labels of digits, against scikit-learn."""
    data = _data(work)
    (L, _), (K, m), F = data.l2.shape, data.Y.shape, len(data.folds)
    console.print(
        f"{L} penalties x {F} folds x {K} labels of digits, {data.X.shape[1]} x {m}, "
        f"float32, and a refit a label, to gradients of at most {work.goal:g} (of the "
        f"refits, in float64) and held-out losses within {work.agree:g} nats of the "
        "exact ones"
    )
    warm()
    # The reference: held-out losses of scikit-learn's fits with a tiny tolerance.
    exact = _by_label(_path, data, "newton-cholesky", EXACT).loss
    off: dict[str, float] = {}

    def check(name: str, given: Data, answer: Any) -> float:
        """Return the largest gradient, infinite where held-out losses disagree."""
        grid = _of(answer) if isinstance(answer, CrossValidation) else answer
        off[name] = float(np.abs(grid.loss - exact[: len(given.Y)]).max())
        return given.largest_gradient(grid) if off[name] <= work.agree else math.inf

    X, Y, l2, folds = map(jnp.asarray, (data.X.T, data.Y, data.l2, data.folds))

    def fit_all(tol: float | None) -> CrossValidation:
        return jax.block_until_ready(cross_validate(X, Y, l2, folds=folds, tol=tol))

    tried = ours(fit_all, partial(check, "jlogreg", data), work.goal)
    peers = _peers(console, data, work, check)
    losses = ", ".join(
        f"{name} {off[name]:.1e}"
        for name in ("jlogreg", *(each.way.name for each in peers if not each.part))
    )
    note = f"held-out losses, of {K * L * F} fits, are off by at most: {losses}"
    compare(console, "grid", work, "largest gradient", [*tried, *peers], [note])


def _data(work: Work) -> Data:
    images, digits = load_digits(return_X_y=True)
    m = len(digits) // work.folds * work.folds
    X = (images[:m, : work.features] / images.max()).astype(np.float32)
    Y = np.array([digits[:m] == label for label in range(work.labels)], np.float32)
    l2 = np.logspace(0, -5, work.penalties, dtype=np.float32)[:, None]
    folds = fold_weights(jax.random.key(0), m, work.folds, dtype=np.float32)
    return Data(X, Y, l2, np.asarray(folds))


def _of(found: CrossValidation) -> Grid:
    l2 = np.asarray(found.l2)[np.asarray(found.best)[:, 0], 0]
    return Grid(np.asarray(found.fold_loss), Models.of(found.fit.params), l2)


def _peers(
    console: Console, data: Data, work: Work, check: Callable[..., float]
) -> list[Attempt]:
    """Return scikit-learn's tools, each with its best solver, and the other solvers."""
    console.print("scikit-learn: every solver on 1 label, the best on all")
    one, K = data.first(1), len(data.Y)

    def make(tool: str, spread: str, solver: str, given: Data, tol: float) -> Way:
        name = f"scikit-learn {tool}, {solver}, tol {tol:g}, {spread}"
        run = partial(SPREADS[spread], TOOLS[tool], given, solver, tol)
        return Way(name, run, partial(check, name, given))

    found: list[Attempt] = []
    for tool in TOOLS:
        first = {
            solver: loosest(partial(make, tool, "n_jobs=2", solver, one), work.goal)
            for solver in work.solvers
        }
        solver = min(first, key=lambda key: rank(work.goal, first[key]))
        start = first[solver].tol
        for spread in SPREADS:
            way = partial(make, tool, spread, solver, data)
            found.append(loosest(way, work.goal, start=start))
        found += [scaled(first[key], 1, K) for key in first if key != solver]
    return found


def _search(data: Data, solver: str, tol: float, jobs: int) -> Grid:
    """Return the grid of one label by GridSearchCV."""
    model = LogisticRegression(solver=solver, tol=tol, max_iter=1000)
    found = GridSearchCV(
        model, {"C": data.C}, scoring="neg_log_loss", cv=data.splits, n_jobs=jobs
    ).fit(data.X.astype(float), data.Y[0])
    scores = [found.cv_results_[f"split{k}_test_score"] for k in range(len(data.folds))]
    return _grid(np.stack(scores, axis=1), found.best_estimator_, data)


def _path(data: Data, solver: str, tol: float, jobs: int) -> Grid:
    """Return it by LogisticRegressionCV, which starts each fit from the last."""
    found = LogisticRegressionCV(
        Cs=data.C, cv=data.splits, scoring="neg_log_loss", solver=solver, tol=tol,
        max_iter=1000, n_jobs=jobs, l1_ratios=(0.0,), use_legacy_attributes=False,
    ).fit(data.X.astype(float), data.Y[0])  # fmt: skip
    return _grid(np.asarray(found.scores_)[:, 0].T, found, data)


def _grid(scores: np.ndarray, model: Any, data: Data) -> Grid:
    C = model.C_ if hasattr(model, "C_") else model.C
    models = Models(w=model.coef_.T, b=model.intercept_[:, None])
    return Grid(-scores[None], models, np.array([1 / (C * len(data.X))]))


def _label(function: OneLabel, data: Data, solver: str, tol: float, jobs: int) -> Grid:
    """Return the grid by a tool, without scikit-learn's optional checks."""
    with (
        processes(),
        warnings.catch_warnings(),
        config_context(assume_finite=True, skip_parameter_validation=True),
    ):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return function(data, solver, tol, jobs)


def _by_fold(function: OneLabel, data: Data, solver: str, tol: float) -> Grid:
    """Return the grid label by label; two processes share the fits of a label."""
    return _joined([_label(function, one, solver, tol, 2) for one in data.labels])


def _by_label(function: OneLabel, data: Data, solver: str, tol: float) -> Grid:
    """Return the grid; two processes share the labels."""
    calls = (delayed(_label)(function, one, solver, tol, 1) for one in data.labels)
    return _joined(share(calls))


def _joined(grids: Sequence[Grid]) -> Grid:
    loss, models, l2 = zip(*grids, strict=True)
    return Grid(np.concatenate(loss), side_by_side(models), np.concatenate(l2))


TOOLS: dict[str, OneLabel] = {"GridSearchCV": _search, "LogisticRegressionCV": _path}
SPREADS = {"n_jobs=2": _by_fold, "a label a job": _by_label}
