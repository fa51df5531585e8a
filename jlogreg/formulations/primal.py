"""Give solvers the cost in coordinates: value, gradient, curvature, and no more.

A point is w above b, and the curvature the Hessian itself. Without a Hessian the cost
is in matrix_free.py, for more features than samples in span.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.params import Params
from jlogreg.data.reduction import gram_block, sum_over_samples
from jlogreg.data.samples import Samples, weighted
from jlogreg.formulations.problem import (
    Coordinates,
    Limits,
    Problem,
    Solution,
    SolveState,
    Whole,
    direction_to,
    nothing,
    ridge,
    to_params,
    to_solution,
    to_vector,
    whole,
    zero_point,
)
from jlogreg.objective.pointwise import pointwise_at
from jlogreg.objective.prediction import adjoint
from jlogreg.objective.sums import gram
from jlogreg.solvers.cholesky import factorize
from jlogreg.solvers.driver import Direction, Evaluation, Objective, Solver, minimize

__all__ = ["PRIMAL", "NewtonTotals", "newton_totals", "primal_objective"]


class NewtonTotals(NamedTuple):
    """Hold the sums over samples that a Newton step needs.

    Shapes: weight () of the weights; gradient w (n, 1), b (1, 1); curvature
    (n + 1, n + 1); the others as in Look.
    """

    weight: Float[Array, ""]
    loss: Float[Array, ""]
    gradient: Params
    curvature: Float[Array, "n+1 n+1"]
    n_moved: Float[Array, ""]
    n_large_moves: Float[Array, ""]
    n_not_separated: Float[Array, ""]


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
        seen = pointwise_at(part, point, step, l2, tol)
        ones = jnp.ones_like(part.y)
        return NewtonTotals(
            weight=weighted(ones, part).sum(),
            loss=seen.loss,
            gradient=adjoint(part.X, seen.dz),
            curvature=gram(part, seen.dz2),
            n_moved=seen.n_moved,
            n_large_moves=seen.n_large_moves,
            n_not_separated=seen.n_not_separated,
        )

    given, block = (point, step, l2, tol), gram_block(samples)
    return sum_over_samples(summand, samples, *given, block=block, every=every)


def primal_objective(
    problem: Problem, known: Whole, tol: Array, every: int = 1
) -> Objective:
    """Return the cost with its Hessian: one pass over the samples for each point.

    Or over one block in `every`: the cost of a part of the samples.
    """
    samples, l2 = problem
    penalty = ridge(problem)

    def evaluate(point: Array, step: Array) -> Evaluation:
        sums = newton_totals(samples, to_params(point), to_params(step), l2, tol, every)
        m = known.weight if every == 1 else sums.weight
        gradient = to_vector(sums.gradient) / m + penalty * point
        return Evaluation(
            value=sums.loss / m + jnp.sum((penalty * point) * point) / 2,
            gradient=gradient,
            curvature=sums.curvature / m + jnp.diag(penalty[:, 0]),
            slope=jnp.sum(gradient * step),
            n_moved=sums.n_moved,
            n_large_moves=sums.n_large_moves,
            separated=(sums.n_not_separated == 0) & (m > 0),
        )

    def direction(found: Evaluation) -> Direction:
        factor = factorize(found.curvature)
        vector = -factor.solve(found.gradient)
        return direction_to(vector, found.gradient, factor.singular, factor)

    return Objective(evaluate, known.value_at_zero, tol, direction)


# Of many samples a 64th is fitted first, then an eighth, where that leaves so many for
# each feature; roughly, in few steps.
START_PARTS, MIN_START_SAMPLES = (64, 8), 32


START_TOLERANCE, MAX_START_STEPS = 0.1, 8


def _initial(
    solver: Solver, problem: Problem, _: Any, init: Params | None, limits: Limits
) -> Float[Array, "n+1 1"]:
    """Return where to start: zero, or the minimum for a growing part of the samples.

    The first steps need no more of the data than tells them where to go. The minimum of
    an eighth of a million samples is so near to that of all that two steps remain.
    """
    if init is not None:
        return to_vector(init)
    start, X, known = zero_point(problem), problem.samples.X, whole(problem.samples)
    n, m = X.shape
    blocks = m // gram_block(problem.samples) if X.sliceable else 1
    tol = jnp.full((), START_TOLERANCE, X.dtype)
    for every in START_PARTS:
        if blocks >= 2 * every and m >= MIN_START_SAMPLES * n * every:
            most = jnp.minimum(limits.max_steps, MAX_START_STEPS)
            part = primal_objective(problem, known, tol, every)
            point = minimize(solver, part, start, most).point
            start = jnp.where(jnp.isfinite(point).all(), point, start)
    return start


def _end_in_features(
    solver: Solver, problem: Problem, shared: Any, begun: SolveState, *_: Any
) -> Solution:
    state = begun.state
    return to_solution(state, to_params(state.point), state.direction.factor)


PRIMAL = Coordinates(
    share=nothing,
    prepare=nothing,
    objective=lambda problem, known, shared, own, tol: primal_objective(
        problem, known, tol
    ),
    start=_initial,
    end=_end_in_features,
)
