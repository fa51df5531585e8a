"""Give solvers the cost in coordinates: value, gradient, curvature, and no more.

A point is w above b. `in_features` holds the curvature as the Hessian itself;
`matrix_free` as a row of a (1 - a), which the Hessian is multiplied with. The third
way, for more features than samples, is in span.py.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jlogreg.arrays import Params
from jlogreg.bernoulli import log_loss
from jlogreg.cost import total_weight
from jlogreg.design import matmul
from jlogreg.look import look_at
from jlogreg.predict import adjoint
from jlogreg.samples import Samples
from jlogreg.solvers.driver import Direction, Evaluation, Objective
from jlogreg.solvers.factor import factorise
from jlogreg.solvers.newton_cg import conjugate_gradients
from jlogreg.totals import gram, gram_block, sum_over_samples, weighted

__all__ = [
    "Bound",
    "NewtonTotals",
    "Problem",
    "bound_of",
    "cost_at_zero",
    "direction_to",
    "in_features",
    "join",
    "matrix_free",
    "newton_totals",
    "ridge",
    "split",
]

# With more unknowns than these the preconditioner is a diagonal: its factor would take
# longer than the fit.
FACTOR_MOST = 4096
# Iterations of conjugate gradients in one Newton step.
INNER_MOST = 250
# The residual that the first Newton steps leave; later ones leave less.
INNER_TOLERANCE = 0.3


class Problem(NamedTuple):
    """Hold what a fit depends on and is differentiated in: samples and penalty.

    Shapes: samples of X (n, m); l2 () or (n, 1).
    """

    samples: Samples
    l2: Array


def join(params: Params) -> Float[Array, "n+1 1"]:
    """Return w above b."""
    return jnp.concatenate([params.w, params.b])


def split(point: Float[Array, "n+1 1"]) -> Params:
    """Return Params of w above b."""
    return Params(w=point[:-1], b=point[-1:])


class NewtonTotals(NamedTuple):
    """Hold the sums over samples that a Newton step needs.

    Shapes: weight () of the weights; gradient w (n, 1), b (1, 1); curvature
    (n + 1, n + 1); the others as in Look.
    """

    weight: Float[Array, ""]
    loss: Float[Array, ""]
    gradient: Params
    curvature: Float[Array, "n+1 n+1"]
    moved: Float[Array, ""]
    swung: Float[Array, ""]
    wrong: Float[Array, ""]


def newton_totals(
    samples: Samples,
    point: Params,
    step: Params,
    l2: Array,
    tol: Array,
    every: int = 1,
) -> NewtonTotals:
    """Return what a Newton step needs at a point, in one pass over the samples.

    Or over one block in `every`, evenly spread, for a first idea of where to go.
    """

    def summand(
        part: Samples, point: Params, step: Params, l2: Array, tol: Array
    ) -> NewtonTotals:
        seen = look_at(part, point, step, l2, tol)
        ones = jnp.ones_like(part.y)
        return NewtonTotals(
            weight=weighted(ones, part).sum(),
            loss=seen.loss,
            gradient=adjoint(part.X, seen.dz),
            curvature=gram(part, seen.dz2),
            moved=seen.moved,
            swung=seen.swung,
            wrong=seen.wrong,
        )

    given, block = (point, step, l2, tol), gram_block(samples)
    return sum_over_samples(summand, samples, *given, block=block, every=every)


def in_features(problem: Problem, tol: Array, every: int = 1) -> Objective:
    """Return the cost with its Hessian: one pass over the samples for each point.

    Or over one block in `every`: the cost of a part of the samples.
    """
    samples, l2 = problem
    penalty = ridge(problem)

    def evaluate(point: Array, step: Array) -> Evaluation:
        sums = newton_totals(samples, split(point), split(step), l2, tol, every)
        m = sums.weight
        gradient = join(sums.gradient) / m + penalty * point
        return Evaluation(
            value=sums.loss / m + jnp.sum((penalty * point) * point) / 2,
            gradient=gradient,
            curvature=sums.curvature / m + jnp.diag(penalty[:, 0]),
            slope=jnp.sum(gradient * step),
            moved=sums.moved,
            swung=sums.swung,
            unbounded=(sums.wrong == 0) & (m > 0),
        )

    def direction(found: Evaluation) -> Direction:
        factor = factorise(found.curvature)
        vector = -factor.solve(found.gradient)
        return direction_to(vector, found.gradient, factor.singular, factor)

    return Objective(evaluate, direction, cost_at_zero(samples), tol)


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
        # The curvature is a row over the samples, and goes block by block with them.
        curved = Samples(samples.X, found.curvature)

        def multiply(vector: Array) -> Array:
            def summand(part: Samples, vector: Array) -> Array:
                change = part.X.forward(vector[:-1]) + vector[-1:]
                return join(adjoint(part.X, part.y * change))

            return sum_over_samples(summand, curved, vector) / m + penalty * vector

        gradient = found.gradient
        tolerance = jnp.minimum(INNER_TOLERANCE, jnp.sqrt(size(gradient)))
        most = min(INNER_MOST, 2 * gradient.shape[0])
        vector = -conjugate_gradients(multiply, gradient, bound.solve, tolerance, most)
        return direction_to(vector, gradient, bound.singular, None)

    return Objective(evaluate, direction, cost_at_zero(samples), tol, size)


def _adjoint(part: Samples) -> Params:
    return adjoint(part.X, part.y)


def cost_at_zero(samples: Samples) -> Float[Array, ""]:
    """Return the cost at w = 0, b = 0, where X plays no part."""
    offset = samples.offset
    z = jnp.zeros_like(samples.y) if offset is None else offset
    losses = log_loss(z, samples.y)
    weighted = losses if samples.weight is None else samples.weight * losses
    return weighted.sum() / total_weight(samples)


def direction_to(
    vector: Array, gradient: Array, singular: Array, factor: object
) -> Direction:
    """Return the direction, with its decrement sqrt(-gT d)."""
    squared = -jnp.sum(vector * gradient)
    return Direction(vector, jnp.sqrt(jnp.maximum(squared, 0)), singular, factor)


def ridge(problem: Problem) -> Float[Array, "n+1 1"]:
    """Return the penalty of every parameter, w above b, which has none."""
    samples, l2 = problem
    w = jnp.broadcast_to(l2, (samples.X.shape[0], 1))
    return jnp.concatenate([w, jnp.zeros((1, 1), w.dtype)])


class Bound(NamedTuple):
    """Hold the inverse of a bound of the Hessian, which depends on X and l2 alone.

    Shapes: inverse (n + 1, n + 1), or (n + 1, 1) where it is a diagonal. singular says
    that there is none, or not to the precision at hand.
    """

    inverse: Array
    singular: Bool[Array, ""]

    def solve(self, right: Float[Array, "n+1 1"]) -> Float[Array, "n+1 1"]:
        """Return the inverse of the bound times right."""
        if self.inverse.shape[1] == 1:
            return self.inverse * right
        return matmul(self.inverse, right)


def bound_of(problem: Problem) -> Bound:
    """Return the inverse of a bound of the Hessian at any point.

    Since a (1 - a) is at most a quarter, no Hessian of equally weighted samples exceeds
    the one with a quarter each.
    """
    samples, penalty = problem.samples, ridge(problem)
    n, m = samples.X.shape
    alone = Samples(samples.X, jnp.full_like(samples.y, 0.25 / m))
    kept = m if samples.weight is None else jnp.sum(samples.weight > 0)
    # More unknowns without a penalty than samples.
    many = jnp.sum(penalty == 0) > kept
    if n + 1 > FACTOR_MOST:
        squares = sum_over_samples(lambda part: part.X.squares(part.y), alone)
        bound = join(Params(squares, jnp.full((1, 1), 0.25, squares.dtype))) + penalty
        return Bound(1 / jnp.where(bound > 0, bound, 1.0), many)

    block = gram_block(alone)
    bound = sum_over_samples(lambda part: gram(part, part.y), alone, block=block)
    factor = factorise(bound + jnp.diag(penalty[:, 0]))
    inverse = factor.solve(jnp.eye(n + 1, dtype=penalty.dtype))
    return Bound(inverse, many | factor.singular)
