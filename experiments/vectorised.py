"""Compute cost, gradient and descent in vectorised NumPy, as the textbook does.

This is what the jitted functions are measured against: no loop over samples or
features, whole matrices at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def value_and_gradient(
    w: Floats, b: Floats, X: Floats, y: Floats
) -> tuple[float, Floats, Floats]:
    """Return J, dw (n, 1) and db (1, 1) for X (n, m), y (1, m)."""
    m = X.shape[1]
    z = w.T @ X + b
    a = 1 / (1 + np.exp(-z))
    J = -np.mean(y * np.log(a) + (1 - y) * np.log(1 - a))
    dz = a - y
    return float(J), X @ dz.T / m, dz.mean(axis=1, keepdims=True)


def gradient_descent(
    w: Floats, b: Floats, X: Floats, y: Floats, learning_rate: float, steps: int
) -> tuple[Floats, Floats, list[float]]:
    """Return w, b and the cost before each step."""
    costs = []
    for _ in range(steps):
        J, dw, db = value_and_gradient(w, b, X, y)
        w = w - learning_rate * dw
        b = b - learning_rate * db
        costs.append(J)
    return w, b, costs
