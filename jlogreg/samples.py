"""Hold what is known about the samples, one column each."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
from jax import lax
from jaxtyping import Array, Float

from jlogreg.checks import check_matrix
from jlogreg.design import Design, check_design

__all__ = ["Samples", "check_samples"]


class Samples(NamedTuple):
    """Hold what is known about m samples, one column each; absent rows are None.

    Shapes: X stands for (n, m); y, weight and offset (1, m).
    """

    X: Design
    y: Float[Array, "1 m"]
    weight: Float[Array, "1 m"] | None = None
    offset: Float[Array, "1 m"] | None = None

    def part(self, start: Array | int, size: int) -> Samples:
        """Return `size` of the samples, from `start` on."""

        def take(row: Array) -> Array:
            return lax.dynamic_slice_in_dim(row, start, size, axis=1)

        X, *rows = self
        return Samples(X.part(start, size), *jax.tree.map(take, rows))

    def with_offset(self, z: Array) -> Array:
        """Return logits (1, m) with the offset, where there is one."""
        return z if self.offset is None else z + self.offset


def check_samples(X: Any, y: Any, weight: Any = None, offset: Any = None) -> Samples:
    """Return the samples with every row checked against X (n, m).

    Raises:
        DtypeError: an argument is no array of floats, or the dtypes differ.
        RankError, ShapeError: an argument has another shape than its role asks for.
    """
    X = check_design("X", X)

    def row(name: str, value: Any) -> Array:
        return check_matrix(name, value, (1, X.shape[1]), X.dtype)

    return Samples(
        X=X,
        y=row("y", y),
        weight=None if weight is None else row("weight", weight),
        offset=None if offset is None else row("offset", offset),
    )
