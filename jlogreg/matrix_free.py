"""Give solvers the cost with a curvature that is multiplied with, and never formed.

A point is w above b; the curvature is a row of a (1 - a). A Newton step solves with it
by conjugate gradients, with a bound of the Hessian for a preconditioner.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.arrays import Params
from jlogreg.cost import total_weight
from jlogreg.design import matmul
from jlogreg.look import look_at
from jlogreg.objectives import Problem, cost_at_zero, direction_to, join, ridge, split
from jlogreg.predict import adjoint
from jlogreg.samples import Samples
from jlogreg.solvers.driver import Direction, Evaluation, Objective
from jlogreg.solvers.factor import factorise
from jlogreg.solvers.newton_cg import Solved, conjugate_gradients
from jlogreg.totals import gram, gram_block, sum_over_samples, weighted

__all__ = ["Bound", "bound_of", "escapes", "matrix_free"]

# With more unknowns than these the preconditioner is a diagonal: its factor would take
# longer than the fit.
FACTOR_MOST = 4096
# Iterations of conjugate gradients in one Newton step.
INNER_MOST = 250
# The residual that the first Newton steps leave; later ones leave less.
INNER_TOLERANCE = 0.3


class Bound(NamedTuple):
    """Hold the inverse of a bound of the Hessian, which depends on X and l2.

    Shapes: inverse (n + 1, n + 1) of the bound scaled to a diagonal of ones, or None
    where that is all that is known of it; scale (n + 1, 1). singular says that there is
    none to the precision at hand.
    """

    inverse: Array | None
    scale: Float[Array, "n+1 1"]
    singular: Bool[Array, ""]

    def solve(self, right: Float[Array, "n+1 1"]) -> Float[Array, "n+1 1"]:
        """Return the inverse of the bound times right."""
        unit = self.scale * right
        return self.scale * (
            unit if self.inverse is None else matmul(self.inverse, unit)
        )


def bound_of(problem: Problem) -> Bound:
    """Return the inverse of a bound of the Hessian at any point.

    Since a (1 - a) is at most a quarter, no Hessian exceeds the one with a quarter in
    every sample. Its factor is that of equally weighted samples, so problems that
    differ in their weights share it; only its scale, a number a feature, knows them.
    """
    samples, penalty = problem.samples, ridge(problem)
    X, y, weight, _ = samples
    n, m = X.shape
    alone = Samples(X, jnp.full_like(y, 0.25 / m))
    kept = m if weight is None else jnp.sum(weight > 0)
    # More unknowns without a penalty than samples.
    singular = jnp.sum(penalty == 0) > kept
    inverse = scale = None
    if n + 1 <= FACTOR_MOST:
        block = gram_block(alone)
        bound = sum_over_samples(lambda part: gram(part, part.y), alone, block=block)
        factor = factorise(bound + jnp.diag(penalty[:, 0]))
        unit = factor._replace(scale=jnp.ones_like(factor.scale))
        inverse = unit.solve(jnp.eye(n + 1, dtype=penalty.dtype))
        scale, singular = factor.scale, singular | factor.singular
    if scale is None or weight is not None:
        quarters = weighted(jnp.full_like(y, 0.25), samples) / total_weight(samples)
        own = Samples(X, quarters)
        squares = sum_over_samples(lambda part: part.X.squares(part.y), own)
        bound = join(Params(squares, jnp.full((1, 1), 0.25, squares.dtype))) + penalty
        scale = lax.rsqrt(jnp.where(bound > 0, bound, 1.0))
    return Bound(inverse, scale, singular)


def matrix_free(problem: Problem, bound: Bound, tol: Array) -> Objective:
    """Return the cost with a curvature that is multiplied with, and never formed."""
    samples, l2 = problem
    m, penalty = total_weight(samples), ridge(problem)

    def evaluate(point: Array, step: Array) -> Evaluation:
        seen = look_at(samples, split(point), split(step), l2, tol)
        back = sum_over_samples(_adjoint, Samples(samples.X, seen.dz))
        gradient = join(back) / m + penalty * point
        return Evaluation(
            value=seen.loss / m + jnp.sum((penalty * point) * point) / 2,
            gradient=gradient,
            curvature=seen.dz2,
            slope=jnp.sum(gradient * step),
            moved=seen.moved,
            swung=seen.swung,
            unbounded=seen.wrong == 0,
        )

    def size(gradient: Array) -> Array:
        return jnp.sqrt(jnp.maximum(jnp.sum(gradient * bound.solve(gradient)), 0))

    def direction(found: Evaluation) -> Direction:
        gradient = found.gradient
        tolerance = jnp.minimum(INNER_TOLERANCE, jnp.sqrt(size(gradient)))
        solved = _solve(problem, bound, found.curvature, gradient, tolerance)
        singular = bound.singular | solved.stuck
        direction = direction_to(-solved.x, gradient, singular, None)
        return direction._replace(solved=solved.reached | solved.stuck)

    return Objective(evaluate, direction, cost_at_zero(samples), tol, size)


def _solve(
    problem: Problem, bound: Bound, curvature: Array, right: Array, tolerance: Array
) -> Solved:
    """Return H^-1 right for a row of curvature."""
    samples, m = problem.samples, total_weight(problem.samples)
    penalty = ridge(problem)
    # The curvature is a row over the samples, and goes block by block with them.
    curved = Samples(samples.X, curvature)

    def summand(part: Samples, vector: Array) -> Array:
        change = part.X.forward(vector[:-1]) + vector[-1:]
        return join(adjoint(part.X, part.y * change))

    def multiply(vector: Array) -> Array:
        return sum_over_samples(summand, curved, vector) / m + penalty * vector

    most = min(INNER_MOST, 10 + 2 * right.shape[0])
    return conjugate_gradients(multiply, right, bound.solve, tolerance, most)


def escapes(problem: Problem, bound: Bound, curvature: Array) -> Bool[Array, ""]:
    """Return whether some direction has no curvature where the solver ended.

    Samples that are told apart to the last digit no longer show in the gradient. If a
    direction moves none but them (quasi-separation), there is no minimum; if, where
    weights leave samples out, it moves none at all, there are many. Either way H has no
    inverse, and the system with something along that direction on its right has no
    solution of moderate size. Without such samples and without weights the right is
    zero, and nothing is solved.
    """
    samples = problem.samples
    eps = float(np.finfo(curvature.dtype).eps)
    weight = jnp.ones_like(samples.y) if samples.weight is None else samples.weight
    pull = jnp.where(curvature <= eps * weight, weight * (2 * samples.y - 1), 0.0)
    right = join(sum_over_samples(_adjoint, Samples(samples.X, pull)))
    k = right.shape[0]
    tolerance = INNER_TOLERANCE
    if samples.weight is not None:
        right = bound.scale * right
        right = right / jnp.maximum(jnp.abs(right).max(), 1.0)
        right = (
            right + jnp.cos(jnp.arange(k, dtype=right.dtype))[:, None]
        ) / bound.scale
        tolerance = INNER_TOLERANCE / k**0.5  # so that no one direction is neglected
    reduced = jnp.full((), tolerance, right.dtype)
    solved = _solve(problem, bound, curvature, right, reduced)
    size = jnp.sum(right * bound.solve(right))
    return solved.stuck | ~(eps * k * jnp.sum(solved.x * right) <= size)


def _adjoint(part: Samples) -> Params:
    return adjoint(part.X, part.y)
