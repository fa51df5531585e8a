"""The matrix-free formulation: n + 1 unknowns, and only products with the Hessian.

The curvature is a row of a (1 - a). Conjugate gradients solve with it, preconditioned
by a bound of the Hessian that problems share.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.arrays import at_least, at_most
from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.reduction import sum_over_samples
from jlogreg.data.samples import Samples
from jlogreg.formulations.convergence import (
    adjoint_of_row,
    at_end,
    bounded_rounding,
    confirmation,
    has_flat_direction,
)
from jlogreg.formulations.preconditioner import (
    Preconditioner,
    adapt_preconditioner,
    shared_preconditioner,
    spectral_preconditioner,
)
from jlogreg.formulations.problem import (
    Formulation,
    Limits,
    Prepared,
    Problem,
    Solution,
    SolveState,
    restricted,
    ridge,
    solution_of,
    start_vector,
    to_params,
    to_vector,
)
from jlogreg.objective.pointwise import (
    line_derivatives,
    logits_along,
    pointwise,
)
from jlogreg.solvers.driver import (
    Evaluation,
    MatrixFreeObjective,
    Solver,
    run_solver,
)
from jlogreg.solvers.first_order import Optax
from jlogreg.solvers.lbfgs import LBFGS
from jlogreg.solvers.newton_cg import NewtonCG

__all__ = [
    "MATRIX_FREE",
    "MAX_CONFIRM_FEATURES",
    "MatrixFree",
    "continued",
    "matrix_free_objective",
]

# With at most this number of features Newton's method confirms the end of another with
# a Hessian: a few of them cost less than the passes before.
MAX_CONFIRM_FEATURES = 64
# On the line of a direction the minimum is looked for between these factors of it.
MIN_FACTOR, MAX_FACTOR = 0.05, 8.0


def matrix_free_objective(
    problem: Problem, prepared: Prepared, preconditioner: Preconditioner, tol: Array
) -> MatrixFreeObjective:
    """Return the cost as a function of w above b, without forming its Hessian."""
    samples, penalty, m = problem.samples, ridge(problem), prepared.total_weight

    def evaluate_or_multiply(
        vector: Array, change: Array, curvature: Array, trying: Array
    ) -> tuple[Evaluation, Array]:
        # Forward: the logits of the vector, which is a point or a search direction.
        logits, free = logits_along(samples.X, problem.l2, to_params(vector))
        each = pointwise(samples, logits, change, free, tol)
        # Backward: of dz for the gradient, of s * logits for the curvature's product.
        row = jnp.where(trying, each.dz, curvature * logits)
        sums = sum_over_samples(adjoint_of_row, Samples(samples.X, row))
        evaluation = Evaluation(
            value=each.loss / m + jnp.sum((penalty * vector) * vector) / 2,
            gradient=restricted(to_vector(sums) / m + penalty * vector, problem.free),
            curvature=each.dz2,
            slope=jnp.zeros_like(each.loss),
            n_moved=each.n_moved,
            n_large_moves=each.n_large_moves,
            separated=each.n_not_separated == 0,
            rounding=jnp.zeros_like(each.loss),  # not asked for without a Hessian
        )
        return evaluation, logits

    def evaluate(point: Array, step: Array) -> Evaluation:
        change, _ = logits_along(samples.X, problem.l2, to_params(step))
        trying, nothing = jnp.ones((), bool), jnp.zeros_like(change)
        evaluation, _ = evaluate_or_multiply(point, change, nothing, trying)
        return evaluation._replace(slope=jnp.sum(evaluation.gradient * step))

    return MatrixFreeObjective(
        evaluate=evaluate,
        evaluate_or_multiply=evaluate_or_multiply,
        evaluate_along=partial(_evaluate_along, problem, m, tol),
        precondition=preconditioner.solve,
        zero_logits=_zero_logits(problem),
        singular=preconditioner.singular,
        value_at_zero=prepared.value_at_zero,
        tol=tol,
    )


def _zero_logits(problem: Problem) -> Float[Array, "r m"]:
    """Return logits of 0, above their part without a penalty if it has own weights."""
    zero = jnp.zeros_like(problem.samples.y)
    return jnp.concatenate([zero, zero]) if problem.l2.ndim else zero


# Over 40 lines: one pass, forward, along the line, and backward.
def _evaluate_along(
    problem: Problem,
    total_weight: Array,
    tol: Array,
    point: Array,
    logits: Array,
    step: Array,
    searches: Array,
) -> tuple[Evaluation, Array, Array]:
    """Return the cost at the end of a step, the logits there, the factor of the step.

    Where it searches, the factor is that of one Newton step along the line, taken from
    the end of the step.
    """
    samples, penalty, m = problem.samples, ridge(problem), total_weight
    # Forward: the change of the logits, above that of their part without a penalty.
    rows = logits_along(samples.X, problem.l2, to_params(step))
    z, change = logits[:1], rows[0]
    # On the line: no product with X.
    slope, curvature = line_derivatives(samples, z + change, change)
    bend = penalty * step
    slope = slope / m + jnp.sum(bend * (point + step))
    curvature = curvature / m + jnp.sum(bend * step)
    factor = at_most(at_least(1 - slope / curvature, MIN_FACTOR), MAX_FACTOR)
    factor = jnp.where(searches & jnp.isfinite(factor), factor, 1.0)
    step, change = factor * step, factor * change
    point, z = point + step, z + change
    if problem.l2.ndim:
        logits = jnp.concatenate([z, logits[1:] + factor * rows[1]])
        free = logits[1:]
    else:
        logits, free = z, jnp.where(problem.l2 == 0, z, point[-1:])
    # Backward: the gradient there.
    each = pointwise(samples, z, change, free, tol)
    sums = sum_over_samples(adjoint_of_row, Samples(samples.X, each.dz))
    gradient = restricted(to_vector(sums) / m + penalty * point, problem.free)
    nothing = jnp.zeros_like(each.loss)
    evaluation = Evaluation(
        value=each.loss / m + jnp.sum((penalty * point) * point) / 2,
        gradient=gradient,
        curvature=jnp.zeros((1, 0), z.dtype),  # not asked for on a line
        slope=jnp.sum(gradient * step),
        n_moved=each.n_moved,
        n_large_moves=nothing,  # nor these, where another solver has the last word
        separated=each.n_not_separated == 0,
        rounding=nothing,
    )
    return evaluation, logits, factor


class MatrixFree:
    """The matrix-free formulation; problems share the preconditioner's inverse."""

    def shared(self, problem: Problem, penalties_differ: bool) -> Preconditioner:
        """Return the inverse of the bound, or its spectrum if penalties differ."""
        make = spectral_preconditioner if penalties_differ else shared_preconditioner
        return make(problem)

    def own(self, problem: Problem, shared: Preconditioner) -> Preconditioner:
        """Return the problem's preconditioner, without the inverse that all share."""
        return adapt_preconditioner(problem, shared)._replace(inverse=None)

    def objective(
        self, problem: Problem, shared: Preconditioner, prepared: Prepared, tol: Array
    ) -> MatrixFreeObjective:
        """Return the cost as a function of w above b."""
        preconditioner = prepared.own._replace(inverse=shared.inverse)
        return matrix_free_objective(problem, prepared, preconditioner, tol)

    def initial(
        self,
        solver: Solver,
        problem: Problem,
        shared: Preconditioner,
        init: Params | None,
        limits: Limits,
    ) -> Float[Array, "n+1 1"]:
        """Return init, or zero."""
        return start_vector(problem, init)

    def finish(
        self,
        solver: Solver,
        problem: Problem,
        shared: Preconditioner,
        solve: SolveState,
        init: Params | None,
        limits: Limits,
    ) -> Solution:
        """Return the solution; its rounding is infinite unless the minimum is known."""
        state, m = solve.state, solve.prepared.total_weight
        preconditioner = solve.prepared.own._replace(inverse=shared.inverse)
        here = at_end(problem, m, to_params(state.point), limits.tol)
        state = state._replace(
            evaluation=state.evaluation._replace(
                value=here.value, gradient=here.gradient
            )
        )
        solution = solution_of(state, to_params(state.point), preconditioner)
        if problem.samples.X.shape[0] <= MAX_CONFIRM_FEATURES:
            rounding = bounded_rounding(problem, m, here, limits.tol)
            return solution._replace(rounding=rounding)
        if isinstance(solver, LBFGS):
            in_metric = preconditioner.solve(here.gradient)
            decrement = solver.decrement(state, here.gradient, in_metric)
            rounding = jnp.where(decrement <= limits.tol, 0.0, jnp.inf)
            solution = solution._replace(decrement=decrement, rounding=rounding)
        elif isinstance(solver, Optax):
            solution = solution._replace(rounding=jnp.full_like(m, jnp.inf))
        flat = has_flat_direction(problem, preconditioner, here.curvature)
        flat &= state.status == Status.CONVERGED
        how = jnp.where(shared.singular, Status.SINGULAR, Status.DIVERGED)
        status = jnp.where(flat, how, state.status).astype(jnp.int32)
        return solution._replace(status=status)

    def inverse_hessian(
        self, problem: Problem, params: Params, factor: Preconditioner
    ) -> Callable[[Array], Array]:
        """Return the inverse of the bound, an approximation of H^-1."""
        return factor.solve


def continued(
    solver: Solver,
    problem: Problem,
    shared: Preconditioner,
    solve: SolveState,
    limits: Limits,
) -> SolveState:
    """Return the end of NewtonCG, which goes on where another solver has ended.

    With a minimum of `Optax`, whose test is weaker, or without one of `LBFGS`.
    """
    objective = MATRIX_FREE.objective(problem, shared, solve.prepared, limits.tol)
    first, most = confirmation(NewtonCG(), objective, solve.state, limits)
    converged = solve.state.status == Status.CONVERGED
    goes_on = converged if isinstance(solver, Optax) else ~converged
    status = jnp.where(goes_on, first.status, solve.state.status)
    first = first._replace(status=status.astype(jnp.int32))
    end = run_solver(NewtonCG(), objective, first, most)
    steps = solve.state.steps + at_least(end.steps, 0)
    return solve._replace(state=end._replace(steps=steps))


MATRIX_FREE: Formulation = MatrixFree()
