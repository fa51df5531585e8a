"""Tables, labels and weights as scikit-learn takes them, checked, as rows of labels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_array, check_consistent_length, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    column_or_1d,
    validate_data,
)

__all__ = ["Training", "check_training"]


class Training(NamedTuple):
    """The samples of a fit.

    Shapes: X (m, n), an array or a matrix of SciPy; labels (m,), or (m, K) with NaN
    where one is missing; Y (K, m), a row of 0 and 1 for each problem; own (1, m) or
    (K, m), the user's weights, 0 where a label is missing; weight, these times those of
    the classes; classes (C,).
    """

    X: Any
    labels: np.ndarray
    Y: np.ndarray
    own: np.ndarray
    weight: np.ndarray
    classes: np.ndarray

    @property
    def multilabel(self) -> bool:
        """Whether a sample may have several of the labels."""
        return self.labels.ndim == 2

    @property
    def total(self) -> np.ndarray:
        """The sum of the weights of each problem (K, 1)."""
        sums = self.weight.sum(axis=1, keepdims=True, dtype=float)
        return np.broadcast_to(sums, (len(self.Y), 1))


def check_training(
    model: Any, X: Any, y: Any, sample_weight: Any, class_weight: Any
) -> Training:
    """Return the samples, checked as scikit-learn does, and noted in the model.

    Args:
        model: the estimator.
        X: (m, n), a table.
        y: (m,), classes, or (m, K) with 0, 1 and NaN.
        sample_weight: (m,) or None.
        class_weight: None, "balanced", or a weight for each class.

    Raises:
        ValueError: if an argument is invalid, or there are fewer than two classes.
    """
    names = getattr(y, "columns", None)
    given = {"accept_sparse": "csr", "dtype": [np.float64, np.float32]}
    if _columns(y) > 1:
        X = validate_data(model, X, **given)
        labels = _check_multilabel(X, y)
        classes = np.arange(labels.shape[1]) if names is None else np.asarray(names)
        Y = labels.T
    else:
        X, labels = validate_data(model, X, y, **given)
        labels = column_or_1d(labels)
        check_classification_targets(labels)
        classes = np.unique(labels)
        if len(classes) < 2:
            raise ValueError(
                f"y has one class, {classes[0]!r}, but must have two or more"
            )
        Y = labels == (classes[1:] if len(classes) == 2 else classes)[:, None]
    own = _check_sample_weight(
        sample_weight, X, dtype=X.dtype, ensure_non_negative=True
    )[None]
    missing = np.isnan(Y) if labels.ndim == 2 else np.zeros_like(Y)
    own = np.where(missing, 0, own) if missing.any() else own
    empty = np.flatnonzero(~own.any(axis=1))
    if empty.size:
        raise ValueError(
            f"y has no label in column {empty[0]}: all are missing, or have a weight "
            "of 0"
        )
    Y = np.where(missing, 0, Y).astype(X.dtype)
    of_classes = _class_weights(class_weight, labels, own)
    weight = (own * of_classes).astype(X.dtype)
    return Training(X, labels, Y, own, weight, classes)


def _columns(y: Any) -> int:
    """Return the number of columns of labels, 1 where they are no table."""
    shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
    return int(shape[1]) if len(shape) == 2 else 1


def _check_multilabel(X: Any, y: Any) -> np.ndarray:
    """Return labels (m, K), each 0, 1 or NaN."""
    Y: np.ndarray = check_array(
        y.toarray() if hasattr(y, "toarray") else y,
        dtype=float,
        ensure_all_finite="allow-nan",
        input_name="y",
    )
    check_consistent_length(X, Y)
    if not (np.isnan(Y) | (Y == 0) | (Y == 1)).all():
        raise ValueError(
            f"y has {Y.shape[1]} columns, so each is a label of its own, and must be "
            "0, 1 or NaN (missing): multilabel-indicator is supported, "
            "multiclass-multioutput is not"
        )
    return Y


def _class_weights(
    class_weight: Any, labels: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """Return the weight of the class of each sample (1, m), or of each label (K, m)."""
    if class_weight is None:
        return np.ones_like(own[:1])
    if labels.ndim == 1:
        return _weights_of(class_weight, labels, own[0])[None]
    of_labels = zip(labels.T, np.broadcast_to(own, labels.T.shape), strict=True)
    return np.stack([_weights_of(class_weight, *pair) for pair in of_labels])


def _weights_of(class_weight: Any, labels: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the weight of the class of each sample (m,), 0 where it is missing."""
    seen, weight = labels == labels, np.zeros(len(labels))
    classes, place = np.unique(labels[seen], return_inverse=True)
    of_classes = compute_class_weight(
        class_weight, classes=classes, y=labels[seen], sample_weight=own[seen]
    )
    weight[seen] = of_classes[place]
    return weight
