"""Samples: features, labels, weights and offsets together, their values validated.

Where the numbers are known, in eager mode and for constants of a compiled function, an
invalid one is an error. Where they are traced, it becomes NaN in whatever is computed
from it. It never becomes a plausible result.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import is_subnormal, is_traced, on_host, power_of_two
from jlogreg.base.checks import check_matrix, check_range
from jlogreg.base.params import Params
from jlogreg.base.programs import program
from jlogreg.base.shapes import as_labels, check_orientation
from jlogreg.data.design import Design, check_design
from jlogreg.data.devices.spread import gather, spread_alike
from jlogreg.data.streaming.streamed import streams_of

__all__ = [
    "Samples",
    "check_features",
    "check_samples",
    "check_weight",
    "check_weight_rows",
    "finite_samples",
    "prepare_rows",
    "prepare_samples",
    "scale_weights",
    "validate",
]


class Samples(NamedTuple):
    """Features, labels, weights and offsets of m samples, a column each.

    Shapes: X stands for (n, m); y, weight and offset (1, m). weight and offset are None
    where there are none.
    """

    X: Design
    y: Float[Array, "1 m"]
    weight: Float[Array, "1 m"] | None = None
    offset: Float[Array, "1 m"] | None = None

    def slice_samples(self, start: Array | int, size: int) -> Samples:
        """Return `size` of the samples, from `start` on."""

        def part(row: Array) -> Array:
            return lax.dynamic_slice_in_dim(row, start, size, axis=1)

        rows = self._replace(X=None)  # type: ignore[arg-type]
        return jax.tree.map(part, rows)._replace(X=self.X.slice_samples(start, size))

    def logits(self, params: Params) -> Float[Array, "1 m"]:
        """Return the logits z = wT X + b + offset; equation (2)."""
        return self.add_offset(self.X.forward(params.w) + params.b)

    def add_offset(self, z: Array) -> Array:
        """Return logits (1, m) plus the offset, where there is one."""
        return z if self.offset is None else z + self.offset

    def weights(self) -> Float[Array, "1 m"]:
        """Return the weights, or ones where there are none."""
        return jnp.ones_like(self.y) if self.weight is None else self.weight

    def total_weight(self) -> Array | int:
        """Return the divisor of the sums: the sum of the weights, or m."""
        return self.X.shape[1] if self.weight is None else self.weight.sum()

    def weighted(self, row: Float[Array, "1 m"]) -> Float[Array, "1 m"]:
        """Return the row times the weights, where there are any."""
        if self.weight is None:
            return row
        # An excluded sample may have overflowed.
        excluded = (self.weight == 0) & ~jnp.isfinite(row)
        return self.weight * jnp.where(excluded, 0.0, row)

    def centered(self) -> tuple[Float[Array, "n m"], Float[Array, "n 1"]]:
        """Return X and its mean over the samples that have a weight.

        The excluded samples are put at the mean, where they span nothing and change
        neither the mean nor the extremes.
        """
        X, kept = self.X.dense(), self.weights() > 0
        total = jnp.where(kept, X, 0.0).sum(axis=1, keepdims=True)
        mean = total / kept.sum(dtype=X.dtype)
        return jnp.where(kept, X, mean), mean


def check_samples(X: Any, y: Any, weight: Any = None, offset: Any = None) -> Samples:
    """Return the samples with every row checked against X (n, m).

    Where X or a row is spread over devices, all are, but for an X that is read.

    Raises:
        DtypeError: if an argument is not an array of floats, or the dtypes differ.
        RankError, ShapeError: if an argument has the wrong rank or shape.
    """
    X = check_design("X", X)
    for name, value in (("y", y), ("weight", weight)):
        check_orientation("X", X.shape, name, value)
    if streams_of(X):  # is read on the host, whose samples are not spread
        y, weight, offset = gather((y, weight, offset))

    def row(name: str, value: Any) -> Array:
        return check_matrix(name, value, (1, X.shape[1]), X.dtype)

    samples = Samples(
        X=X,
        y=row("y", as_labels(y, X.dtype)),
        weight=None if weight is None else row("weight", weight),
        offset=None if offset is None else row("offset", offset),
    )
    return spread_alike(samples, X.shape[1])


def validate(X: Any, y: Any, *, weight: Any = None, offset: Any = None) -> None:
    """Raise unless the data can be fitted.

    Shapes: X (n, m), an array or a design; y, weight and offset (1, m). X and offset
    must be finite and y in [0, 1] in every sample whose weight is not 0, weight at
    least 0 and not 0 everywhere. Of traced arguments only shapes and dtypes can be
    checked.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of its range, NaN or infinite.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import validate
        >>> validate(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 2.0]]))
        Traceback (most recent call last):
            ...
        ValueError: y must be in [0, 1] everywhere, but 1 of 2 entries are not; ...
    """
    samples = check_samples(X, y, weight, offset)
    if streams_of(samples.X) and weight is None:  # this pass has been asked for
        samples.X.check_values("X")
    prepare_samples(samples)


def prepare_samples(samples: Samples) -> Samples:
    """Return the samples with every number in its range, or NaN where it is traced.

    A sample of weight 0 is excluded, whatever it contains: an invalid number in it
    becomes 0. A feature that is not finite in another sample is an error, or makes the
    weight NaN. Without weights a traced X stays as it is, since a check would be a pass
    over all the data: a NaN in it goes through every sum by itself.

    Raises:
        ValueError: if a known number is out of its range, NaN or infinite.
    """
    if samples.weight is None:
        check_features("X", samples.X)
        return prepare_rows(samples)
    weight = check_weight(samples.weight)
    X, weight = _finite_features(samples.X, weight)
    return prepare_rows(samples._replace(X=X, weight=weight))


def check_features(name: str, X: Design) -> None:
    """Raise a ValueError unless all features that are known are finite.

    Those that are read from files count as unknown, since a check would be a pass.
    """
    if not streams_of(X):
        X.check_values(name)


def prepare_rows(samples: Samples) -> Samples:
    """Return the samples with every number but the features in its range, or NaN.

    Raises:
        ValueError: if a known number is out of its range, NaN or infinite.
    """
    y, weight, offset = samples.y, samples.weight, samples.offset
    if weight is not None:
        weight = check_weight(weight)
        if not is_traced(weight):
            with jax.ensure_compile_time_eval():
                if not on_host(weight).any():
                    raise ValueError("weight is 0 for every sample: none is left")
        y = _zero_invalid(weight, y, 0.0, 1.0)
        offset = None if offset is None else _zero_invalid(weight, offset)
    if offset is not None:
        offset = check_range("offset", offset)
    y = check_range("y", y, 0.0, 1.0)
    return samples._replace(y=y, weight=weight, offset=offset)


def check_weight(weight: Array) -> Array:
    """Return weights with every entry at least 0, and none that arithmetic takes for 0.

    In a traced array, invalid entries become NaN.

    Raises:
        ValueError: if an entry is invalid and not traced.
    """
    weight = check_range("weight", weight, 0.0)
    if is_traced(weight):
        return jnp.where(is_subnormal(weight), jnp.nan, weight)
    with jax.ensure_compile_time_eval():
        numbers = on_host(weight)
        if is_subnormal(numbers).any():
            tiny = float(np.finfo(weight.dtype).tiny)
            raise ValueError(
                f"weight must be 0 or at least {tiny:.2g} everywhere, since smaller "
                f"numbers of {weight.dtype} count as 0: multiply all by one number"
            )
    return weight


def check_weight_rows(weight: Any, K: int, m: int, dtype: Any) -> Float[Array, "K m"]:
    """Return the weights of K problems, a row for each or one for all, checked.

    Raises:
        DtypeError, RankError, ShapeError: if they have the wrong type, dtype, rank or
            shape.
        ValueError: if an entry is invalid and not traced.
    """
    weight = check_weight(check_matrix("weight", weight, ("K", m)))
    return check_matrix("weight", weight, (1 if len(weight) == 1 else K, m), dtype)


@partial(program, inline=True)
def scale_weights(weight: Float[Array, "1 m"]) -> Float[Array, "1 m"]:
    """Return the weights divided by a power of 2, which changes no result.

    Their sum would overflow otherwise, or their products be flushed to 0.
    """
    return weight / power_of_two(weight)


def _zero_invalid(
    weight: Array, row: Array, low: float = -math.inf, high: float = math.inf
) -> Array:
    """Return the row with 0 for the numbers of excluded samples that are out of range.

    A valid number stays, so that the derivative in a weight of 0 is that of including
    the sample.
    """
    if is_traced(weight) or is_traced(row):
        return _replaced(weight, row, low, high)
    with jax.ensure_compile_time_eval():
        return _replaced(weight, row, low, high)


@partial(program, static_argnums=(2, 3), inline=True)
def _replaced(weight: Array, row: Array, low: float, high: float) -> Array:
    inside = jnp.isfinite(row) & (row >= low) & (row <= high)
    return jnp.where((weight == 0) & ~inside, 0, row)


def _finite_features(X: Design, weight: Array) -> tuple[Design, Array]:
    """Return X with 0 for what is not finite, and NaN for the weights of such samples.

    X is changed as a whole, not problem by problem, so that problems which differ in
    their weights go on sharing it.
    """
    if any(map(is_traced, jax.tree.leaves(X))):
        poison = ~X.finite() & (weight != 0)
        return X.zero_nonfinite(), jnp.where(poison, jnp.nan, weight)
    with jax.ensure_compile_time_eval():
        finite = finite_samples(X)
        if on_host(finite).all():
            return X, weight
        if not is_traced(weight):
            if (~finite & (weight != 0)).any():
                X.check_values("X")
            return X.zero_nonfinite(), weight
        X = X.zero_nonfinite()
    return X, jnp.where(~finite & (weight != 0), jnp.nan, weight)


@program
def finite_samples(X: Design) -> Bool[Array, "1 m"]:
    """Return which samples have finite features only.

    Compiled, so that one pass over a large X makes no temporary array of its size.
    """
    return X.finite()
