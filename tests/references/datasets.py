"""Hold the data sets of the table of reference solutions, exact to the last bit.

A solution to 50 digits belongs to one set of float64 numbers and to no other, so these
must be the same numbers everywhere: they are files, or come with scikit-learn. Means
are sums by `math.fsum`, which rounds once.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

DATA = Path(__file__).with_name("data")


class Reference(NamedTuple):
    """Hold a problem: X (n, m), rows (1, m) or None, l2 a number or (n, 1)."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None = None
    offset: np.ndarray | None = None
    l2: Any = 0.0


def read(name: str, l2: Any = 0.0) -> Reference:
    """Return a problem from its file, with a line for each sample."""
    names, *lines = (DATA / f"{name}.csv").read_text().split()
    table = np.array([line.split(",") for line in lines], float).T[:, None]
    columns = dict(zip(names.split(","), table, strict=True))
    rows = {
        key: columns.pop(key) for key in ("y", "weight", "offset") if key in columns
    }
    return Reference(np.concatenate(list(columns.values())), **rows, l2=l2)


def spector() -> Reference:
    return read("spector")


def endometrial() -> Reference:
    return read("endometrial")


def sex2() -> Reference:
    return read("sex2")


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


def rare() -> Reference:
    """Return one feature that is 1 in 6 of 200 samples.

    2 of those 6 and 20 of the others are labelled 1, so the solution is known:
    b = log(20 / 174) and w = log(2 / 4) - b.
    """
    x, y = np.zeros((1, 200)), np.zeros((1, 200))
    x[0, ::35] = 1
    y[0, [0, 70, *range(1, 200, 10)]] = 1
    return Reference(x, y)


# README.md says what is hard about each.
DATASETS = {
    "spector": spector,
    "breast_cancer": breast_cancer,
    "breast_cancer_standardized": breast_cancer_standardized,
    "synthetic": partial(read, "synthetic"),
    "near_collinear": partial(read, "near_collinear"),
    "scales": partial(read, "scales"),
    "weighted_offset_soft": partial(
        read, "weighted_offset_soft", l2=np.array([[0.5], [0.0], [0.01]])
    ),
    "rare": rare,
    "wide": partial(read, "wide", l2=0.05),
}
