"""What the end of a solver leaves open: separation, and minima that roundings hide.

Both questions cost passes over the samples. They are asked in loops that take no step
unless some problem needs the answer, so that others pay nothing, alone or under vmap.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jlogreg.base.arrays import at_least
from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.design import Dense, matmul
from jlogreg.data.reduction import gram_block, sum_over_samples
from jlogreg.data.samples import Samples
from jlogreg.fitting.options import formulation_of
from jlogreg.fitting.plane import (
    MAX_SEPARATION_STEPS,
    has_failed,
    if_separated,
    sought,
    with_margins,
)
from jlogreg.formulations.convergence import confirmation
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
    restricted,
    ridge,
    solution_of,
    to_params,
    to_vector,
)
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss_dz
from jlogreg.objective.prediction import adjoint
from jlogreg.solvers.cholesky import ReversedFactor
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

# A minimum is known if the roundings of the gradient move no logit by more than this
# many tolerances.
KNOWN_TOLERANCES = 4


def is_open(
    solver: Solver, problem: Problem, solution: Solution, limits: Limits
) -> Bool[Array, ""]:
    """Return whether the status of a solution may change in `decide`."""
    if isinstance(solver, ProximalNewton):
        # The bias alone is seen to separate the labels at once.
        return has_failed(solution) & ~(penalties(problem)[:-1] > 0).all()
    if not can_decide(solver, problem):
        return jnp.zeros((), bool)
    return has_failed(solution) | _may_be_hidden(solution, limits)


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
    # What roundings hide.
    hidden = once(
        _may_be_hidden(found, limits) & ~now.seeks_plane,
        lambda: _is_hidden(problem, found, limits),
        jnp.zeros((), bool),
    )
    status = jnp.where(hidden, Status.SINGULAR, found.status).astype(jnp.int32)
    found = if_separated(goal, found._replace(status=status))
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


def _may_be_hidden(solution: Solution, limits: Limits) -> Bool[Array, ""]:
    """Return whether roundings of the gradient may count as a step."""
    known = solution.rounding <= limits.tol
    return (solution.status == Status.CONVERGED) & ~known


def _is_hidden(problem: Problem, solution: Solution, limits: Limits) -> Bool[Array, ""]:
    """Return whether the roundings of the gradient move a logit by too much.

    The gradient is a sum of terms dz x / m, each of them rounded. The Newton step of
    these roundings, as if they were independent, is a change of the logits.
    """
    samples, params, penalty = problem.samples, solution.params, ridge(problem)
    m, eps = samples.total_weight(), float(np.finfo(penalty.dtype).eps)

    def sizes(part: Samples, params: Params) -> Array:
        dz = part.weighted(log_loss_dz(FAST, part.logits(params), part.y))
        return to_vector(adjoint(Dense(jnp.abs(part.X.dense())), jnp.abs(dz)))

    block = gram_block(samples)
    size = sum_over_samples(sizes, samples, params, block=block) / m
    error = eps * (size + penalty * jnp.abs(to_vector(params)))
    error = restricted(error, problem.free)
    # The factor is the primal's, or there is none.
    kept = isinstance(solution.factor, ReversedFactor)
    factor = solution.factor if kept else None
    inverse = PRIMAL.inverse_hessian(problem, params, factor)(
        jnp.eye(len(error), dtype=error.dtype)
    )

    def count(part: Samples, inverse: Array, error: Array, most: Array) -> Array:
        # The standard deviation of [x; 1]T H^-1 e for each sample.
        along = matmul(part.X.dense().T, inverse[:-1]) + inverse[-1:]
        moved = jnp.sqrt(matmul(jnp.square(along), jnp.square(error))).T
        hidden = ~(moved <= most)
        return jnp.sum(hidden & (part.weights() > 0), dtype=moved.dtype)

    given = (inverse, error, KNOWN_TOLERANCES * limits.tol)
    return sum_over_samples(count, samples, *given, block=block) > 0
