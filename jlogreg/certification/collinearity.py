"""Collinear features: which of them the others leave no freedom.

A pivoted QR decomposition of the centred features in double precision; it names a
constant feature, and each one that the features before it give, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jlogreg.certification.rational import NEARLY, nearly_dependent

__all__ = ["Collinearity", "collinearity"]

# Up to so many numbers the features are looked at.
LARGEST = 20_000_000
MAX_NAMED = 5


class Collinearity(NamedTuple):
    """Features that others give: constant ones, and sums of others.

    constant: their places; sums: the place of each that is a weighted sum of others,
    with the places of those.
    """

    constant: list[int]
    sums: dict[int, list[int]]

    def text(self, names: Sequence[str]) -> str:
        """Return the features by name in one line, "" if there are none."""
        parts = []
        if self.constant:
            some = ", ".join(names[j] for j in self.constant[:MAX_NAMED])
            more = ", ..." if len(self.constant) > MAX_NAMED else ""
            verb = "is" if len(self.constant) == 1 else "are"
            parts.append(f"{some}{more} {verb} constant")
        for j, others in [*self.sums.items()][:MAX_NAMED]:
            some = ", ".join(names[k] for k in others[:MAX_NAMED])
            more = ", ..." if len(others) > MAX_NAMED else ""
            parts.append(f"{names[j]} is given by {some}{more}")
        if len(self.sums) > MAX_NAMED:
            parts.append(f"and {len(self.sums) - MAX_NAMED} more")
        return "; ".join(parts)


def collinearity(X: Float[np.ndarray, "n m"], bias: bool = True) -> Collinearity:
    """Return which features are constant or given by others; host only.

    Shapes: X (n, m), the samples that count, finite. Without a bias a constant feature
    is one of 0. The later of two equal features is said to be given by the earlier.
    None are found in data that are too large to look at.
    """
    if X.size > LARGEST or not X.size:
        return Collinearity([], {})
    X = X.astype(float)
    size = np.abs(X).max(axis=1)
    X = X / np.where(size > 0, size, 1)[:, None]
    if bias:
        X = X - X.mean(axis=1, keepdims=True)
    length = np.linalg.norm(X, axis=1)
    constant = length <= NEARLY * np.sqrt(X.shape[1])
    places = np.flatnonzero(~constant)
    if not places.size:
        return Collinearity(np.flatnonzero(constant).tolist(), {})
    basis, dependent, shares = nearly_dependent(X[places] / length[places, None])
    sums = {}
    for share, given in zip(shares.T, dependent, strict=True):
        others = places[basis[np.abs(share) > NEARLY]]
        # Of two that give each other the later one is named.
        group = sorted([*others.tolist(), int(places[given])])
        sums[group[-1]] = group[:-1]
    return Collinearity(np.flatnonzero(constant).tolist(), dict(sorted(sums.items())))
