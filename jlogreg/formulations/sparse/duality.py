"""The duality gap of a cost with an L1 penalty, as a sum of terms that are at least 0.

From the sums of a Newton step alone, without a further pass over the samples.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jlogreg.base.arrays import at_least, at_most, largest
from jlogreg.formulations.problem import (
    Problem,
    l1_weights,
    restricted_matrix,
    ridge,
)
from jlogreg.objective.penalties import L1
from jlogreg.solvers.cholesky import factorize_reversed
from jlogreg.solvers.driver import Evaluation

__all__ = ["duality_gap", "gap_tolerance", "penalty_gaps"]

# Roundings of the cost, and of the parts of a logit, that count as no gap.
ROUNDINGS = 16


# Over 40 lines: one formula, a step for each of its parts.
def duality_gap(
    problem: Problem, point: Float[Array, "n+1 1"], smooth: Evaluation, J: Array
) -> Float[Array, ""]:
    """Return a bound of the cost at a point less its minimum; equation (51).

    Of the smooth part it needs the gradient, the Hessian and the bound of roundings,
    which is eps times the root of Pearson's mean statistic.

    Args:
        problem: with l1.
        point: w above b.
        smooth: the cost without l1 there.
        J: the cost there.
    """
    l1, l2 = l1_weights(problem), ridge(problem)
    eps = float(np.finfo(J.dtype).eps)
    # The dual point u = r - s (XT delta): delta is a Newton step on the face, where
    # c = X u is then that of a minimum, 0 for the unknowns without a penalty.
    gradient = smooth.gradient - l2 * point
    H = smooth.curvature - jnp.diag(l2[:, 0])
    face = L1(l1).generalized_support(point).astype(J.dtype)
    if problem.free is not None:
        face = face * problem.free
    factor = factorize_reversed(restricted_matrix(smooth.curvature, face), False)
    signed = l1 * jnp.sign(point)
    delta = factor.solve(face * (smooth.gradient + signed))
    bend = jnp.matmul(H, delta, precision="highest")
    at_minimum = -signed - l2 * (point - delta)
    c = jnp.where((face > 0) & ~factor.singular, at_minimum, gradient - bend)
    # Scaled by 1 - excess, |c_j| <= l1_j where l2_j = 0 < l1_j.
    size = jnp.abs(c)
    beyond = (l2 == 0) & (size > l1)
    part = jnp.where(beyond, (size - l1) / jnp.where(beyond, size, 1.0), 0.0)
    excess = at_most(at_least(largest(part), 0.0), 1.0)
    kept = 1 - excess
    # The samples' part: sum p (u - r)^2 / s or, with outliers, a bound by convexity.
    pearson = jnp.square(smooth.rounding / eps)
    moved = at_least(jnp.sum(bend * delta), 0.0)
    near = jnp.square(excess) * pearson + jnp.square(kept) * moved
    near += 2 * excess * kept * jnp.sum(gradient * delta)
    far = excess * J + kept * moved
    samples = jnp.where(near < far, at_least(near, 0.0), far)
    c = kept * c
    return samples + jnp.sum(penalty_gaps(point, c, l1, l2))


def penalty_gaps(w: Array, c: Array, l1: Array, l2: Array) -> Array:
    """Return each unknown's part of the gap, at least 0; the last terms of (51).

    Shapes: all (k, 1), or any that are equal.
    """
    beyond = at_least(jnp.abs(c) - l1, 0.0)
    divisor = jnp.where(l2 > 0, 2 * l2, 1.0)
    linear = at_least(jnp.abs(w) * l1 + w * c, 0.0)
    terms = linear + l2 * w * w / 2 + jnp.where(l2 > 0, beyond**2 / divisor, 0.0)
    # Where the terms cancel, they are a square.
    square = jnp.square(c + jnp.sign(w) * l1 + l2 * w) / divisor
    return jnp.where((l2 > 0) & (beyond > 0) & (w * c < 0), square, terms)


def gap_tolerance(
    point: Array, curvature: Array, value_at_zero: Array, tol: Array
) -> Float[Array, ""]:
    """Return the gap that counts as none.

    tol^2 of the cost at 0, or some roundings of it and of the parts w_j x_j of a logit,
    whose sizes the curvature measures.
    """
    rounding = ROUNDINGS * float(np.finfo(point.dtype).eps)
    parts = jnp.sum(jnp.abs(point) * jnp.sqrt(jnp.diagonal(curvature)[:, None]))
    return at_least(jnp.square(tol), rounding) * value_at_zero + rounding * parts
