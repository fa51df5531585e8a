"""A resumable solve: setup, init, advance, finalize.

`setup` prepares the part that depends on the features and the penalty, so that problems
share it; the other functions are for one problem, and are mapped over many.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import at_least, at_most
from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.design import Design
from jlogreg.fitting.options import formulation_of
from jlogreg.fitting.outcome.decide import can_decide, decide, has_hessian
from jlogreg.fitting.outcome.lowest_minimum import lowest_minimum
from jlogreg.fitting.outcome.plane import if_free_plane, if_separated
from jlogreg.formulations.centering import Centering, centered, feature_center
from jlogreg.formulations.convergence import MAX_CONFIRM_STEPS
from jlogreg.formulations.matrix_free import MAX_CONFIRM_FEATURES, continued
from jlogreg.formulations.primal import PRIMAL
from jlogreg.formulations.problem import (
    Formulation,
    Limits,
    Problem,
    Solution,
    SolveState,
    penalties,
    prepare,
    to_vector,
)
from jlogreg.solvers.driver import RUNNING, Solver, once, run_solver
from jlogreg.solvers.lbfgs import LBFGS
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG
from jlogreg.solvers.proximal.proximal_newton import ProximalNewton

__all__ = [
    "advance",
    "center_of",
    "center_problem",
    "finalize",
    "init_state",
    "max_solver_steps",
    "setup",
    "solve",
]


# Steps of a solver at most where Newton's method can take over; few fits need more.
MAX_FIRST_STEPS = 100


def solve(
    solver: Solver,
    problem: Problem,
    init: Params | None,
    limits: Limits,
    decides: bool = True,
) -> Solution:
    """Return the solution of one problem.

    Args:
        solver: takes the steps.
        problem: in centred unknowns.
        init: where to start.
        limits: the tolerance and the steps.
        decides: whether to answer what the solver leaves open.
    """
    shared = setup(solver, problem)
    state = init_state(solver, problem, shared, init, limits)
    # `decide` takes the steps of Newton's method itself.
    if not (decides and _formulation(solver, problem) is PRIMAL):
        state = advance(solver, problem, shared, state, limits)
    return finalize(solver, problem, shared, state, init, limits, decides)


def center_problem(problem: Problem) -> tuple[Problem, Centering]:
    """Return the problem in the unknowns that the solver is given, and the way back."""
    center = center_of(problem)
    centering = Centering.of(problem, center)
    if center is not None:
        X = centered(problem.samples.X, center)
        problem = problem._replace(samples=problem.samples._replace(X=X))
    return centering.problem(problem), centering


def center_of(problem: Problem) -> Float[Array, "n 1"] | None:
    """Return what is taken from the features; None where nothing is.

    Without a bias nothing makes up for a center. A design that cannot be cut into
    samples has zeros that a center would fill.
    """
    if problem.free is not None or not problem.samples.X.sliceable:
        return None
    return feature_center(problem.samples)


def setup(solver: Solver, problem: Problem, penalties_differ: bool = False) -> Any:
    """Return the part that problems on the same features share.

    Args:
        solver: takes the steps.
        problem: the features, which samples count, and the penalty of all problems.
        penalties_differ: whether each problem has a penalty of its own.
    """
    return _formulation(solver, problem).shared(problem, penalties_differ)


def init_state(
    solver: Solver, problem: Problem, shared: Any, init: Params | None, limits: Limits
) -> SolveState:
    """Return the state of a solve before its first step."""
    formulation = _formulation(solver, problem)
    start = jnp.zeros((), limits.tol.dtype) if init is None else to_vector(init)
    invalid = _is_invalid(problem, start)
    invalid |= ~jnp.isfinite(limits.tol) | (limits.max_steps < 0)
    status = jnp.where(invalid, Status.BAD_INPUT, RUNNING).astype(jnp.int32)
    prepared = prepare(problem.samples, formulation.own(problem, shared))
    # An invalid problem takes no steps on the way to its start, either.
    most = jnp.where(invalid, -1, limits.max_steps)
    point = formulation.initial(
        solver, problem, shared, init, limits._replace(max_steps=most)
    )
    objective = formulation.objective(problem, shared, prepared, limits.tol)
    state = solver.init(objective, point)
    return SolveState(prepared, state._replace(status=status))


def advance(
    solver: Solver,
    problem: Problem,
    shared: Any,
    state: SolveState,
    limits: Limits,
    passes: int | None = None,
) -> SolveState:
    """Return the state after `passes` more over the samples, or at its end."""
    objective = _formulation(solver, problem).objective(
        problem, shared, state.prepared, limits.tol
    )
    most = max_solver_steps(solver, problem.samples.X, limits)
    return state._replace(
        state=run_solver(solver, objective, state.state, most, passes)
    )


def max_solver_steps(solver: Solver, X: Design, limits: Limits) -> Array:
    """Return the steps of the solver at most, before Newton's method takes over."""
    most = limits.max_steps
    if isinstance(solver, LBFGS):
        return at_most(most, MAX_FIRST_STEPS)
    exact = isinstance(solver, Newton | ProximalNewton)
    if exact or X.shape[0] > MAX_CONFIRM_FEATURES:
        return most
    if isinstance(solver, NewtonCG):
        return at_most(most, MAX_FIRST_STEPS)
    return most - at_most(most // 2, MAX_CONFIRM_STEPS)


def finalize(
    solver: Solver,
    problem: Problem,
    shared: Any,
    state: SolveState,
    init: Params | None,
    limits: Limits,
    decides: bool = True,
) -> Solution:
    """Return the solution that the end of a solve means; NaN for an invalid problem."""
    X = problem.samples.X
    if decides and has_hessian(solver, problem):
        search = decide if problem.jeffreys is None else lowest_minimum
        solution = search(solver, problem, state, limits)
    else:
        if decides and can_decide(solver, problem):
            state = continued(solver, problem, shared, state, limits)
            solver = NewtonCG()
        solution = _formulation(solver, problem).finish(
            solver, problem, shared, state, init, limits
        )
        solution = if_separated(problem, solution)
        if decides and isinstance(solver, ProximalNewton):
            solution = if_free_plane(problem, state.prepared, solution, limits)

    # X is searched for numbers that are not finite only where something went wrong.
    def searched() -> Array:
        status = jnp.where(X.finite().all(), Status.NONFINITE, Status.BAD_INPUT)
        return status.astype(jnp.int32)

    failed = solution.status == Status.NONFINITE
    status = once(failed, searched, solution.status)

    def unless_invalid(value: Array) -> Array:
        return jnp.where(status == Status.BAD_INPUT, jnp.nan, value)

    solution = solution._replace(
        params=jax.tree.map(unless_invalid, solution.params),
        status=status,
        steps=at_least(solution.steps, 0),
        cost=unless_invalid(solution.cost),
        gradient=jax.tree.map(unless_invalid, solution.gradient),
        decrement=unless_invalid(solution.decrement),
        gap=jax.tree.map(unless_invalid, solution.gap),
        several=None if problem.jeffreys is None else solution.several,
    )
    # The plane that separates the labels has no weight with a penalty.
    plane = (solution.status == Status.SEPARATED) & (penalties(problem)[:-1] > 0)
    w = jnp.where(plane, 0.0, solution.params.w)
    return solution._replace(params=solution.params._replace(w=w))


def _formulation(solver: Solver, problem: Problem) -> Formulation:
    return formulation_of(solver, problem.samples.X, problem.l2)


def _is_invalid(problem: Problem, start: Array) -> Bool[Array, ""]:
    """Return whether a number is out of range; `prepare_data` has made it NaN."""
    samples = problem.samples
    rows = (samples.y, samples.weight, samples.offset, problem.l2, problem.l1, start)
    numbers = jax.tree.leaves((rows, problem.jeffreys))
    invalid = jnp.stack([~jnp.isfinite(number).all() for number in numbers]).any()
    return invalid | ~(jnp.asarray(samples.total_weight()) > 0)
