"""Newton's method without a Hessian: conjugate gradients solve for each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import at_least, at_most
from jlogreg.solvers.conjugate_gradients import (
    Iterate,
    Solved,
    first_iterate,
    is_unfinished,
    max_inner_iterations,
    solved_by,
    update_search,
    update_solution,
)
from jlogreg.solvers.driver import (
    Direction,
    MatrixFreeObjective,
    State,
    first_state,
    where,
)
from jlogreg.solvers.line_search import Trial, set_direction, try_step

__all__ = ["INNER_TOLERANCE", "NewtonCG"]

# The reduction of the residual that the first Newton steps ask for; later ones ask for
# more.
INNER_TOLERANCE = 0.3


class _Memory(NamedTuple):
    """The solver's own part of its state: whether it tries a step or solves for one.

    Shapes: change (1, m), the change of the logits by the whole step; trial, the
    outcome of the last one; iterate, the solution for the next step so far; tolerance
    (), that of this solution.
    """

    trying: Bool[Array, ""]
    change: Float[Array, "1 m"]
    trial: Trial
    iterate: Iterate
    tolerance: Float[Array, ""]


@jax.tree_util.register_static
@dataclass(frozen=True)
class NewtonCG:
    """Newton's method with conjugate gradients, without a Hessian.

    Each inner iteration multiplies once with X and once with XT, and so does each
    trial: a step of this solver is either, so that under vmap no problem waits for
    another's. The preconditioner is a factor that depends on X and the penalty alone,
    so problems that share them share it. The inner tolerance falls with the gradient,
    so that convergence is faster than linear. Nocedal and Wright, Numerical
    Optimization, algorithm 7.1.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import NewtonCG, fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> print(f"J = {fit(X, y, solver=NewtonCG()).cost:.4f}")
        J = 0.4130
    """

    def init(self, objective: MatrixFreeObjective, start: Float[Array, "k 1"]) -> State:
        """Return the state before the first evaluation."""
        logits, zero = objective.zero_logits[:1], jnp.zeros((), start.dtype)
        no, nothing = jnp.zeros((), bool), jnp.zeros_like(start)
        memory = _Memory(
            trying=~no,
            change=logits,
            trial=Trial(no, no, no, no, zero),
            iterate=first_iterate((start, logits), nothing, nothing),
            tolerance=zero,
        )
        evaluation = jax.eval_shape(objective.evaluate, start, start)
        return first_state(evaluation, start, memory=memory)

    # Over 40 lines: one pass over the samples, and all that follows from it.
    def step(self, objective: MatrixFreeObjective, state: State) -> State:
        """Return the state after one trial, or one iteration that solves for it."""
        memory, state = state.memory, state._replace(memory=None)
        trying: Array = memory.trying

        # One pass over the samples: evaluate a trial point, or multiply with p.
        whole = state.step_size * state.direction.vector
        vector = jnp.where(trying, state.point + whole, memory.iterate.search)
        change = state.step_size * memory.change
        curvature = state.evaluation.curvature
        result, logits = objective.evaluate_or_multiply(
            vector, change, curvature, trying
        )
        result = result._replace(slope=jnp.sum(result.gradient * whole))

        # After a trial: accept the point, or try a shorter step in the next pass.
        tried = try_step(objective.value_at_zero, objective.tol, state, result)
        after, trial = where(trying, tried, (state, memory.trial))
        begin, again = trying & trial.accept, trying & ~trial.accept

        # Begin a new system at an accepted point, or go on with the one under way.
        right = after.evaluation.gradient
        moved = update_solution(
            memory.iterate, result.gradient, (memory.iterate.search, logits)
        )
        inverse = objective.precondition(jnp.where(begin, right, moved.residual))
        fresh = first_iterate(moved.x, right, inverse)
        iterate = where(begin, fresh, update_search(moved, inverse))
        iterate = where(again, memory.iterate, iterate)
        tolerance = jnp.where(begin, _tolerance(iterate, trial), memory.tolerance)

        # The direction is known once the system is solved, or at once if it is to zero.
        to_zero = begin & trial.reset_to_zero
        most = max_inner_iterations(right.shape[0])
        going = is_unfinished(iterate, tolerance, most) & ~to_zero
        solved = solved_by(iterate, tolerance)
        direction = _direction(solved, right, objective.singular)
        direction = where(again, after.direction, direction)
        change = jnp.where(to_zero, -logits, -solved.x[1])
        change = jnp.where(again | going, memory.change, change)
        turned = set_direction(after, direction, trial)

        # A step counts when its outcome is known.
        ends = again | ~going
        steps = state.steps + ends.astype(state.steps.dtype)
        state = where(ends, turned, after)._replace(steps=steps)
        memory = _Memory(
            trying=ends,
            change=change,
            trial=trial,
            iterate=iterate,
            tolerance=tolerance,
        )
        return state._replace(memory=memory)


def _tolerance(iterate: Iterate, trial: Trial) -> Float[Array, ""]:
    """Return how far to reduce the residual of a Newton step.

    The forcing sequence min(0.3, sqrt(|g|)), with |g| = sqrt(gT M^-1 g); Nocedal and
    Wright, algorithm 7.1. At a minimum, only the size of the next step is needed.
    """
    size = iterate.unit * jnp.sqrt(iterate.first)
    least = at_most(jnp.sqrt(size), INNER_TOLERANCE)
    return jnp.where(trial.within_tolerance, INNER_TOLERANCE, least)


def _direction(solved: Solved, gradient: Array, singular: Array) -> Direction:
    """Return the Newton direction of a solved system H x = g."""
    vector = -solved.x[0]
    squared = -jnp.sum(vector * gradient)
    return Direction(
        vector=vector,
        decrement=jnp.sqrt(at_least(squared, 0)),
        singular=singular | solved.stuck,
        solved=solved.reached | solved.stuck,
        inflation=jnp.zeros_like(squared),
        factor=None,
    )
