"""The duality gap of parameters with an L1 penalty, in long double."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["long_gap"]


def long_gap(
    parts: Sequence[Any],
    point: np.ndarray,
    step: np.ndarray,
    l1: np.ndarray,
    l2: np.ndarray,
    bias: bool = True,
) -> float:
    """Return J less the dual cost, sample by sample; infinity without a dual point.

    Equation (51) of docs/derivation.md, with all its constraints checked. Shapes: point
    (k, 1), w above b; step (k, 1), H^-1 g on the face and 0 elsewhere; l1 and l2 (k,
    1). parts holds the samples, in blocks.
    """
    # u = r - s XT step for each sample, and the sum of p u less that of the bias.
    total = sum(part.weight.sum() for part in parts)
    rows = [_row(part, point, step) for part in parts]
    lost = sum(
        (part.weight * u).sum() for part, (_, u, _) in zip(parts, rows, strict=True)
    )
    curved = sum(
        (part.weight * s).sum() for part, (_, _, s) in zip(parts, rows, strict=True)
    )
    shift = lost / curved if bias and curved > 0 else 0
    rows = [(a, u - shift * s, s) for a, u, s in rows]
    c = sum(
        part.x @ (part.weight * u).T
        for part, (_, u, _) in zip(parts, rows, strict=True)
    )
    c = c / total
    c[-1] = 0
    # Its weights without a penalty: what is left of c is the rounding of the step.
    c[(l1 + l2 == 0) & (np.abs(c) <= 1e-12 * _sizes(parts, total))] = 0
    bound = (l2 == 0) & (np.abs(c) > l1)
    kappa = float((l1[bound] / np.abs(c[bound])).min()) if bound.any() else 1.0
    c = kappa * c
    # The samples' divergences KL(t || a), and the penalties' parts.
    gap: Any = 0.0
    for part, (a, u, _) in zip(parts, rows, strict=True):
        t, kept = part.labels + kappa * u, part.weight > 0
        if ((t < 0) | (t > 1))[kept].any():
            return float("inf")
        first, second = _entropy(t, a), _entropy(1 - t, 1 - a)
        gap += (part.weight * np.where(kept, first + second, 0)).sum() / total
    beyond = np.maximum(np.abs(c) - l1, 0)
    gap += (l1 * np.abs(point) + point * c + l2 * point**2 / 2).sum()
    gap += (beyond**2 / np.where(l2 > 0, 2 * l2, 1))[l2 > 0].sum()
    return max(float(gap), 0.0)


def _row(part: Any, point: np.ndarray, step: np.ndarray) -> tuple[Any, Any, Any]:
    """Return a, u and s of the samples of a block."""
    z = point.T @ part.x + part.offset
    e = np.exp(-np.abs(z))
    a, rest = np.where(z >= 0, 1, e) / (1 + e), np.where(z >= 0, e, 1) / (1 + e)
    r = (1 - part.labels) * a - part.labels * rest
    return a, r - a * rest * (step.T @ part.x), a * rest


def _sizes(parts: Sequence[Any], total: Any) -> Any:
    """Return the mean size of each feature (k, 1)."""
    return sum(np.abs(part.x) @ part.weight.T for part in parts) / total


def _entropy(t: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return t log(t / a), 0 for t = 0."""
    positive = t > 0
    ratio = np.where(positive, t, 1) / np.where(positive & (a > 0), a, 1)
    terms: np.ndarray = np.where(positive, t * np.log(ratio), 0)
    return terms
