"""The matrix-free formulation: n + 1 unknowns, and only products with the Hessian.

The curvature is a row of a (1 - a). Conjugate gradients solve with it, preconditioned
by a bound of the Hessian that problems share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.arrays import at_least, at_most
from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.reduction import sum_over_samples
from jlogreg.data.samples import Samples
from jlogreg.formulations.flat_directions import adjoint_of_row, has_flat_direction
from jlogreg.formulations.preconditioner import (
    Preconditioner,
    adapt_preconditioner,
    shared_preconditioner,
    spectral_preconditioner,
)
from jlogreg.formulations.primal import primal_objective
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
    to_params,
    to_vector,
)
from jlogreg.objective.pointwise import logits_along, pointwise
from jlogreg.solvers.driver import (
    RUNNING,
    Evaluation,
    MatrixFreeObjective,
    Solver,
    State,
    run_solver,
)
from jlogreg.solvers.first_order import Optax
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG

__all__ = [
    "MATRIX_FREE",
    "MAX_CONFIRM_FEATURES",
    "MAX_CONFIRM_STEPS",
    "MatrixFree",
    "confirmation",
    "matrix_free_objective",
]

# Newton steps that confirm the end of another solver, or that there is no minimum.
MAX_CONFIRM_STEPS = 500
# With at most this number of features they form a Hessian: a few of them cost less than
# the passes before.
MAX_CONFIRM_FEATURES = 32


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
        trying = jnp.ones((), bool)
        evaluation, _ = evaluate_or_multiply(
            point, change, jnp.zeros_like(change), trying
        )
        return evaluation._replace(slope=jnp.sum(evaluation.gradient * step))

    return MatrixFreeObjective(
        evaluate=evaluate,
        evaluate_or_multiply=evaluate_or_multiply,
        precondition=preconditioner.solve,
        zero_logits=jnp.zeros_like(samples.y),
        singular=preconditioner.singular,
        value_at_zero=prepared.value_at_zero,
        tol=tol,
    )


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
        if init is not None:
            return to_vector(init)
        X = problem.samples.X
        return jnp.zeros((X.shape[0] + 1, 1), X.dtype)

    def finish(
        self,
        solver: Solver,
        problem: Problem,
        shared: Preconditioner,
        solve: SolveState,
        init: Params | None,
        limits: Limits,
    ) -> Solution:
        """Return the solution, unless some direction has no curvature there."""
        state = solve.state
        preconditioner = solve.prepared.own._replace(inverse=shared.inverse)
        if problem.samples.X.shape[0] <= MAX_CONFIRM_FEATURES:
            exact = primal_objective(problem, solve.prepared, limits.tol)
            state = _confirm(Newton(keep_factor=False), exact, state, limits)
            return solution_of(state, to_params(state.point), preconditioner)
        if isinstance(solver, Optax):
            objective = self.objective(problem, shared, solve.prepared, limits.tol)
            state = _confirm(NewtonCG(), objective, state, limits)
        flat = has_flat_direction(problem, preconditioner, state.evaluation.curvature)
        flat &= state.status == Status.CONVERGED
        how = jnp.where(shared.singular, Status.SINGULAR, Status.DIVERGED)
        status = jnp.where(flat, how, state.status).astype(jnp.int32)
        state = state._replace(status=status)
        return solution_of(state, to_params(state.point), preconditioner)

    def inverse_hessian(
        self, problem: Problem, params: Params, factor: Preconditioner
    ) -> Callable[[Array], Array]:
        """Return the inverse of the bound, an approximation of H^-1."""
        return factor.solve


def confirmation(
    solver: Newton | NewtonCG, objective: Any, state: State, limits: Limits
) -> tuple[State, Array]:
    """Return Newton's method where another solver has ended, and its steps at most.

    A minimum has to pass Newton's test as well; with a formed Hessian, what has none to
    another solver may have one. What is separated stays as it is.
    """
    goes_on = state.status == Status.CONVERGED
    if isinstance(solver, Newton):
        ended = [Status.SEPARATED, Status.BAD_INPUT]
        goes_on = (state.status != jnp.asarray(ended, jnp.int32)).all()
    # What has not converged may be anywhere.
    lost = goes_on & (state.status != Status.CONVERGED)
    first = solver.init(objective, jnp.where(lost, 0.0, state.point))
    evaluation = state.evaluation
    if isinstance(solver, Newton):
        evaluation = evaluation._replace(curvature=first.evaluation.curvature)
    first = first._replace(
        evaluation=evaluation,
        direction=first.direction._replace(decrement=state.direction.decrement),
        status=jnp.where(goes_on, RUNNING, state.status).astype(jnp.int32),
    )
    return first, at_most(limits.max_steps - state.steps, MAX_CONFIRM_STEPS)


def _confirm(
    solver: Newton | NewtonCG, objective: Any, state: State, limits: Limits
) -> State:
    """Return the end of Newton's method, begun where another solver has ended."""
    first, most = confirmation(solver, objective, state, limits)
    end = run_solver(solver, objective, first, most)
    return end._replace(steps=state.steps + at_least(end.steps, 0))


MATRIX_FREE: Formulation = MatrixFree()
