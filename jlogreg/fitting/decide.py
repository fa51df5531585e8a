"""What the end of a solver leaves open: separation, and minima that roundings hide.

Both questions cost passes over the samples. They are asked in loops that take no step
unless some problem needs the answer, so that others pay nothing, alone or under vmap.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jlogreg.base.arrays import at_least
from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.reduction import gram_block
from jlogreg.data.samples import Samples
from jlogreg.data.standardized import magnitudes
from jlogreg.fitting.options import formulation_of
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
    restricted,
    ridge,
    solution_of,
    to_params,
    to_vector,
)
from jlogreg.objective.sums import sum_over_written
from jlogreg.solvers.driver import (
    DenseObjective,
    Evaluation,
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

__all__ = ["can_decide", "decide", "has_hessian", "if_separated", "is_open"]

# Newton steps that look for a plane between the labels. Where there is one they find it
# in about ten.
MAX_SEPARATION_STEPS = 40


def is_open(
    solver: Solver, problem: Problem, solution: Solution, limits: Limits
) -> Bool[Array, ""]:
    """Return whether the status of a solution may change in `decide`."""
    if problem.jeffreys is not None:  # there may be another minimum
        return solution.status != Status.BAD_INPUT
    if not can_decide(solver, problem):
        return jnp.zeros((), bool)
    return _has_failed(solution) | may_be_hidden(solution, limits)


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
    sought, prepared = _sought(problem, prepared, now.seeks_plane)
    loss = _with_margins(primal_objective(sought, prepared, limits.tol), now, prepared)
    last = jnp.where(now.seeks_plane, MAX_SEPARATION_STEPS, most)
    end = run_solver(newton, loss, now.state, last)
    found = solution_of(end, to_params(end.point), end.direction.factor)
    found = hidden_as_singular(problem, found, limits, ~now.seeks_plane)
    found = if_separated(sought, found)
    # A plane between the labels stands for the parameters.
    separated = found.status == Status.SEPARATED
    plane = now.solution._replace(params=found.params, status=found.status)
    known = where(separated, plane, now.solution)
    solution = where(now.seeks_plane, known, found)
    return _Search(
        seeks_plane=jnp.ones((), bool),
        goes_on=_has_failed(solution) & ~now.seeks_plane,
        state=newton.init(loss, jnp.zeros_like(end.point)),
        solution=solution,
    )


def _with_margins(
    loss: DenseObjective, now: _Search, prepared: Prepared
) -> DenseObjective:
    """Return the cost, whose plane has some distance from all samples when sought.

    The sum of the losses is then below that of one sample at the logit 1. A margin that
    is only just above 0 may be rounding.
    """

    def evaluate(point: Array, step: Array) -> Evaluation:
        evaluation = loss.evaluate(point, step)
        apart = evaluation.value * prepared.total_weight < math.log1p(math.exp(-1))
        separated = evaluation.separated & (apart | ~now.seeks_plane)
        return evaluation._replace(separated=separated)

    return loss._replace(evaluate=evaluate)


def if_separated(problem: Problem, solution: Solution) -> Solution:
    """Return the solution, DIVERGED where it is SEPARATED without a proof."""
    separated = solution.status == Status.SEPARATED
    no = jnp.zeros((), bool)
    proved = once(separated, lambda: _separates(problem, solution.params), no)
    status = jnp.where(separated & ~proved, Status.DIVERGED, solution.status)
    return solution._replace(status=status.astype(jnp.int32))


def _separates(problem: Problem, params: Params) -> Bool[Array, ""]:
    """Return whether each sample is on its label's side, by more than rounding.

    Equation (19); the rounding of a sum of k products is at most k eps of their sizes
    (Higham, Accuracy and Stability of Numerical Algorithms, 2002, 3.1).
    """
    samples, free = problem.samples, restricted(to_vector(params), problem.free)
    w, b = to_params(jnp.where(ridge(problem) > 0, 0.0, free))
    n = len(w)

    def count(part: Samples, params: Params) -> Array:
        X, (w, b), eps = part.X, params, float(np.finfo(part.y.dtype).eps)
        z = X.forward(w) + b
        size = magnitudes(X).forward(jnp.abs(w)) + jnp.abs(b)
        margin = jnp.where(part.y == 1, z, -z) - (n + 4) * eps * size
        is_right = (margin > 0) & ((part.y == 1) | (part.y == 0))
        return jnp.sum(~is_right & (part.weights() > 0), dtype=z.dtype)

    block = gram_block(samples)
    return sum_over_written(count, samples, Params(w, b), block=block) == 0


def can_decide(solver: Solver, problem: Problem) -> bool:
    """Return whether another solver takes over what this one leaves open."""
    return has_hessian(solver, problem) or isinstance(solver, LBFGS | Optax)


def has_hessian(solver: Solver, problem: Problem) -> bool:
    """Return whether a Hessian costs no more than the fit does."""
    X = problem.samples.X
    is_primal = formulation_of(solver, X, problem.l2) is PRIMAL
    return is_primal or X.shape[0] <= MAX_CONFIRM_FEATURES


def _has_failed(solution: Solution) -> Bool[Array, ""]:
    ended = [Status.CONVERGED, Status.SEPARATED, Status.BAD_INPUT]
    return (solution.status != jnp.asarray(ended, jnp.int32)).all()


def _sought(
    problem: Problem, prepared: Prepared, seeks_plane: Array
) -> tuple[Problem, Prepared]:
    """Return the problem to be solved, with what it prepares.

    Whether there is a plane without a penalty between the labels does not depend on the
    offset, nor on the sizes of the weights. So Newton's method goes after the minimum
    of the cost without both, in the unknowns that have no penalty, where such a plane
    shows after a few steps; equation (19).
    """
    samples, penalty = problem.samples, ridge(problem)
    weight, offset, m = samples.weight, samples.offset, prepared.total_weight
    if weight is not None:
        weight = jnp.where(seeks_plane, (weight > 0).astype(weight.dtype), weight)
        m = jnp.where(seeks_plane, weight.sum(), m)
    if offset is not None:
        offset = jnp.where(seeks_plane, 0.0, offset)
    value_at_zero = jnp.where(seeks_plane, math.log(2), prepared.value_at_zero)
    free = jnp.where(seeks_plane & (penalty > 0), 0.0, 1.0).astype(penalty.dtype)
    sought = Problem(
        Samples(samples.X, samples.y, weight, offset),
        jnp.where(seeks_plane, 0.0, problem.l2),
        restricted(free, problem.free),
    )
    return sought, Prepared(m, value_at_zero, None)
