"""Hold the data sets of the table of reference solutions, exact to the last bit.

A solution to 50 digits belongs to one set of float64 numbers and to no other, so these
must be the same numbers everywhere. What is drawn comes from a generator of a few
lines, in whole numbers that are then divided by a power of two: NumPy promises no
stable streams over its versions, and a logarithm or a sum may be rounded otherwise on
another processor. Means are sums by `math.fsum`, which rounds once.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

GRID = 1024  # drawn numbers are multiples of 1 / GRID, hence exact in float32 too


class Reference(NamedTuple):
    """Hold a problem: X (n, m), rows (1, m) or None, l2 a number or (n, 1)."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None = None
    offset: np.ndarray | None = None
    l2: Any = 0.0


class Draws:
    """Draw whole numbers by Knuth's 64-bit linear congruential generator (MMIX)."""

    def __init__(self, seed: int) -> None:
        self.state = seed
        for _ in range(8):  # small seeds start alike
            self.integer(2)

    def integer(self, below: int) -> int:
        self.state *= 6364136223846793005
        self.state = (self.state + 1442695040888963407) % 2**64
        return (self.state >> 32) * below >> 32  # the upper bits are the better ones

    def bell(self) -> int:
        """Return a whole number of about mean 0 and standard deviation GRID."""
        return sum(self.integer(2 * GRID) for _ in range(3)) - 3 * GRID

    def bells(self, n: int, m: int) -> np.ndarray:
        return np.array([[self.bell() for _ in range(m)] for _ in range(n)])


def labels(draws: Draws, numbers: np.ndarray, effects: list[int]) -> np.ndarray:
    """Return a row of labels: 1 where effects and noise add up to more than 0.

    No probability is computed, which would need an exponential. The noise is of the
    size of one effect, so that the classes overlap.
    """
    n, m = numbers.shape
    noise = 2 * draws.bells(1, m)
    column = np.array(effects).reshape(n, 1)
    return (np.sum(column * numbers, axis=0, keepdims=True) + noise > 0).astype(float)


# Spector and Mazzeo (1980): GPA in hundredths, TUCE, PSI, GRADE. See README.md.
SPECTOR = """
266 20 0 0  289 22 0 0  328 24 0 0  292 12 0 0  400 21 0 1  286 17 0 0  276 17 0 0
287 21 0 0  303 25 0 0  392 29 0 1  263 20 0 0  332 23 0 0  357 23 0 0  326 25 0 1
353 26 0 0  274 19 0 0  275 25 0 0  283 19 0 0  312 23 1 0  316 25 1 1  206 22 1 0
362 28 1 1  289 14 1 0  351 26 1 0  354 24 1 1  283 27 1 1  339 17 1 1  267 24 1 0
365 21 1 1  400 23 1 1  310 21 1 0  239 19 1 1
"""


def spector() -> Reference:
    gpa, tuce, psi, grade = np.array(SPECTOR.split(), float).reshape(-1, 4).T
    return Reference(np.array([gpa / 100, tuce, psi]), grade.reshape(1, -1))


def breast_cancer() -> Reference:
    """Return the columns as they come, from 1e-3 to 4e3, with a small penalty."""
    from sklearn.datasets import load_breast_cancer

    columns, target = load_breast_cancer(return_X_y=True)
    X = np.ascontiguousarray(columns.T, float)
    return Reference(X, target.astype(float).reshape(1, -1), l2=1e-3)


def breast_cancer_standardized() -> Reference:
    raw = breast_cancer()
    return raw._replace(X=np.array([standardize(row) for row in raw.X]), l2=0.01)


def standardize(row: np.ndarray) -> np.ndarray:
    mean = math.fsum(row) / row.size
    deviations = row - mean
    variance = math.fsum(deviations * deviations) / row.size
    return deviations / math.sqrt(variance)


def synthetic() -> Reference:
    draws = Draws(11)
    numbers = draws.bells(4, 60)
    return Reference(numbers / GRID, labels(draws, numbers, [2, -1, 1, 0]))


def near_collinear() -> Reference:
    """Return two columns that are 2^-13 (about 1e-4) times a third one apart."""
    draws = Draws(2)
    numbers = draws.bells(3, 64)
    y = labels(draws, numbers, [2, 1, -1])
    first, apart, other = numbers / GRID
    return Reference(np.array([first, first + apart * 2.0**-13, other]), y)


def scales() -> Reference:
    """Return columns of the sizes 1, 1e2, 1e4 and 1e6."""
    draws = Draws(3)
    numbers = draws.bells(4, 60)
    sizes = np.array([[1.0], [1e2], [1e4], [1e6]])
    return Reference(numbers / GRID * sizes, labels(draws, numbers, [1, 1, -1, -1]))


def weighted_offset_soft() -> Reference:
    """Return labels between 0 and 1, weights of 0 to 2, and one feature unpenalised."""
    draws = Draws(4)
    m = 50
    y = [[draws.integer(65) / 64 for _ in range(m)]]
    weight = [[draws.integer(5) / 2 for _ in range(m)]]
    return Reference(
        X=draws.bells(3, m) / GRID,
        y=np.array(y),
        weight=np.array(weight),
        offset=draws.bells(1, m) / GRID,
        l2=np.array([[0.5], [0.0], [0.01]]),
    )


def rare() -> Reference:
    """Return one feature that is 1 in 6 of 200 samples.

    2 of those 6 and 20 of the others are labelled 1, so the solution is known:
    b = log(20 / 174) and w = log(2 / 4) - b.
    """
    x, y = np.zeros((1, 200)), np.zeros((1, 200))
    x[0, ::35] = 1
    y[0, [0, 70, *range(1, 200, 10)]] = 1
    return Reference(x, y)


def wide() -> Reference:
    """Return more features than samples; the penalty makes the solution unique."""
    draws = Draws(14)
    numbers = draws.bells(40, 12)
    y = labels(draws, numbers, [1, -1] + 38 * [0])
    return Reference(numbers / GRID, y, l2=0.05)


DATASETS = {
    function.__name__: function
    for function in (
        spector,
        breast_cancer,
        breast_cancer_standardized,
        synthetic,
        near_collinear,
        scales,
        weighted_offset_soft,
        rare,
        wide,
    )
}
