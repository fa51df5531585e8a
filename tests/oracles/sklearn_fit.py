"""Fit by scikit-learn, and compute the Fisher information of a fit."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

__all__ = ["information", "probabilities", "refit"]


def refit(X: np.ndarray, y: np.ndarray, l2: float = 0.0) -> np.ndarray:
    """Return weights and bias (n + 1,) for samples (n, m) and labels (m,)."""
    C = 1 / (l2 * y.size) if l2 else np.inf
    model = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    model.fit(np.asarray(X, np.float64).T, y)
    return np.append(model.coef_[0], model.intercept_)


def probabilities(params: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return the probability of label 1 for each sample, (m,)."""
    return 1 / (1 + np.exp(-(params[:-1] @ np.asarray(X, np.float64) + params[-1])))


def information(params: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return the Fisher information of all samples (n + 1, n + 1), the bias last."""
    a = probabilities(params, X)
    X = np.vstack([X, np.ones((1, a.size))])
    return (X * a * (1 - a)) @ X.T
