"""Descend along the gradient, by any optax transformation, in one scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import optax
from jaxtyping import Array, Float

__all__ = ["descend"]

Point = TypeVar("Point")


def descend(
    value_and_gradient: Callable[[Point], tuple[Array, Point]],
    start: Point,
    optimizer: optax.GradientTransformation,
    steps: int,
) -> tuple[Point, Float[Array, " steps"]]:
    """Return where `steps` updates lead, and the value before each of them.

    Args:
        value_and_gradient: maps a pytree to a scalar and a gradient like the pytree.
        start: the first point.
        optimizer: any optax transformation; those with a line search are given the
            value and the function as well.
        steps: how many updates, at least 0.
    """
    update = optax.with_extra_args_support(optimizer).update

    def step(
        carry: tuple[Point, optax.OptState], _: None
    ) -> tuple[tuple[Point, optax.OptState], Array]:
        point, state = carry
        value, slope = value_and_gradient(point)

        def value_fn(other: Point) -> Array:
            # A line search may promote its trial points to its own precision.
            other = jax.tree.map(lambda new, old: new.astype(old.dtype), other, point)
            return value_and_gradient(other)[0]

        extra = {"value": value, "grad": slope, "value_fn": value_fn}
        updates, state = update(slope, state, point, **extra)
        return (optax.apply_updates(point, updates), state), value

    carry = (start, optimizer.init(start))
    (end, _), values = jax.lax.scan(step, carry, length=steps)
    return end, values
