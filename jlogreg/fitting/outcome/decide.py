"""What the end of a solver leaves open: separation, and minima that roundings hide.

Both questions cost passes over the samples. They are asked in loops that take no step
unless some problem needs the answer, so that others pay nothing, alone or under vmap.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool

from jlogreg.base.arrays import at_least
from jlogreg.base.status import Status
from jlogreg.fitting.options import formulation_of
from jlogreg.fitting.outcome.plane import (
    MAX_SEPARATION_STEPS,
    has_failed,
    if_separated,
    sought,
    with_margins,
)
from jlogreg.formulations.convergence import (
    confirmation,
    hidden_as_singular,
    may_be_hidden,
)
from jlogreg.formulations.matrix_free import MAX_CONFIRM_FEATURES
from jlogreg.formulations.primal import PRIMAL, primal_objective
from jlogreg.formulations.problem import (
    Limits,
    Prepared,
    Problem,
    Solution,
    SolveState,
    cost_and_slope,
    penalties,
    solution_of,
    to_params,
    to_vector,
)
from jlogreg.solvers.driver import (
    Solver,
    State,
    loop,
    once,
    run_solver,
    where,
)
from jlogreg.solvers.first_order import Optax
from jlogreg.solvers.lbfgs import LBFGS
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.proximal.proximal_newton import ProximalNewton

__all__ = ["can_decide", "decide", "has_hessian", "is_open"]


def is_open(
    solver: Solver, problem: Problem, solution: Solution, limits: Limits
) -> Bool[Array, ""]:
    """Return whether the status of a solution may change in `decide`."""
    if isinstance(solver, ProximalNewton):
        # The bias alone is seen to separate the labels at once.
        return has_failed(solution) & ~(penalties(problem)[:-1] > 0).all()
    if not can_decide(solver, problem):
        return jnp.zeros((), bool)
    return has_failed(solution) | may_be_hidden(solution, limits)


class _Search(NamedTuple):
    """Newton's method in search of a minimum, or of a plane between the labels."""

    seeks_plane: Bool[Array, ""]
    goes_on: Bool[Array, ""]
    state: State
    solution: Solution


def decide(
    solver: Solver, problem: Problem, solve: SolveState, limits: Limits
) -> Solution:
    """Return the solution at the end of Newton's method, with its final status.

    A minimum that roundings hide is SINGULAR: to the precision at hand the gradient is
    zero there, but in a whole region. A problem without an answer is SEPARATED if a
    plane is found between its labels.

    Args:
        solver: what has taken the steps so far.
        problem: one that has a Hessian.
        solve: its state, at any step of Newton's method, or at the end of another's.
        limits: the tolerance and the steps.
    """
    newton, state, most = solver, solve.state, limits.max_steps
    if not isinstance(newton, Newton):
        newton = Newton()
        exact = primal_objective(problem, solve.prepared, limits.tol)
        state, most = confirmation(newton, exact, state, limits)

    # One loop of Newton steps for both searches, so that it is compiled once.
    def search(now: _Search) -> _Search:
        return _after(now, newton, problem, solve.prepared, most, limits)

    unknown = solution_of(state, to_params(state.point), state.direction.factor)
    first = _Search(jnp.zeros((), bool), jnp.ones((), bool), state, unknown)
    end = loop(lambda now: now.goes_on, search, first)
    solution = end.solution
    if newton is not solver:
        steps = solve.state.steps + at_least(solution.steps, 0)
        solution = solution._replace(steps=steps)
    # The cost at a plane is still to be computed.
    at_plane = end.seeks_plane & (solution.status == Status.SEPARATED)
    J, slope = once(
        at_plane,
        lambda: cost_and_slope(problem, solution.params),
        (solution.cost, to_vector(solution.gradient)),
    )
    return solution._replace(cost=J, gradient=to_params(slope))


def _after(
    now: _Search,
    newton: Newton,
    problem: Problem,
    prepared: Prepared,
    most: Array,
    limits: Limits,
) -> _Search:
    """Return what is known after a search, and the start of the next one."""
    goal, prepared = sought(problem, prepared, now.seeks_plane)
    loss = primal_objective(goal, prepared, limits.tol)
    loss = with_margins(loss, prepared, now.seeks_plane)
    last = jnp.where(now.seeks_plane, MAX_SEPARATION_STEPS, most)
    end = run_solver(newton, loss, now.state, last)
    found = solution_of(end, to_params(end.point), end.direction.factor)
    found = hidden_as_singular(problem, found, limits, ~now.seeks_plane)
    found = if_separated(goal, found)
    # A plane between the labels stands for the parameters.
    separated = found.status == Status.SEPARATED
    plane = now.solution._replace(params=found.params, status=found.status)
    known = where(separated, plane, now.solution)
    solution = where(now.seeks_plane, known, found)
    return _Search(
        seeks_plane=jnp.ones((), bool),
        goes_on=has_failed(solution) & ~now.seeks_plane,
        state=newton.init(loss, jnp.zeros_like(end.point)),
        solution=solution,
    )


def can_decide(solver: Solver, problem: Problem) -> bool:
    """Return whether another solver takes over what this one leaves open."""
    return has_hessian(solver, problem) or isinstance(solver, LBFGS | Optax)


def has_hessian(solver: Solver, problem: Problem) -> bool:
    """Return whether Newton's method can take over, at no more cost than the fit."""
    if isinstance(solver, ProximalNewton):
        return False
    X = problem.samples.X
    is_primal = formulation_of(solver, X, problem.l2) is PRIMAL
    return is_primal or X.shape[0] <= MAX_CONFIRM_FEATURES
