"""Give solvers the cost with a curvature that is multiplied with, and never formed.

A point is w above b; the curvature is a row of a (1 - a). A Newton step solves with it
by conjugate gradients, with a bound of the Hessian for a preconditioner.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.reduction import sum_over_samples
from jlogreg.data.samples import Samples
from jlogreg.formulations.preconditioner import (
    Preconditioner,
    for_problem,
    shared_preconditioner,
    spectral_preconditioner,
)
from jlogreg.formulations.problem import (
    Coordinates,
    Limits,
    Problem,
    Solution,
    SolveState,
    Whole,
    ridge,
    to_params,
    to_solution,
    to_vector,
    zero_point,
)
from jlogreg.objective.cost import total_weight
from jlogreg.objective.pointwise import logits_along, pointwise
from jlogreg.objective.prediction import adjoint
from jlogreg.solvers.cholesky import rounding_level
from jlogreg.solvers.conjugate_gradients import (
    Solved,
    conjugate_gradients,
    max_inner_iterations,
)
from jlogreg.solvers.driver import (
    Evaluation,
    Objective,
    Solver,
    System,
    run_solver,
    where,
)
from jlogreg.solvers.first_order import Optax
from jlogreg.solvers.newton_cg import INNER_TOLERANCE, NewtonCG

__all__ = ["MATRIX_FREE", "has_flat_direction", "matrix_free_objective"]


def matrix_free_objective(
    problem: Problem, known: Whole, bound: Preconditioner, tol: Array
) -> Objective:
    """Return the cost with a curvature that is multiplied with, and never formed."""
    samples, penalty, m = problem.samples, ridge(problem), known.weight

    def look_along(
        vector: Array, change: Array, curvature: Array, trying: Array
    ) -> tuple[Evaluation, Array]:
        rows, free = logits_along(samples.X, problem.l2, to_params(vector))
        seen = pointwise(samples, rows, change, free, tol)
        back = jnp.where(trying, seen.dz, curvature * rows)
        sums = sum_over_samples(_adjoint, Samples(samples.X, back))
        found = Evaluation(
            value=seen.loss / m + jnp.sum((penalty * vector) * vector) / 2,
            gradient=to_vector(sums) / m + penalty * vector,
            curvature=seen.dz2,
            slope=jnp.zeros_like(seen.loss),
            n_moved=seen.n_moved,
            n_large_moves=seen.n_large_moves,
            separated=seen.n_not_separated == 0,
        )
        return found, rows

    def evaluate(point: Array, step: Array) -> Evaluation:
        change, _ = logits_along(samples.X, problem.l2, to_params(step))
        trying = jnp.ones((), bool)
        found, _ = look_along(point, change, jnp.zeros_like(change), trying)
        return found._replace(slope=jnp.sum(found.gradient * step))

    rows = jnp.zeros_like(samples.y)
    system = System(look_along, bound.solve, rows, bound.singular)
    return Objective(evaluate, known.value_at_zero, tol, system=system)


def _solve(
    problem: Problem,
    bound: Preconditioner,
    curvature: Array,
    right: Array,
    tolerance: Array,
) -> Solved:
    """Return H^-1 right for a row of curvature."""
    samples, m = problem.samples, total_weight(problem.samples)
    penalty = ridge(problem)
    # The curvature is a row over the samples, and goes block by block with them.
    curved = Samples(samples.X, curvature)

    def summand(part: Samples, vector: Array) -> Array:
        change = part.X.forward(vector[:-1]) + vector[-1:]
        return to_vector(adjoint(part.X, part.y * change))

    def multiply(vector: Array) -> Array:
        return sum_over_samples(summand, curved, vector) / m + penalty * vector

    most = max_inner_iterations(right.shape[0])
    return conjugate_gradients(multiply, right, bound.solve, tolerance, most)


def has_flat_direction(
    problem: Problem, bound: Preconditioner, curvature: Array
) -> Bool[Array, ""]:
    """Return whether some direction has no curvature where the solver ended.

    Samples that are told apart to the last digit no longer show in the gradient. If a
    direction moves none but them (quasi-separation), there is no minimum; if, where
    weights leave samples out, it moves none at all, there are many. Either way H has no
    inverse, and a system with something along that direction on its right has no
    solution of moderate size. So one has the pull of those samples, and one, where
    there are weights, something of every direction: apart, or they might cancel. Where
    a right is zero nothing is solved; nor is it where penalties hold all the weights,
    and only the bias is left to have no curvature.
    """
    samples, penalty = problem.samples, ridge(problem)
    eps = float(np.finfo(curvature.dtype).eps)
    weight = jnp.ones_like(samples.y) if samples.weight is None else samples.weight
    pull = jnp.where(curvature <= eps * weight, weight * (2 * samples.y - 1), 0.0)
    right = to_vector(sum_over_samples(_adjoint, Samples(samples.X, pull)))
    k = right.shape[0]
    rights, tolerances = [right], [INNER_TOLERANCE]
    if samples.weight is not None:
        rights.append(jnp.cos(jnp.arange(k, dtype=right.dtype))[:, None] / bound.scale)
        tolerances.append(INNER_TOLERANCE / k**0.5)  # so that no direction is neglected
    held = (penalty * jnp.square(bound.scale))[:-1].min() > rounding_level(
        k, right.dtype
    )

    def is_free(right: Array, tolerance: Array) -> Bool[Array, ""]:
        right = jnp.where(held, 0.0, right)
        size = jnp.sum(right * bound.solve(right))
        solved = _solve(problem, bound, curvature, right, tolerance)
        return solved.stuck | ~(eps * k * jnp.sum(solved.x * right) <= size)

    free = jax.vmap(is_free)(jnp.stack(rights), jnp.asarray(tolerances, right.dtype))
    return jnp.where(held, ~(curvature.sum() > eps * weight.sum()), free.any())


def _adjoint(part: Samples) -> Params:
    return adjoint(part.X, part.y)


# Newton's steps that certify what a descent has found, or that there is no minimum.
MAX_CERTIFY_STEPS = 100


def _share_bound(problem: Problem, penalties_differ: bool) -> Preconditioner:
    return (
        spectral_preconditioner(problem)
        if penalties_differ
        else shared_preconditioner(problem)
    )


def _own_bound(problem: Problem, shared: Preconditioner) -> Preconditioner:
    # The inverse, which problems share, is kept apart from what is a problem's own.
    return for_problem(problem, shared)._replace(inverse=None)


def _start_matrix_free(
    solver: Solver, problem: Problem, shared: Any, init: Params | None, limits: Limits
) -> Array:
    return zero_point(problem) if init is None else to_vector(init)


def _matrix_free(
    problem: Problem,
    known: Whole,
    shared: Preconditioner,
    own: Preconditioner,
    tol: Array,
) -> Objective:
    return matrix_free_objective(
        problem, known, own._replace(inverse=shared.inverse), tol
    )


def _end_matrix_free(
    solver: Solver,
    problem: Problem,
    shared: Preconditioner,
    begun: SolveState,
    init: Params | None,
    limits: Limits,
) -> Solution:
    known, own, state = begun
    bound = own._replace(inverse=shared.inverse)
    if isinstance(solver, Optax):
        # What a descent takes for the minimum has to stand Newton's test as well.
        ended = state.status != Status.CONVERGED
        cost = matrix_free_objective(problem, known, bound, limits.tol)
        first = NewtonCG().init(cost, state.point)
        status = jnp.where(ended, state.status, Status.MAX_STEPS)
        most = jnp.minimum(limits.max_steps - state.steps, MAX_CERTIFY_STEPS)
        certified = run_solver(NewtonCG(), cost, first._replace(status=status), most)
        steps = state.steps + jnp.maximum(certified.steps, 0)
        certified = certified._replace(memory=None)
        state = where(ended, state._replace(memory=None), certified)
        state = state._replace(steps=steps)
    lost = has_flat_direction(problem, bound, state.evaluation.curvature)
    lost &= state.status == Status.CONVERGED
    how = jnp.where(shared.singular, Status.SINGULAR, Status.DIVERGED)
    status = jnp.where(lost, how, state.status).astype(jnp.int32)
    return to_solution(state._replace(status=status), to_params(state.point), bound)


MATRIX_FREE = Coordinates(
    share=_share_bound,
    prepare=_own_bound,
    objective=_matrix_free,
    start=_start_matrix_free,
    end=_end_matrix_free,
)
