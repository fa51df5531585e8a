"""Predictions of one model for each class against the rest, or for each label."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

__all__ = ["OneAgainstRestMixin"]


class OneAgainstRestMixin:
    """Predictions from the logits of a binary model for each class, or label.

    The logits are those of scikit-learn's `decision_function`, which reads `coef_` and
    `intercept_` as they are.
    """

    _multilabel = False

    def predict(self, X: Any) -> np.ndarray:
        """Return the class with the largest logit, or 0 and 1 for each label.

        Shapes: X (m, n); result (m,), or (m, K) for labels.
        """
        check_is_fitted(self)
        if self._multilabel:
            return (self._logits(X) > 0).astype(int)
        found: np.ndarray = super().predict(X)  # type: ignore[misc]
        return found

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Shapes: X (m, n); result (m, C). Those of two classes are 1 - a and a; those of
        more are the probabilities of each against the rest, divided by their sum; those
        of labels are the a of each, and do not add up to 1.
        """
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of the probability of each class, finite in the tails.

        Shapes: X (m, n); result (m, C).
        """
        check_is_fitted(self)
        z = self._logits(X)
        # log sigmoid(z), without a probability that is rounded to 0 or 1.
        log_a = -np.logaddexp(0, -z)
        if self._multilabel:
            return log_a
        if z.shape[1] == 1:
            return np.hstack([-np.logaddexp(0, z), log_a])
        return log_a - np.logaddexp.reduce(log_a, axis=1, keepdims=True)

    def _logits(self, X: Any) -> np.ndarray:
        z: np.ndarray = self.decision_function(X)  # type: ignore[attr-defined]
        return z[:, None] if z.ndim == 1 else z

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks of an estimator."""
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        tags.array_api_support = False
        return tags
