"""Sums over samples in long double, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jlogreg.data.samples import Samples

__all__ = ["block_sums", "sample_blocks", "to_long_double"]

# Samples in a block.
BLOCK = 4096
LONG = np.finfo(np.longdouble)


class _Part(NamedTuple):
    """A block of samples, in long double.

    Shapes: x (n + 1, size), the features above a row of ones; labels, weight and offset
    (1, size).
    """

    x: np.ndarray
    labels: np.ndarray
    weight: np.ndarray
    offset: np.ndarray


class _Sums(NamedTuple):
    """Weighted sums over a block of samples.

    Shapes: loss () and weight (); slope (n + 1, 1), the sum of x dz; curvature (n + 1,
    n + 1), that of x s xT; separated, whether all samples are.
    """

    loss: Any
    slope: Any
    curvature: Any
    weight: Any
    separated: bool


def to_long_double(array: Any) -> np.ndarray:
    """Return an array as a NumPy array of long double."""
    return np.asarray(array).astype(np.longdouble)


def sample_blocks(samples: Samples) -> Iterator[_Part]:
    """Return an iterator over blocks of at most 4096 samples."""
    weight, offset = samples.weight, samples.offset
    m = samples.X.shape[1]
    columns, y = np.asarray(samples.X.dense()), np.asarray(samples.y)
    v = np.ones((1, m)) if weight is None else np.asarray(weight)
    z0 = np.zeros((1, m)) if offset is None else np.asarray(offset)
    for start in range(0, m, BLOCK):
        part = slice(start, start + BLOCK)
        labels = to_long_double(y[:, part])
        yield _Part(
            x=np.concatenate([to_long_double(columns[:, part]), np.ones_like(labels)]),
            labels=labels,
            weight=to_long_double(v[:, part]),
            offset=to_long_double(z0[:, part]),
        )


def block_sums(part: _Part, point: np.ndarray, unpenalised: np.ndarray) -> _Sums:
    """Return the sums of a block, equations (2) to (13) of docs/derivation.md.

    Shapes: point (n + 1, 1), w above b; unpenalised (n + 1, 1), the same with 0 for the
    weights that have a penalty.
    """
    x, labels, v = part.x, part.labels, part.weight
    # Logits (2), probabilities a and rest = 1 - a (3), losses (6), derivatives dz (9).
    z = point.T @ x + part.offset
    e = np.exp(-np.abs(z))
    a, rest = np.where(z >= 0, 1, e) / (1 + e), np.where(z >= 0, e, 1) / (1 + e)
    loss = np.where(z >= 0, 1 - labels, labels) * np.abs(z) + np.log1p(e)
    dz = v * ((1 - labels) * a - labels * rest)
    # Separation (19): the label is 0 or 1, and uT x has the sign that belongs to it,
    # by more than the rounding of its sum.
    free = unpenalised.T @ x
    rounding = (len(x) + 2) * LONG.eps * (np.abs(unpenalised.T) @ np.abs(x))
    right = np.where(labels == 1, free > rounding, (labels == 0) & (free < -rounding))
    return _Sums(
        loss=(v * loss).sum(),
        slope=x @ dz.T,
        curvature=(x * (v * a * rest)).astype(float) @ x.T.astype(float),
        weight=v.sum(),
        separated=bool((right | (v == 0)).all()),
    )
