"""Compute Firth's estimate in NumPy, by the formulas of its score.

Nothing here uses jlogreg's mathematics: it is the independent side of a comparison.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["numpy_firth", "penalized_likelihood"]


def penalized_likelihood(
    theta: np.ndarray, x: np.ndarray, y: np.ndarray, v: Any, offset: Any, tau: float
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Return l*, its score U*, the information and the augmented one.

    Shapes: theta (k,), x (k, m), the others (m,). The leverages are the diagonal of the
    whole projection matrix.
    """
    z = theta @ x + offset
    a = 1 / (1 + np.exp(-z))
    s = 1 / (2 + np.exp(z) + np.exp(-z))
    root = x * np.sqrt(v * s)
    information = root @ root.T
    projection = root.T @ np.linalg.solve(information, root)
    h = np.diag(projection)
    sign, log_det = np.linalg.slogdet(information)
    value = v @ (y * z - np.logaddexp(0, z)) + tau * (log_det if sign > 0 else -np.inf)
    score = x @ (v * (y - a) + 2 * tau * h * (0.5 - a))
    return value, score, information, (x * ((v + 2 * tau * h) * s)) @ x.T


def numpy_firth(
    x: np.ndarray,
    y: np.ndarray,
    v: Any = None,
    offset: Any = 0.0,
    tau: float = 0.5,
    ridge: Any = 0.0,
    free: Any = None,
    start: Any = None,
) -> tuple[np.ndarray, float]:
    """Return the estimate (k,) and l*, by steps with the augmented information.

    Args:
        x: (k, m), with a row of ones for a bias.
        y: labels (m,).
        v: weights (m,), or None.
        offset: (m,) or 0.
        tau: the strength of the prior.
        ridge: the penalty ridge theta^2 / 2 of the summed losses, (k,) or 0.
        free: which of the parameters move, (k,), or None for all.
        start: (k,), or None.
    """
    k = len(x)
    v = np.ones(x.shape[1]) if v is None else v
    ridge = np.broadcast_to(ridge, (k,))
    free = np.ones(k, bool) if free is None else free
    theta = np.zeros(k) if start is None else np.array(start, float)

    def look(theta: np.ndarray) -> Any:
        value, score, *rest = penalized_likelihood(theta, x, y, v, offset, tau)
        penalty = (ridge * theta * theta).sum() / 2
        return value - penalty, score - ridge * theta, *rest

    value, score, _, augmented = look(theta)
    for _ in range(2000):
        matrix = (augmented + np.diag(ridge))[np.ix_(free, free)]
        step = np.zeros(k)
        step[free] = np.linalg.solve(matrix, score[free])
        moved = np.abs(step @ x).max()
        if moved < 1e-11:
            break
        step /= max(1.0, moved / 5)
        new = look(theta + step)
        while not new[0] >= value - 1e-13 * abs(value):
            step /= 2
            new = look(theta + step)
        theta, (value, score, _, augmented) = theta + step, new
    return theta, value
