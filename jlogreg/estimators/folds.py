"""The scores of penalties on the folds of scikit-learn's splitters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn import linear_model
from sklearn.utils.validation import _check_method_params

from jlogreg.base.status import Status
from jlogreg.batch.validation import CrossValidation
from jlogreg.estimators.samples import Training

__all__ = ["METRICS", "Folds", "best_of", "scores_of"]

# scikit-learn's name for a score, ours, and the sign of the better.
METRICS = {
    "accuracy": ("accuracy", 1),
    "average_precision": ("average_precision", 1),
    "neg_brier_score": ("brier", -1),
    "neg_log_loss": ("log_loss", -1),
    "roc_auc": ("roc_auc", 1),
}


class Folds(NamedTuple):
    """The folds of a splitter: rows of weights (F, m), and the places of each."""

    rows: np.ndarray
    train: Sequence[np.ndarray]
    test: Sequence[np.ndarray]

    @classmethod
    def of(cls, splits: Sequence[tuple[Any, Any]], m: int, dtype: Any) -> Folds:
        """Return the folds from the training and test samples of each."""
        train, test = (
            [np.arange(m)[part] for part in parts]
            for parts in zip(*splits, strict=True)
        )
        rows = np.stack([np.bincount(part, minlength=m) for part in train])
        return cls(rows.astype(dtype), train, test)

    @property
    def complete(self) -> bool:
        """Whether each fold tests on all the samples that it does not train on, once.

        So `cross_validate` can compute its metrics.
        """
        pairs = zip(self.rows, self.test, strict=True)
        return all(
            np.array_equal(np.sort(part), np.flatnonzero(row == 0))
            for row, part in pairs
        )


def scores_of(
    found: CrossValidation,
    given: Training,
    folds: Folds,
    metric: tuple[str, int] | None,
    scorer: Any,
    parameters: dict[str, Any],
) -> np.ndarray:
    """Return the score (K, F, L) of each label, fold and penalty, larger if better.

    NaN where the fit failed, or the score is not defined.

    Args:
        found: the fits, and perhaps the metric.
        given: the samples.
        folds: of the samples.
        metric: "log_loss" or a name in `found.metrics`, and the sign of the better.
        scorer: of scikit-learn, where there is no metric.
        parameters: of the scorer, with an entry for each sample or without.
    """
    if metric is not None:
        name, sign = metric
        each = found.fold_loss if name == "log_loss" else found.metrics[name]
        return sign * np.swapaxes(each, 1, 2)
    converged = np.swapaxes(found.status == Status.CONVERGED, 1, 2)
    scores = np.full(converged.shape, np.nan)
    w, b = found.fold_fits.params
    binary = len(given.Y) == 1
    model = linear_model.LogisticRegression()
    model.classes_ = given.classes if binary else np.array([0, 1])
    for k, f, i in zip(*np.nonzero(converged), strict=True):
        test = folds.test[f]
        test = test[given.own[k % len(given.own), test] > 0]
        y = given.labels[test] if binary else given.Y[k, test].astype(int)
        model.coef_, model.intercept_ = w[k, i, f].T, b[k, i, f, 0]
        more = _check_method_params(given.X, parameters, indices=test)
        scores[k, f, i] = scorer(model, given.X[test], y, **more)
    return scores


def best_of(scores: np.ndarray, otherwise: int) -> np.ndarray:
    """Return the penalty (K,) with the largest mean score of the folds (K, F, L).

    Scores that are NaN do not count; where all are, it is `otherwise`.
    """
    defined = ~np.isnan(scores)
    count = defined.sum(axis=1)
    total = np.where(defined, scores, 0.0).sum(axis=1)
    mean = np.where(count > 0, total / np.maximum(count, 1), -np.inf)
    return np.where(count.any(axis=1), mean.argmax(axis=1), otherwise)
