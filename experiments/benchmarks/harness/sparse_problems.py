"""Problems with an L1 penalty on a common X, and the duality gap of any answer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr


class Paths(NamedTuple):
    """Weights w (K, L, n) and biases b (K, L) of K problems at L penalties."""

    w: NDArray[Any]
    b: NDArray[Any]


class SparseProblems(NamedTuple):
    """K problems with a common X, each at L penalties, as scikit-learn takes them.

    Shapes: X (m, n), an array or a sparse matrix; Y (K, m), l1 (K, L) in falling order.
    The cost is the mean of the losses plus l1 |w|.
    """

    X: Any
    Y: NDArray[Any]
    l1: NDArray[Any]
    bias: bool = True

    @property
    def size(self) -> int:
        """The number of problems."""
        return len(self.Y)

    def part(self, count: int) -> SparseProblems:
        """Return the first problems."""
        return self._replace(Y=self.Y[:count], l1=self.l1[:count])

    def largest_gap(self, found: Paths) -> float:
        """Return the largest duality gap of the answers, computed in float64."""
        return max(
            duality_gap(self.X, self.Y[k], found.w[k, i], found.b[k, i], l1, self.bias)
            for k in range(self.size)
            for i, l1 in enumerate(self.l1[k])
        )


def duality_gap(X: Any, y: Any, w: Any, b: Any, l1: float, bias: bool = True) -> float:
    """Return how far the cost may be above its minimum; equation (51) with l2 = 0.

    The dual point is a - y after a Newton step of the bias, scaled until no product
    with a feature is larger than l1. Infinity where that is not in its range.

    Args:
        X: (m, n), an array or a sparse matrix.
        y: (m,).
        w: (n,).
        b: the bias.
        l1: the penalty.
        bias: whether the bias is free.
    """
    w, y, m = np.asarray(w, float), np.asarray(y, float), len(y)
    a = 1 / (1 + np.exp(-(X @ w + float(b))))
    u = a - y
    if bias:
        s = a * (1 - a)
        u = u - s * (u.mean() / s.mean())
    c = X.T @ u / m
    scale = min(1.0, l1 / np.abs(c).max())
    c, t = scale * c, y + scale * u
    if t.min() < 0 or t.max() > 1:
        return float("inf")
    divergence = (rel_entr(t, a) + rel_entr(1 - t, 1 - a)).mean()
    return float(divergence + (l1 * np.abs(w) + w * c).sum())


def largest_penalty(X: Any, Y: Any, bias: bool = True) -> NDArray[Any]:
    """Return the penalty (K,) of each row from which on no weight is left."""
    at_zero = Y.mean(axis=1, keepdims=True) if bias else 0.5
    return np.abs(X.T @ (Y - at_zero).T).max(axis=0) / Y.shape[1]
