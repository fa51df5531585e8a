"""The minimum of a quadratic model plus a separable penalty.

Rounds of two halves, both of which lower the model. Sweeps over the coordinates find
the face, which is where the penalty has a derivative: a weight that is not 0 and keeps
its sign. On the face the model is a parabola, whose minimum is one linear system; the
step there is cut where a first unknown reaches a kink. So the rounds end after a finite
number, however correlated the unknowns are.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jlogreg.base.arrays import at_least, at_most, largest, smallest
from jlogreg.solvers.cholesky import factorize
from jlogreg.solvers.driver import loop

__all__ = ["SeparablePenalty", "face_of", "minimize_model"]

# Sweeps over the coordinates before each step on the face, and rounds at most.
SWEEPS, MAX_ROUNDS = 2, 60
# What the rounds leave of the distance to the minimum, and the roundings that they do.
REDUCTION, ROUNDINGS = 0.1, 16


class SeparablePenalty(Protocol):
    """A sum of convex terms of one unknown, each linear between its kinks.

    A pytree whose leaves have a row for each unknown. Points, steps and gradients have
    the shape (k, 1).
    """

    def value(self, point: Array) -> Array:
        """Return the penalty ()."""

    def change(self, point: Array, other: Array) -> Array:
        """Return the penalty () at another point less that at the point."""

    def slope(self, point: Array) -> Array:
        """Return the derivative (k, 1), 0 at a kink."""

    def slope_before(self, point: Array, step: Array) -> Array:
        """Return the derivative () along the step to a point, from before."""

    def prox(self, point: Array, step: Array) -> Array:
        """Return argmin_v of (v - point)^2 / (2 step) + the penalty (k, 1)."""

    def part_to_kink(self, point: Array, step: Array) -> Array:
        """Return the part (k, 1) of a step that leads to a kink; infinity if none."""

    def subdiff_distance(self, point: Array, gradient: Array) -> Array:
        """Return the distance (k, 1) of -gradient to the subdifferential."""

    def generalized_support(self, point: Array) -> Array:
        """Return which unknowns (k, 1) are not at a kink."""

    def may_move(self, gradient: Array, slack: Array) -> Array:
        """Return which unknowns (k, 1) a gradient allows to be elsewhere."""


class _Iterate(NamedTuple):
    """Unknowns (k, 1), the slope of the model there, and how good they are.

    exact: they are the minimum on their face. miss (): the largest distance to the
    minimum along one unknown, in the model's metric. settled: no round changes them.
    """

    point: Float[Array, "k 1"]
    slope: Float[Array, "k 1"]
    exact: Bool[Array, ""]
    miss: Float[Array, ""]
    settled: Bool[Array, ""]
    rounds: Int[Array, ""]


def minimize_model(
    H: Float[Array, "k k"],
    gradient: Float[Array, "k 1"],
    origin: Float[Array, "k 1"],
    penalty: SeparablePenalty,
) -> tuple[Float[Array, "k 1"], Bool[Array, ""]]:
    """Return the minimum of the model plus the penalty, and whether it was found.

    The model is gradientT d + dT H d / 2 with d = point - origin; equation (50) of
    docs/derivation.md. An unknown without curvature goes to its kink.

    Args:
        H: positive semidefinite.
        gradient: that of the model at the origin.
        origin: where the rounds begin.
        penalty: separable.
    """
    D = jnp.diagonal(H)[:, None]
    step = jnp.where(D > 0, 1 / jnp.where(D > 0, D, 1.0), 0.0)
    eps = float(np.finfo(H.dtype).eps)

    def at(point: Array, exact: Array, settled: Array, rounds: Array) -> _Iterate:
        slope = gradient + _product(H, point - origin)
        off = point - penalty.prox(point - step * slope, step)
        miss = largest(jnp.sqrt(D) * jnp.abs(off))
        return _Iterate(point, slope, exact, miss, settled, rounds)

    def one_round(now: _Iterate) -> _Iterate:
        point, slope = _sweeps(H, step, penalty, now.point, now.slope)
        same = (penalty.slope(point) == penalty.slope(now.point)).all()
        point, whole = _face_step(H, penalty, point, slope)
        return at(point, whole, same & now.exact, now.rounds + 1)

    no, none = jnp.zeros((), bool), jnp.zeros((), jnp.int32)
    free = penalty.generalized_support(jnp.zeros_like(origin))
    first = at(jnp.where((D > 0) | free, origin, 0.0), no, no, none)
    # The nearer the origin is to the minimum, the more exact the next point shall be.
    aim = REDUCTION * first.miss * at_most(first.miss, 1.0)
    aim = at_least(aim, ROUNDINGS * eps)

    def going(now: _Iterate) -> Array:
        return ~(now.settled | (now.miss <= aim)) & (now.rounds < MAX_ROUNDS)

    end = loop(going, one_round, first)
    return end.point, end.settled | (end.miss <= aim)


def face_of(H: Float[Array, "k k"], face: Bool[Array, "k 1"]) -> Float[Array, "k k"]:
    """Return H on a face, with rows of the identity for the other unknowns."""
    held = 1 - face[:, 0].astype(H.dtype)
    return jnp.where(face & face.T, H, 0.0) + jnp.diag(held)


def _product(H: Array, vector: Array) -> Array:
    return jnp.matmul(H, vector, precision=lax.Precision.HIGHEST)


def _sweeps(
    H: Array, step: Array, penalty: Any, point: Array, slope: Array
) -> tuple[Array, Array]:
    """Return the point and its slope after minimizing along one unknown at a time."""

    def entry(leaf: Array, j: Array) -> Array:
        return lax.dynamic_slice_in_dim(leaf, j, 1)

    def move(now: tuple[Array, Array], j: Array) -> tuple[tuple[Array, Array], None]:
        point, slope = now
        old, width = entry(point, j), entry(step, j)
        alone = jax.tree.map(lambda leaf: entry(leaf, j), penalty)
        new = alone.prox(old - width * entry(slope, j), width)
        slope = slope + (new - old) * entry(H, j).T
        return (lax.dynamic_update_slice_in_dim(point, new, j, 0), slope), None

    order = jnp.tile(jnp.arange(len(H), dtype=jnp.int32), SWEEPS)
    (point, slope), _ = lax.scan(move, (point, slope), order)
    return point, slope


def _face_step(
    H: Array, penalty: SeparablePenalty, point: Array, slope: Array
) -> tuple[Array, Array]:
    """Return the minimum on the face, or the first kink on the way; and which it is."""
    face = penalty.generalized_support(point)
    downhill = jnp.where(face, -slope - penalty.slope(point), 0.0)
    step = factorize(face_of(H, face)).solve(downhill)
    part = penalty.part_to_kink(point, step)
    first = at_most(smallest(part), 1.0)
    point = jnp.where(part <= first, 0.0, point + first * step)
    return point, first == 1
