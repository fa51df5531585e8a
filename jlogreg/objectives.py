"""Give solvers the cost in coordinates: value, gradient, curvature, and no more.

A point is w above b, and the curvature the Hessian itself. Without a Hessian the cost
is in matrix_free.py, for more features than samples in span.py.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.arrays import Params
from jlogreg.cost import total_weight
from jlogreg.look import look_at
from jlogreg.losses import log_loss
from jlogreg.predict import adjoint
from jlogreg.samples import Samples
from jlogreg.solvers.driver import Direction, Evaluation, Objective
from jlogreg.solvers.factor import factorise
from jlogreg.tails import FAST
from jlogreg.totals import gram, gram_block, sum_over_samples, weighted

__all__ = [
    "NewtonTotals",
    "Problem",
    "Whole",
    "direction_to",
    "in_features",
    "join",
    "newton_totals",
    "ridge",
    "split",
    "whole",
]


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


class Whole(NamedTuple):
    """Hold what is known of all the samples before any look at them.

    weight () is what sums are divided by, at_zero () the cost at w = 0, b = 0.
    """

    weight: Array
    at_zero: Float[Array, ""]


def whole(samples: Samples) -> Whole:
    """Return what is known of all the samples before any look at them."""
    weight = jnp.asarray(total_weight(samples), samples.y.dtype)
    offset = samples.offset
    z = jnp.zeros_like(samples.y) if offset is None else offset
    losses = weighted(log_loss(FAST, z, samples.y), samples)
    return Whole(weight, losses.sum() / weight)


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


def in_features(
    problem: Problem, known: Whole, tol: Array, every: int = 1
) -> Objective:
    """Return the cost with its Hessian: one pass over the samples for each point.

    Or over one block in `every`: the cost of a part of the samples.
    """
    samples, l2 = problem
    penalty = ridge(problem)

    def evaluate(point: Array, step: Array) -> Evaluation:
        sums = newton_totals(samples, split(point), split(step), l2, tol, every)
        m = known.weight if every == 1 else sums.weight
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

    return Objective(evaluate, known.at_zero, tol, direction)


def direction_to(
    vector: Array, gradient: Array, singular: Array, factor: object
) -> Direction:
    """Return the direction, with its decrement sqrt(-gT d)."""
    squared = -jnp.sum(vector * gradient)
    decrement = jnp.sqrt(jnp.maximum(squared, 0))
    return Direction(vector, decrement, singular, jnp.ones((), bool), factor)


def ridge(problem: Problem) -> Float[Array, "n+1 1"]:
    """Return the penalty of every parameter, w above b, which has none."""
    samples, l2 = problem
    w = jnp.broadcast_to(l2, (samples.X.shape[0], 1))
    return jnp.concatenate([w, jnp.zeros((1, 1), w.dtype)])
