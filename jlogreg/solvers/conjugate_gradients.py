"""Preconditioned conjugate gradients, one iteration at a time.

Nocedal and Wright, Numerical Optimization, algorithm 5.3: r is the residual, M the
preconditioner, p the search direction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jlogreg.base.arrays import largest
from jlogreg.solvers.driver import loop

__all__ = [
    "Iterate",
    "Solved",
    "conjugate_gradients",
    "first_iterate",
    "is_unfinished",
    "max_inner_iterations",
    "solved_by",
    "update_search",
    "update_solution",
]

# Iterations of conjugate gradients in one Newton step.
MAX_INNER_ITERATIONS = 250


class Solved(NamedTuple):
    """A solution; whether it reached the tolerance; whether the iteration got stuck.

    It is stuck where the map has no curvature to the precision at hand.
    """

    x: Float[Array, "k 1"]
    reached: Bool[Array, ""]
    stuck: Bool[Array, ""]


class Iterate(NamedTuple):
    """An iterate of conjugate gradients, in a unit of the right-hand side's own.

    In this unit rT M^-1 r begins near one, so that no product underflows or overflows
    without need. x is the solution and whatever else is linear in it.
    """

    x: Any
    residual: Array
    search: Array  # p
    size: Float[Array, ""]  # rT M^-1 r
    first: Float[Array, ""]  # rT M^-1 r of the first iterate
    iterations: Int[Array, ""]
    stuck: Bool[Array, ""]
    unit: Float[Array, ""]


def conjugate_gradients(
    multiply: Callable[[Array], Array],
    right: Float[Array, "k 1"],
    precondition: Callable[[Array], Array],
    tolerance: Array,
    max_iterations: int,
) -> Solved:
    """Return x with multiply(x) = right, for a symmetric positive semidefinite map.

    Stops when sqrt(rT M^-1 r) has fallen to `tolerance` of its first value, after
    `max_iterations`, or where it is stuck; if it is stuck at once, x is the
    preconditioned right-hand side. Nocedal and Wright, algorithm 5.3.

    Args:
        multiply: the map.
        right: the right-hand side.
        precondition: an approximate inverse of the map.
        tolerance: how far to reduce the residual.
        max_iterations: iterations at most.
    """
    zero = jnp.zeros_like(right)
    start = first_iterate(zero, right, precondition(right))

    def step(now: Iterate) -> Iterate:
        moved = update_solution(now, multiply(now.search), now.search)
        return update_search(moved, precondition(moved.residual))

    end = loop(lambda now: is_unfinished(now, tolerance, max_iterations), step, start)
    return solved_by(end, tolerance)


def max_inner_iterations(k: int) -> int:
    """Return the largest number of iterations that may solve for k unknowns."""
    return min(MAX_INNER_ITERATIONS, 10 + 2 * k)


def first_iterate(x: Any, right: Array, inverse: Array) -> Iterate:
    """Return the first iterate: x like zeros, and p = M^-1 r.

    Args:
        x: arrays like the solution and whatever else is linear in it.
        right: the right-hand side, which is the first residual.
        inverse: M^-1 times the right-hand side.
    """
    # A unit near the square root of rT M^-1 r, whose square would overflow.
    root = jnp.sqrt(largest(jnp.abs(right))) * jnp.sqrt(largest(jnp.abs(inverse)))
    unit = jnp.where(root > 0, root, 1.0)
    residual, search = right / unit, inverse / unit
    size = jnp.sum(residual * search)
    return Iterate(
        x=jax.tree.map(jnp.zeros_like, x),
        residual=residual,
        search=search,
        size=size,
        first=size,
        iterations=jnp.zeros((), jnp.int32),
        stuck=jnp.zeros((), bool),
        unit=unit,
    )


def update_solution(now: Iterate, image: Array, along: Any) -> Iterate:
    """Return the iterate at the minimum along p; equations (5.39a) to (5.39c).

    Args:
        now: the iterate.
        image: the map times p.
        along: the change of x by a step of p.
    """
    tiny = float(np.finfo(image.dtype).tiny) / float(np.finfo(image.dtype).eps)
    # alpha = rT M^-1 r / pT A p, unless the map has no curvature along p.
    curvature = jnp.sum(now.search * image)
    stuck = ~(curvature > tiny * now.size)
    length = jnp.where(stuck, 0.0, now.size / jnp.where(stuck, 1.0, curvature))
    # If that is so at once, x becomes p, the preconditioned right-hand side.
    whole = jnp.where(stuck & (now.iterations == 0), 1.0, length)
    return now._replace(
        x=jax.tree.map(lambda x, more: x + whole * more, now.x, along),
        residual=now.residual - length * image,
        iterations=now.iterations + 1,
        stuck=stuck,
    )


def update_search(now: Iterate, inverse: Array) -> Iterate:
    """Return the iterate with the next p, conjugate to those before.

    Equations (5.39e) and (5.39f); inverse is M^-1 times the residual.
    """
    size = jnp.sum(now.residual * inverse)
    return now._replace(search=inverse + size / now.size * now.search, size=size)


def is_unfinished(
    now: Iterate, tolerance: Array, max_iterations: int
) -> Bool[Array, ""]:
    """Return whether the residual is above the tolerance and may still fall."""
    large = now.size > tolerance**2 * now.first
    return large & (now.iterations < max_iterations) & ~now.stuck


def solved_by(now: Iterate, tolerance: Array) -> Solved:
    """Return the solution that an iterate holds."""
    reached = ~(now.size > tolerance**2 * now.first)
    x = jax.tree.map(lambda x: now.unit * x, now.x)
    return Solved(x=x, reached=reached, stuck=now.stuck)
