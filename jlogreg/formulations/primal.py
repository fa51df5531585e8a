"""The primal formulation: n + 1 unknowns, w above b, and a formed Hessian."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.arrays import at_least, at_most, largest
from jlogreg.base.params import Params
from jlogreg.data.reduction import estimates_cheaply, gram_block
from jlogreg.formulations.problem import (
    Formulation,
    Limits,
    Prepared,
    Problem,
    Solution,
    SolveState,
    prepare,
    restricted,
    restricted_matrix,
    ridge,
    rounding_decrement,
    solution_of,
    start_vector,
    to_params,
    to_vector,
)
from jlogreg.objective.jeffreys import AtZero, Jeffreys, at_zero, jeffreys_totals
from jlogreg.objective.newton_totals import NewtonTotals, newton_totals
from jlogreg.objective.pointwise import line_derivatives, logits_along
from jlogreg.objective.sums import curvature_total
from jlogreg.solvers.cholesky import ReversedFactor, factorize_reversed
from jlogreg.solvers.driver import (
    DenseObjective,
    Direction,
    Evaluation,
    Solver,
    minimize,
    once,
)

__all__ = [
    "PRIMAL",
    "Primal",
    "PriorCurvature",
    "primal_objective",
]

# A fit of many samples begins with fits of a 64th, then of an eighth of them, rough and
# in few steps, where that leaves at least 32 samples for each feature.
START_PARTS, MIN_START_SAMPLES = (64, 8), 32
START_TOLERANCE, MAX_START_STEPS = 0.1, 8
# A step with Jeffreys' prior changes no logit by more than this, or half of the largest
# where that is more; by twice that, but no less than MIN_PART, after a line search.
MAX_CHANGE, MIN_PART = 5.0, 0.1


class PriorCurvature(NamedTuple):
    """The curvature with Jeffreys' prior at a point, and the sums without the prior.

    Shapes: exact and augmented (n + 1, n + 1), equations (57) and (58); point (n + 1,
    1).
    """

    exact: Float[Array, "n+1 n+1"]
    augmented: Float[Array, "n+1 n+1"]
    sums: NewtonTotals
    point: Float[Array, "n+1 1"]


# Over 40 lines: the evaluation and the direction share what they are given.
def primal_objective(
    problem: Problem, prepared: Prepared, tol: Array, every: int = 1
) -> DenseObjective:
    """Return the cost as a function of w above b, with gradient and Hessian.

    Each evaluation is one pass over the samples, or over one block in `every`: the cost
    of a part of the samples. With Jeffreys' prior it is two passes over all of them.
    """
    if problem.jeffreys is not None:
        return _with_prior(problem, problem.jeffreys, prepared, tol)
    penalty = ridge(problem)
    # A weight with a penalty of any kind separates nothing for free.
    held = problem.l2 if problem.l1 is None else problem.l2 + problem.l1

    def evaluate(point: Array, step: Array) -> Evaluation:
        sums = newton_totals(
            *(problem.samples, to_params(point), to_params(step)),
            *(held, tol, every),
        )
        m = prepared.total_weight if every == 1 else sums.weight
        gradient = to_vector(sums.gradient) / m + penalty * point  # (11) and (12)
        gradient = restricted(gradient, problem.free)
        H = sums.curvature / m + jnp.diag(penalty[:, 0])  # (13)
        return Evaluation(
            value=sums.loss / m + jnp.sum((penalty * point) * point) / 2,  # (8)
            gradient=gradient,
            curvature=restricted_matrix(H, problem.free),
            slope=jnp.sum(gradient * step),
            n_moved=sums.n_moved,
            n_large_moves=sums.n_large_moves,
            separated=(sums.n_not_separated == 0) & (m > 0),
            rounding=rounding_decrement(sums.pearson, m),
        )

    def newton_direction(evaluation: Evaluation, inspected: Array) -> Direction:
        # d = -H^-1 g, and its decrement sqrt(-gT d); equation (18).
        factor = factorize_reversed(evaluation.curvature, inspected)
        vector = -factor.solve(evaluation.gradient)
        squared = -jnp.sum(vector * evaluation.gradient)
        return Direction(
            vector=vector,
            decrement=jnp.sqrt(at_least(squared, 0)),
            singular=factor.singular,
            solved=jnp.ones((), bool),
            inflation=factor.inflation,
            factor=factor,
        )

    return DenseObjective(evaluate, newton_direction, prepared.value_at_zero, tol)


# Over 40 lines: the evaluation and the direction share what they are given.
def _with_prior(
    problem: Problem, jeffreys: Jeffreys, prepared: Prepared, tol: Array
) -> DenseObjective:
    """Return the cost with Jeffreys' prior; section 23 of docs/derivation.md.

    It is not convex: where the Hessian is not positive definite, the step takes the
    augmented matrix.
    """
    penalty, k = ridge(problem), problem.samples.X.shape[0] + jeffreys.bias
    m, samples, free = prepared.total_weight, problem.samples, problem.free

    def matrix(total: Array) -> Array:
        return restricted_matrix(total / m + jnp.diag(penalty[:, 0]), free)

    def evaluate(point: Array, step: Array) -> Evaluation:
        params = to_params(point)
        sums = newton_totals(samples, params, to_params(step), problem.l2, tol)
        factor = factorize_reversed(sums.curvature[:k, :k])
        more = jeffreys_totals(params, samples, factor.inverse_root(), jeffreys)
        # The cost (55): infinite where the information is singular.
        log_det = jnp.where(factor.singular, -jnp.inf, factor.log_det())
        value = (sums.loss - jeffreys.strength * log_det) / m
        gradient = (to_vector(sums.gradient) + to_vector(more.gradient)) / m  # (56)
        gradient = restricted(gradient + penalty * point, free)
        exact = matrix(sums.curvature + more.curvature)  # (57)
        augmented = matrix(sums.curvature + more.augmented)  # (58)
        return Evaluation(
            value=value + jnp.sum((penalty * point) * point) / 2,
            gradient=gradient,
            curvature=PriorCurvature(exact, augmented, sums, point),
            slope=jnp.sum(gradient * step),
            n_moved=sums.n_moved,
            n_large_moves=sums.n_large_moves,
            separated=jnp.zeros((), bool),
            rounding=rounding_decrement(sums.pearson, m),
        )

    def newton_direction(evaluation: Evaluation, inspected: Array) -> Direction:
        H, augmented = evaluation.curvature[:2]
        exact = factorize_reversed(H, inspected)
        other = partial(factorize_reversed, augmented, inspected)
        factor = once(exact.singular, other, exact)
        vector = -factor.solve(evaluation.gradient)
        vector *= _part_of_step(problem, prepared, evaluation, vector)
        return Direction(
            vector=vector,
            decrement=jnp.sqrt(at_least(-jnp.sum(vector * evaluation.gradient), 0)),
            singular=exact.singular,
            solved=jnp.ones((), bool),
            inflation=factor.inflation,
            factor=factor,
        )

    # Where it is not known what the prior adds at 0, no start falls back to it.
    added = jnp.inf if prepared.own is None else prepared.own.added
    value_at_zero = prepared.value_at_zero + added
    return DenseObjective(evaluate, newton_direction, value_at_zero, tol)


def _part_of_step(
    problem: Problem, prepared: Prepared, evaluation: Evaluation, vector: Array
) -> Float[Array, ""]:
    """Return by how much a Newton step is to be longer or shorter.

    The losses of separated labels fall like exponential functions, of which a step
    takes off one unit of the exponent. So from its end one more step is taken along its
    line, where all but the losses counts by its derivatives at the point. It might pass
    over a minimum, so where minima may have rivals a step is shortened at most.
    """
    samples, m = problem.samples, prepared.total_weight
    H, _, sums, point = evaluation.curvature
    own = (to_params(point), to_params(vector))
    z, change, _ = logits_along(samples.X, jnp.zeros_like(m), *own)
    rows = jnp.where(samples.weights() > 0, jnp.concatenate([z, change]), 0.0)
    most, moved = largest(jnp.abs(rows), axis=1)
    most = at_least(most / 2, MAX_CHANGE) / moved
    part = at_most(most, 1.0)
    # The derivatives along the line, at the end of the step.
    slope, bend = line_derivatives(samples, z + part * change, change)
    more = evaluation.gradient - to_vector(sums.gradient) / m
    added = jnp.sum((H - sums.curvature / m) * (vector * vector.T))
    slope = slope / m + jnp.sum(more * vector) + part * added
    bend = bend / m + added
    best = jnp.where(bend > 0, part - slope / bend, 2 * most)
    best = at_most(at_least(best, MIN_PART * part), 2 * most)
    alone = jnp.zeros((), bool) if prepared.own is None else ~prepared.own.rivals
    return jnp.where(alone & (moved > 0.5), best, part)


class Primal:
    """The primal formulation; problems share nothing but the features."""

    def shared(self, problem: Problem, penalties_differ: bool) -> None:
        """Return nothing."""

    def own(self, problem: Problem, shared: None) -> AtZero | None:
        """Return what Jeffreys' prior does at 0, None without it."""
        prior = problem.jeffreys
        return None if prior is None else at_zero(problem.samples, prior)

    def objective(
        self, problem: Problem, shared: None, prepared: Prepared, tol: Array
    ) -> DenseObjective:
        """Return the cost as a function of w above b."""
        return primal_objective(problem, prepared, tol)

    def initial(
        self,
        solver: Solver,
        problem: Problem,
        shared: None,
        init: Params | None,
        limits: Limits,
    ) -> Float[Array, "n+1 1"]:
        """Return init, zero, or the minimum for a growing part of many samples.

        The first steps need no more of the data than tells them where to go. The
        minimum of an eighth of a million samples is so near to that of all that two
        steps remain.
        """
        start = start_vector(problem, init)
        if init is not None:
            return start
        X, samples = problem.samples.X, problem.samples
        n, m = X.shape
        parts = estimates_cheaply(X) and problem.jeffreys is None
        blocks = m // gram_block(samples) if parts else 1
        known, tol = prepare(samples), jnp.full((), START_TOLERANCE, X.dtype)
        for every in START_PARTS:
            if blocks >= 2 * every and m >= MIN_START_SAMPLES * n * every:
                most = at_most(limits.max_steps, MAX_START_STEPS)
                part = primal_objective(problem, known, tol, every)
                point = minimize(solver, part, start, most).point
                start = jnp.where(jnp.isfinite(point).all(), point, start)
        return start

    def finish(
        self,
        solver: Solver,
        problem: Problem,
        shared: None,
        solve: SolveState,
        init: Params | None,
        limits: Limits,
    ) -> Solution:
        """Return the solution: the unknowns are the parameters."""
        state = solve.state
        return solution_of(state, to_params(state.point), state.direction.factor)

    def inverse_hessian(
        self, problem: Problem, params: Params, factor: ReversedFactor | None
    ) -> Callable[[Array], Array]:
        """Return H^-1 at params, by the Cholesky factor of H."""
        samples = problem.samples
        if factor is None and problem.jeffreys is not None:
            cost = primal_objective(problem, prepare(samples), jnp.zeros_like(params.b))
            point = to_vector(params)
            evaluation = cost.evaluate(point, jnp.zeros_like(point))
            factor = factorize_reversed(evaluation.curvature.exact)
        if factor is None:
            H = curvature_total(params, samples) / samples.total_weight()
            H = restricted_matrix(H + jnp.diag(ridge(problem)[:, 0]), problem.free)
            factor = factorize_reversed(H)
        return factor.solve


PRIMAL: Formulation = Primal()
