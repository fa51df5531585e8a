"""scikit-learn's estimators of this library, against its functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from sklearn.datasets import load_digits
from sklearn.model_selection import KFold

from experiments.benchmarks.harness.compare import Way, attempt, compare
from experiments.benchmarks.harness.problems import Models, Problems
from jlogreg import cross_validate, fit_many, one_against_rest
from jlogreg.estimators import LogisticRegression, LogisticRegressionCV


class Work(NamedTuple):
    """The sizes, the goal and the rounds."""

    labels: int = 10
    penalties: int = 20
    folds: int = 5
    features: int = 64
    goal: float = 1e-5  # largest |entry| of the gradients
    rounds: int = 15


WORK = Work()


CV_WORK = Work(rounds=7)


class Answer(NamedTuple):
    """Models side by side, w (n, K), b (K, 1), and the C (K,) of each."""

    w: np.ndarray
    b: np.ndarray
    C: np.ndarray


class Data(NamedTuple):
    """Digits as both take them: X (m, n), y (m,) and features (n, m), Y (K, m)."""

    X: np.ndarray
    y: np.ndarray
    features: jax.Array
    Y: jax.Array

    def largest_gradient(self, found: Answer) -> float:
        """Return the largest |entry| of the gradients."""
        Y, m = np.asarray(self.Y), len(self.X)
        return max(
            Problems(self.X, Y[k : k + 1], None, 1 / (C * m)).largest_gradient(
                Models(w=found.w[:, k : k + 1], b=found.b[k : k + 1])
            )
            for k, C in enumerate(found.C)
        )


def rest(console: Console, work: Work = WORK) -> None:
    """Time one-against-rest on digits: the estimator, against `fit_many`."""
    data = _data(work)
    (m, n), K = data.X.shape, len(data.Y)
    console.print(f"{K} classes of digits, {n} x {m}, float32, C = 1")

    def functions() -> Answer:
        found = jax.device_get(fit_many(data.features, data.Y, l2=1 / m))
        return Answer(*Models.of(found.params), np.ones(K))

    def estimator() -> Answer:
        model = LogisticRegression().fit(data.X, data.y)
        return Answer(model.coef_.T, model.intercept_[:, None], np.ones(K))

    _compare(console, "estimators", work, data, functions, estimator)


def cross_validated(console: Console, work: Work = CV_WORK) -> None:
    """Time 20 penalties x 5 folds x 10 labels: the estimator, against functions."""
    data = _data(work)
    (m, n), K = data.X.shape, len(data.Y)
    console.print(
        f"{work.penalties} penalties x {work.folds} folds x {K} labels of digits, "
        f"{n} x {m}, float32, and a refit a label"
    )
    Cs = np.logspace(-3, 2, work.penalties)
    splits = [*KFold(work.folds, shuffle=True, random_state=0).split(data.X)]
    folds = np.array([np.isin(np.arange(m), seen) for seen, _ in splits], np.float32)
    l2 = (1 / Cs)[:, None].astype(np.float32)

    def functions() -> Answer:
        found = jax.device_get(
            cross_validate(data.features, data.Y, l2, folds=folds, reduction="sum")
        )
        return Answer(*Models.of(found.fit.params), Cs[found.best[:, 0]])

    def estimator() -> Answer:
        model = LogisticRegressionCV(Cs=Cs, cv=splits, scoring="neg_log_loss")
        model.fit(data.X, data.y)
        return Answer(model.coef_.T, model.intercept_[:, None], model.C_)

    _compare(console, "estimators_cv", work, data, functions, estimator)


def _data(work: Work) -> Data:
    images, digits = load_digits(return_X_y=True)
    some = digits < work.labels
    X = (images[some, : work.features] / images.max()).astype(np.float32)
    y = digits[some]
    Y = one_against_rest(y[None], dtype=np.float32).Y
    return Data(X, y, jnp.asarray(X.T), Y)


def _compare(
    console: Console,
    name: str,
    work: Work,
    data: Data,
    functions: Callable[[], Answer],
    estimator: Callable[[], Answer],
) -> None:
    ways = [
        Way("jlogreg.estimators", estimator, data.largest_gradient, ours=True),
        Way("jlogreg's functions", functions, data.largest_gradient),
    ]
    compare(console, name, work, "largest gradient", [*map(attempt, ways)])
