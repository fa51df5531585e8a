"""Take Newton steps without a Hessian: solve for each by conjugate gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

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
from jlogreg.solvers.driver import Direction, Objective, State, first_state, where
from jlogreg.solvers.line_search import Trial, set_direction, try_step

__all__ = ["INNER_TOLERANCE", "NewtonCG"]

# The residual that the first Newton steps leave; later ones leave less.
INNER_TOLERANCE = 0.3


class _Memory(NamedTuple):
    """Hold what the solver does: whether it tries a step, or solves for the next.

    Shapes: change (1, m), what the whole step adds to the rows; trial, what came of the
    last one; system, how far the solution for the next has come, to which tolerance.
    """

    trying: Bool[Array, ""]
    change: Float[Array, "1 m"]
    trial: Trial
    system: Iterate
    tolerance: Float[Array, ""]


@jax.tree_util.register_static
@dataclass(frozen=True)
class NewtonCG:
    """Minimise by Newton's method with conjugate gradients, without a Hessian.

    Each inner iteration multiplies once with X and once with XT, and so does each
    trial: a step of this solver is either, so that under vmap no problem waits for
    another's. The preconditioner is a factor that depends on X and the penalty alone,
    so problems that share them share it. The inner tolerance falls with the gradient,
    so that convergence is faster than linear. Nocedal and Wright, Numerical
    Optimization, 7.1.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import NewtonCG, fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> print(f"J = {fit(X, y, solver=NewtonCG()).cost:.4f}")
        J = 0.4130
    """

    def init(self, objective: Objective, start: Float[Array, "k 1"]) -> State:
        """Return the state before the first look at the objective."""
        assert objective.system is not None
        rows, zero = objective.system.rows, jnp.zeros((), start.dtype)
        no = jnp.zeros((), bool)
        nothing = jnp.zeros_like(start)
        memory = _Memory(
            trying=~no,
            change=rows,
            trial=Trial(no, no, no, no, zero),
            system=first_iterate((start, rows), nothing, nothing),
            tolerance=zero,
        )
        return first_state(objective, start, memory)

    def step(self, objective: Objective, state: State) -> State:
        """Return the state after one trial, or one iteration that solves for it."""
        system, memory = objective.system, state.memory
        assert system is not None
        trying, state = memory.trying, state._replace(memory=None)
        whole = state.step_size * state.direction.vector
        vector = jnp.where(trying, state.point + whole, memory.system.search)
        change = state.step_size * memory.change
        curvature = state.evaluation.curvature
        found, rows = system.look(vector, change, curvature, trying)
        found = found._replace(slope=jnp.sum(found.gradient * whole))

        after, trial = where(
            trying, try_step(objective, state, found), (state, memory.trial)
        )
        begin, again = trying & trial.accept, trying & ~trial.accept
        right = after.evaluation.gradient
        moved = update_solution(
            memory.system, found.gradient, (memory.system.search, rows)
        )
        inverse = system.precondition(jnp.where(begin, right, moved.residual))
        now = where(
            begin, first_iterate(moved.x, right, inverse), update_search(moved, inverse)
        )
        now = where(again, memory.system, now)
        tolerance = jnp.where(begin, _tolerance(now, trial), memory.tolerance)

        jump = begin & trial.reset_to_zero
        going = (
            is_unfinished(now, tolerance, max_inner_iterations(right.shape[0])) & ~jump
        )
        solved = solved_by(now, tolerance)
        new = _direction(solved, right, system.singular)
        new = where(again, after.direction, new)
        change = jnp.where(jump, -rows, -solved.x[1])
        change = jnp.where(again | going, memory.change, change)
        turned = set_direction(after, new, trial)
        # A step counts when it is known how it ends.
        ends = again | ~going
        steps = state.steps + ends.astype(state.steps.dtype)
        state = where(ends, turned, after)._replace(steps=steps)
        return state._replace(memory=_Memory(ends, change, trial, now, tolerance))


def _tolerance(now: Iterate, trial: Trial) -> Float[Array, ""]:
    """Return how far to reduce the residual of a Newton step.

    Where the minimum has been found, only the size of the next step is asked for.
    """
    size = now.unit * jnp.sqrt(now.first)
    least = jnp.minimum(INNER_TOLERANCE, jnp.sqrt(size))
    return jnp.where(trial.within_tolerance, INNER_TOLERANCE, least)


def _direction(solved: Solved, gradient: Array, singular: Array) -> Direction:
    vector = -solved.x[0]
    squared = -jnp.sum(vector * gradient)
    return Direction(
        vector=vector,
        decrement=jnp.sqrt(jnp.maximum(squared, 0)),
        singular=singular | solved.stuck,
        solved=solved.reached | solved.stuck,
        factor=None,
    )
