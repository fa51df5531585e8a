"""Problems with a common X, and their models, as NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jlogreg import Params, stack


class Models(NamedTuple):
    """Parameters of K models side by side: w (n, K), b (K, 1)."""

    w: NDArray[Any]
    b: NDArray[Any]

    @classmethod
    def of(cls, params: Params) -> Models:
        """Return the models of params with a leading axis K."""
        return cls(*map(np.asarray, stack(params)))


def side_by_side(parts: Sequence[Models]) -> Models:
    """Return all models of the parts."""
    w, b = zip(*parts, strict=True)
    return Models(w=np.concatenate(w, axis=1), b=np.concatenate(b))


class Problems(NamedTuple):
    """K problems with a common X, which has a row per sample, as in scikit-learn.

    Shapes: X (m, n); Y and weight (K, m), or (1, m) if common; the start w (n, 1) and
    b (1, 1).
    """

    X: NDArray[Any]
    Y: NDArray[Any]
    weight: NDArray[Any] | None
    l2: float
    start: Models | None = None

    @property
    def size(self) -> int:
        """The number of problems."""
        return max(len(self.Y), 1 if self.weight is None else len(self.weight))

    def part(self, rows: NDArray[np.intp]) -> Problems:
        """Return some of the problems."""
        Y = self.Y[rows] if len(self.Y) > 1 else self.Y
        if self.weight is None or len(self.weight) == 1:
            return self._replace(Y=Y)
        return self._replace(Y=Y, weight=self.weight[rows])

    def largest_gradient(self, models: Models) -> float:
        """Return the largest |entry| of the gradients, computed in float64."""
        w, b = (leaf.astype(float) for leaf in models)
        X = self.X.astype(float)
        z = w.T @ X.T + b
        dz = 1 / (1 + np.exp(-z)) - self.Y
        if self.weight is None:
            dz /= dz.shape[1]
        else:
            dz *= self.weight / self.weight.sum(axis=1, keepdims=True, dtype=float)
        dw, db = X.T @ dz.T + self.l2 * w, dz.sum(axis=1)
        return float(max(np.abs(dw).max(), np.abs(db).max()))
