"""Cost, gradient, gradient descent and Newton's method in NumPy, as in a textbook.

The jitted functions are compared with `value_and_gradient`, which has no loop over
samples or features. `by_samples` has one loop, over the samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]
Pass: TypeAlias = Callable[
    [Floats, Floats, Floats, Floats], tuple[float, Floats, Floats]
]


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


def by_samples(
    w: Floats, b: Floats, X: Floats, y: Floats
) -> tuple[float, Floats, Floats]:
    """Return the same by one loop, over the samples, with products of vectors.

    A single number of a sample is a Python float: a NumPy call would take longer.
    """
    m = X.shape[1]
    X = np.asfortranarray(X)  # a column is contiguous
    J, dw, db, bias = 0.0, np.zeros_like(w), 0.0, b.item()
    for i, label in enumerate(y[0].tolist()):
        x = X[:, i : i + 1]
        z = (w.T @ x).item() + bias
        J += max(z, 0.0) - label * z + math.log1p(math.exp(-abs(z)))
        dz = (1 + math.tanh(z / 2)) / 2 - label
        dw += x * dz
        db += dz
    return J / m, dw / m, np.full_like(b, db / m)


def gradient_descent(
    w: Floats,
    b: Floats,
    X: Floats,
    y: Floats,
    learning_rate: float,
    steps: int,
    value_and_gradient: Pass = value_and_gradient,
) -> tuple[Floats, Floats, list[float]]:
    """Return w, b and the cost before each step."""
    costs = []
    for _ in range(steps):
        J, dw, db = value_and_gradient(w, b, X, y)
        w = w - learning_rate * dw
        b = b - learning_rate * db
        costs.append(J)
    return w, b, costs


def newton_converges(
    X: Floats, y: Floats, steps: int = 25, small: float = 1e-6
) -> bool:
    """Return whether Newton's method from 0 comes to a minimum in a few steps.

    At one, a step no longer changes any logit. Where there is none, as in labels that a
    plane separates, each step adds about 1 to some.
    """
    rows = np.vstack([X, np.ones_like(y)]).astype(np.float64)
    theta = np.zeros((len(rows), 1))
    for _ in range(steps):
        with np.errstate(over="ignore"):
            a = 1 / (1 + np.exp(-theta.T @ rows))
        try:
            step = np.linalg.solve(rows * a * (1 - a) @ rows.T, rows @ (a - y).T)
        except np.linalg.LinAlgError:
            return False
        theta -= step
        if np.abs(step.T @ rows).max() <= small:
            return True
    return False
