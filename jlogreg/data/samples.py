"""Samples: features, labels, weights and offsets together, their values validated."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import is_traced, on_host
from jlogreg.base.checks import check_matrix, check_range
from jlogreg.data.design import Design, check_design

__all__ = [
    "Samples",
    "check_samples",
    "finite_samples",
    "prepare_rows",
    "prepare_samples",
    "validate",
    "weighted",
]


class Samples(NamedTuple):
    """Hold what is known about m samples, one column each; absent rows are None.

    Shapes: X stands for (n, m); y, weight and offset (1, m).
    """

    X: Design
    y: Float[Array, "1 m"]
    weight: Float[Array, "1 m"] | None = None
    offset: Float[Array, "1 m"] | None = None

    def slice_samples(self, start: Array | int, size: int) -> Samples:
        """Return `size` of the samples, from `start` on."""

        def take(row: Array) -> Array:
            return lax.dynamic_slice_in_dim(row, start, size, axis=1)

        X, *rows = self
        return Samples(X.slice_samples(start, size), *jax.tree.map(take, rows))

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


def validate(X: Any, y: Any, *, weight: Any = None, offset: Any = None) -> None:
    """Raise unless the data can be fitted.

    Shapes: X (n, m), an array or a design; y, weight and offset (1, m). X and offset
    must be finite and y in [0, 1] in every sample whose weight is not 0, weight at
    least 0 and not 0 everywhere. Of traced arguments only shapes and dtypes can be
    checked.

    Raises:
        DtypeError, RankError, ShapeError: an argument is not such an array.
        ValueError: a number in it is out of its range, NaN or infinite.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import validate
        >>> validate(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 2.0]]))
        Traceback (most recent call last):
            ...
        ValueError: y must be in [0, 1] everywhere, but 1 of 2 entries are not; ...
    """
    prepare_samples(check_samples(X, y, weight, offset))


def prepare_samples(samples: Samples) -> Samples:
    """Return the samples, every number in its range, or NaN where it is traced.

    A sample of weight 0 is left out, whatever it contains: what is no use becomes 0. A
    feature that is not finite in any other is an error, or makes the weight NaN.
    Without weights a traced X stays as it is, since to look at it would be a pass over
    all the data: a NaN in it goes through every sum by itself.

    Raises:
        ValueError: a number that is known is out of its range, NaN or infinite.
    """
    X, y, weight, offset = samples
    if weight is None:
        X.check_values("X")
        return prepare_rows(samples)
    weight = check_range("weight", weight, 0.0)
    X, weight = _clean(X, weight)
    return prepare_rows(Samples(X, y, weight, offset))


def prepare_rows(samples: Samples) -> Samples:
    """Return the samples, every number but the features in its range, or NaN.

    Raises:
        ValueError: a number that is known is out of its range, NaN or infinite.
    """
    X, y, weight, offset = samples
    if weight is not None:
        weight = check_range("weight", weight, 0.0)
        if not is_traced(weight):
            with jax.ensure_compile_time_eval():
                if not on_host(weight).any():
                    raise ValueError("weight is 0 for every sample: none is left")
        y = _usable(weight, y, 0.0, 1.0)
        offset = None if offset is None else _usable(weight, offset)
    if offset is not None:
        offset = check_range("offset", offset)
    return Samples(X, check_range("y", y, 0.0, 1.0), weight, offset)


def _usable(
    weight: Array, row: Array, low: float = -math.inf, high: float = math.inf
) -> Array:
    """Return the row with 0 for what is out of range in a sample that is left out.

    What is in range stays, so that the derivative in a weight of 0 is that of putting
    the sample in.
    """
    if is_traced(weight) or is_traced(row):
        return _replaced(weight, row, low, high)
    with jax.ensure_compile_time_eval():
        return _replaced(weight, row, low, high)


@partial(jax.jit, static_argnums=(2, 3), inline=True)
def _replaced(weight: Array, row: Array, low: float, high: float) -> Array:
    inside = jnp.isfinite(row) & (row >= low) & (row <= high)
    return jnp.where((weight == 0) & ~inside, 0, row)


def _clean(X: Design, weight: Array) -> tuple[Design, Array]:
    """Return X without what is not finite, and NaN weights where that mattered.

    X is cleaned as a whole, not problem by problem, so that problems which differ in
    their weights go on sharing it.
    """
    if any(map(is_traced, jax.tree.leaves(X))):
        poison = ~X.finite() & (weight != 0)
        return X.zero_nonfinite(), jnp.where(poison, jnp.nan, weight)
    with jax.ensure_compile_time_eval():
        finite = finite_samples(X)
        if finite.all():
            return X, weight
        if not is_traced(weight):
            if (~finite & (weight != 0)).any():
                X.check_values("X")
            return X.zero_nonfinite(), weight
        X = X.zero_nonfinite()
    return X, jnp.where(~finite & (weight != 0), jnp.nan, weight)


@jax.jit
def finite_samples(X: Design) -> Bool[Array, "1 m"]:
    """Return which samples have finite features only.

    Compiled, so that one pass over a large X makes no temporary array of its size.
    """
    return X.finite()


def weighted(row: Float[Array, "1 m"], part: Samples) -> Float[Array, "1 m"]:
    """Return the row, times the weights where there are any."""
    if part.weight is None:
        return row
    # A sample that is left out may have overflowed.
    out = (part.weight == 0) & ~jnp.isfinite(row)
    return part.weight * jnp.where(out, 0.0, row)
