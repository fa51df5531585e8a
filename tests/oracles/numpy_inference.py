"""Compute covariances and statistics of a fit in NumPy, by their definitions.

Nothing here uses jlogreg's mathematics: it is the independent side of a comparison.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["numpy_covariance", "numpy_parts"]


def numpy_parts(theta: Any, X: Any, y: Any, weight: Any, offset: Any, l2: Any) -> Any:
    """Return x (k, m), weights v, residuals y - a, curvatures s (m,), and penalties."""
    x = np.vstack([X, np.ones((1, X.shape[1]))])
    v = np.ones(x.shape[1]) if weight is None else np.asarray(weight)[0]
    z = (theta.T @ x)[0] + (0 if offset is None else np.asarray(offset)[0])
    a = 1 / (1 + np.exp(-z))
    penalty = np.append(np.broadcast_to(l2, (len(X), 1)), 0.0)
    return x, v, np.asarray(y)[0] - a, a * (1 - a), penalty


def numpy_covariance(
    kind: str,
    theta: np.ndarray,
    X: np.ndarray,
    y: np.ndarray,
    weight: Any = None,
    offset: Any = None,
    l2: Any = 0.0,
    clusters: Any = None,
    weights: str = "frequency",
) -> np.ndarray:
    """Return the covariance of w above b, one sample or cluster after another."""
    x, v, e, s, penalty = numpy_parts(theta, X, y, weight, offset, l2)
    k, m = x.shape
    A = sum(v[i] * s[i] * np.outer(x[:, i], x[:, i]) for i in range(m))
    A = A + v.sum() * np.diag(penalty)
    inverse = np.linalg.inv(A)
    scores = [x[:, i] * e[i] - penalty * theta[:, 0] for i in range(m)]
    copies = weights == "frequency"
    N = v.sum() if copies else (v > 0).sum()
    B = np.zeros((k, k))
    if clusters is not None:
        ids = [g for g in np.unique(clusters) if v[clusters[0] == g].sum() > 0]
        members = [np.flatnonzero(clusters[0] == g) for g in ids]
        sums = [sum(v[i] * scores[i] for i in each) for each in members]
        G = len(ids)
        if kind == "cluster":
            B = sum(np.outer(one, one) for one in sums) * G / (G - 1)
            return inverse @ B @ inverse
        total = np.zeros((k, k))
        for each, one in zip(members, sums, strict=True):
            left = A - sum(
                v[i] * (s[i] * np.outer(x[:, i], x[:, i]) + np.diag(penalty))
                for i in each
            )
            change = np.linalg.solve(left, one)
            total += np.outer(change, change) * (G - 1) / G
        return total
    for i in range(m):
        times = v[i] if copies else v[i] ** 2
        h = s[i] * x[:, i] @ inverse @ x[:, i] * (1 if copies else v[i])
        squared = np.outer(scores[i], scores[i])
        if kind == "fisher":
            squared, factor = s[i] * np.outer(x[:, i], x[:, i]), 1
        else:
            factor = {
                "HC0": 1,
                "HC1": N / (N - k),
                "HC2": 1 / (1 - h),
                "HC3": 1 / (1 - h) ** 2,
                "jackknife": (N - 1) / N / (1 - h) ** 2,
            }[kind]
        B = B + times * factor * squared
    return inverse @ B @ inverse
