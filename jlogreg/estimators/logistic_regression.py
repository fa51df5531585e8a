"""scikit-learn's LogisticRegression, fitted by `fit` and `fit_many`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import linear_model
from sklearn.base import _fit_context

from jlogreg.base.params import Params
from jlogreg.estimators.parameters import check_penalty
from jlogreg.estimators.prediction import OneAgainstRestMixin
from jlogreg.estimators.samples import Training, check_training
from jlogreg.estimators.solve import solve, store, warn_of

__all__ = ["LogisticRegression"]


class LogisticRegression(OneAgainstRestMixin, linear_model.LogisticRegression):  # type: ignore[misc]
    """Logistic regression with the interface of scikit-learn.

    The parameters are those of `sklearn.linear_model.LogisticRegression`, with the same
    defaults, and X (m, n) has a row per sample, as there. The cost has the same
    minimum: the sum of the weighted losses + ((1 - r) ‖w‖² / 2 + r ‖w‖₁) / C, where r
    is l1_ratio. What differs:

    - More than two classes are one problem each, the class against the rest, all solved
      in one `fit_many`. scikit-learn fits them jointly.
    - y may be (m, K): then each column is a label of its own, 0, 1 or NaN where it is
      missing.
    - A fit that has not converged warns with the reason, and `status_` (K,) holds the
      `Status` of each problem. The coefficients are then those where it stopped.
    - float64 is computed in float64, and float32 in float32, whatever JAX's setting.
    - tol is the largest change of a logit by the last step of Newton's method, which
      leaves an error of tol² / 2.
    - The solver is chosen by the shape and the penalty. solver, random_state, verbose
      and n_jobs have no effect; what only liblinear has is an error.

    Shapes: `coef_` (K, n), `intercept_`, `status_` and `n_iter_` (K,), where K is 1 for
    two classes, else the number of classes or labels.

    Examples:
        >>> from jlogreg.estimators import LogisticRegression
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = LogisticRegression(C=10).fit(X, y)
        >>> model.coef_.shape, model.coef_.dtype.name, model.status_.tolist()
        ((3, 4), 'float64', [0, 0, 0])
        >>> print(f"{model.score(X, y):.2f}")
        0.97
    """

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LogisticRegression:
        """Return the model, fitted to the samples.

        Shapes: X (m, n), an array, a data frame or a sparse matrix; y (m,), classes of
        any kind, or (m, K) of 0, 1 and NaN; sample_weight (m,), at least 0.
        """
        C, (ratio,) = check_penalty(self)
        given = check_training(self, X, y, sample_weight, self.class_weight)
        context = self._init_callback_context()
        context.call_on_fit_task_begin(estimator=self, X=X, y=y, metadata=None)
        found = solve(self, given, C, ratio, self._start(given))
        self.n_iter_ = np.asarray(found.steps)
        store(self, given, found.params, found.status)
        context.call_on_fit_task_end(
            estimator=self, X=X, y=y, metadata=None, reconstruction_attributes={}
        )
        warn_of(self.status_)
        return self

    def _start(self, given: Training) -> Params | None:
        """Return the last fit, if the next one is to start from it."""
        w = getattr(self, "coef_", None) if self.warm_start else None
        if w is None or np.shape(w) != (len(given.Y), given.X.shape[1]):
            return None
        w = w if isinstance(w, np.ndarray) else w.toarray()  # after `sparsify`
        b = self.intercept_ if self.fit_intercept else np.zeros(len(w))
        start: Any = (np.array(leaf, given.X.dtype) for leaf in (w[..., None], b))
        w, b = start
        return Params(w, b[:, None, None])
