"""The lower of two minima: with Jeffreys' prior the cost is not convex.

Second minima are real: features with a few values far from the others have them, above
all where a plane separates the labels. Where some sample lies far enough from the
others for a second minimum, by its leverage, Newton's method starts a second time:
eight times as far from zero as the first minimum, or where logits are so large that
there would be no curvature left, nearer. In any units of the features that is the same
point.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import largest
from jlogreg.base.status import Status
from jlogreg.formulations.convergence import hidden_as_singular
from jlogreg.formulations.primal import primal_objective
from jlogreg.formulations.problem import (
    Limits,
    Problem,
    Solution,
    SolveState,
    solution_of,
    to_params,
    to_vector,
)
from jlogreg.solvers.driver import Solver, State, loop, run_solver, where

__all__ = ["lowest_minimum"]

# The second start is the first minimum times this, with logits up to the log of 1 / eps
# times the other. In 3600 small problems with features of heavy tails, half of them
# separated, it led to the lowest minimum that 30 random starts found in 250 of the 361
# problems where the first was another; without the bound to 267, by more steps.
SECOND_START, LARGEST_LOGIT = 8.0, 5 / 6
# Two points are one minimum if no logit differs by more than this.
SAME_LOGITS = 0.01


class _Search(NamedTuple):
    """A search for a minimum, and the one that is known already."""

    is_second: Bool[Array, ""]
    goes_on: Bool[Array, ""]
    state: State
    solution: Solution


def lowest_minimum(
    solver: Solver, problem: Problem, solve: SolveState, limits: Limits
) -> Solution:
    """Return the lower of the minima that two starts lead to.

    Args:
        solver: Newton's method.
        problem: one with Jeffreys' prior.
        solve: its state, at any step.
        limits: the tolerance and the steps of each search.
    """
    cost = primal_objective(problem, solve.prepared, limits.tol)

    def search(now: _Search) -> _Search:
        # The second start is not given up, though it costs more than zero does.
        at_zero = jnp.where(now.is_second, jnp.inf, cost.value_at_zero)
        own = cost._replace(value_at_zero=at_zero)
        end = run_solver(solver, own, now.state, limits.max_steps)
        found = solution_of(end, to_params(end.point), end.direction.factor)
        found = hidden_as_singular(problem, found, limits)
        answered = found.status == Status.CONVERGED
        other = answered & _is_elsewhere(problem, found, now.solution)
        lower = other & (found.cost < now.solution.cost)
        solution = where(lower, found, now.solution)._replace(several=other)
        return _Search(
            is_second=jnp.ones((), bool),
            goes_on=answered & ~now.is_second & solve.prepared.own.rivals,
            state=solver.init(own, _second_start(problem, end.point)),
            solution=where(now.is_second, solution, found),
        )

    state, yes = solve.state, jnp.ones((), bool)
    unknown = solution_of(state, to_params(state.point), state.direction.factor)
    end = loop(lambda now: now.goes_on, search, _Search(~yes, yes, state, unknown))
    # A cost that is infinite at zero has a singular information everywhere.
    solution, added = end.solution, solve.prepared.own.added
    singular = (solution.status == Status.NONFINITE) & (added == jnp.inf)
    status = jnp.where(singular, Status.SINGULAR, solution.status)
    return solution._replace(status=status.astype(jnp.int32))


def _second_start(problem: Problem, point: Array) -> Array:
    """Return where the second search starts."""
    eps = float(np.finfo(point.dtype).eps)
    bound = -LARGEST_LOGIT * math.log(eps) / _largest_logit(problem, point)
    return jnp.where(bound < SECOND_START, bound, SECOND_START) * point


def _is_elsewhere(
    problem: Problem, solution: Solution, other: Solution
) -> Bool[Array, ""]:
    """Return whether two solutions differ in the logit of some sample."""
    step = to_vector(solution.params) - to_vector(other.params)
    return _largest_logit(problem, step) > SAME_LOGITS


def _largest_logit(problem: Problem, point: Array) -> Float[Array, ""]:
    """Return the largest |logit| of the samples with a weight, without the offset."""
    z = problem.samples.X.forward(point[:-1]) + point[-1:]
    return largest(jnp.abs(jnp.where(problem.samples.weights() > 0, z, 0.0)))
