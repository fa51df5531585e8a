"""Check on the host what depends on the numbers inside the arrays.

Arguments that are traced (under jit, vmap or grad) are passed over: their numbers are
not known yet. Everything else is checked, so in eager mode a bad number never becomes a
plausible result.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jlogreg.arrays import Samples, check_samples, is_traced

__all__ = ["check_range", "check_sample_values", "validate"]


def validate(X: Any, y: Any, *, weight: Any = None, offset: Any = None) -> None:
    """Raise unless the data can be fitted.

    Shapes: X (n, m); y, weight and offset (1, m). X and offset must be finite, y in
    [0, 1], weight at least 0 and not 0 everywhere. Traced arguments have only their
    shapes and dtypes checked.

    Raises:
        DtypeError, RankError, ShapeError: an argument is not such an array.
        ValueError: a number in it is out of its range, NaN or infinite.
    """
    check_sample_values(check_samples(X, y, weight, offset))


def check_sample_values(samples: Samples) -> None:
    """Raise a ValueError unless every number in the samples is in its range."""
    check_range("X", samples.X)
    check_range("y", samples.y, 0.0, 1.0)
    if samples.offset is not None:
        check_range("offset", samples.offset)
    if samples.weight is not None:
        check_range("weight", samples.weight, 0.0)
        if not is_traced(samples.weight):
            with jax.ensure_compile_time_eval():
                if not samples.weight.any():
                    raise ValueError("weight is 0 for every sample: none is left")


def check_range(
    name: str,
    value: Array,
    low: float | None = None,
    high: float | None = None,
    *,
    above: bool = False,
) -> None:
    """Raise a ValueError unless all of value is finite and in [low, high].

    Args:
        name: what the message calls the argument.
        value: an array; a traced one is passed over.
        low: the smallest value allowed, or None.
        high: the largest value allowed, or None.
        above: whether low itself is refused.
    """
    if is_traced(value):
        return
    with jax.ensure_compile_time_eval():
        if _all_inside(value, low, high, above):
            return
        bad = ~_inside(value, low, high, above)
        count = int(bad.sum())
        place = tuple(int(i) for i in jnp.argwhere(bad, size=1)[0])
        found = float(value[place])
    due = "finite"
    if low is not None:
        due = f"{'greater than' if above else 'at least'} {low:g}"
    if low is not None and high is not None:
        due = f"in [{low:g}, {high:g}]"
    if not place:
        raise ValueError(f"{name} must be {due}, but is {found:g}")
    raise ValueError(
        f"{name} must be {due} everywhere, but {count} of {value.size} entries are "
        f"not; the first is {name}[{place[0]}, {place[1]}] = {found:g}"
    )


def _inside(value: Array, low: float | None, high: float | None, above: bool) -> Array:
    inside = jnp.isfinite(value)
    if low is not None:
        inside &= (value > low) if above else (value >= low)
    if high is not None:
        inside &= value <= high
    return inside


def _all_are_inside(
    value: Array, low: float | None, high: float | None, above: bool
) -> Array:
    return _inside(value, low, high, above).all()


# Compiled, so that one pass over a large X makes no temporary array of its size.
_all_inside = jax.jit(_all_are_inside, static_argnums=(1, 2, 3))
