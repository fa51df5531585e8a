"""Mean and standard deviation of features, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def mean_and_deviation(X: NDArray[Any]) -> tuple[Numbers, Numbers]:
    """Return the mean (n, 1) and the standard deviation (n, 1) of features X (n, m).

    A constant feature has its own value as mean and the deviation 1, so that it becomes
    exactly 0.
    """
    X = X.astype(np.float64)  # a square overflows in float32
    constant = X.min(axis=1, keepdims=True) == X.max(axis=1, keepdims=True)
    mean = np.where(constant, X[:, :1], X.mean(axis=1, keepdims=True))
    deviation = np.where(constant, 1, X.std(axis=1, keepdims=True))
    return mean, deviation
