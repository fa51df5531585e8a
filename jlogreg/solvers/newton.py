"""Take Newton steps, as long as they lower the value."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.solvers.driver import (
    Direction,
    Evaluation,
    Objective,
    State,
    first_state,
    where,
)
from jlogreg.status import Status

__all__ = ["Newton", "newton_step", "rounding"]

# A step keeps at least this part of the fall that the linear model promises (Armijo's
# rule; Nocedal and Wright, Numerical Optimization, 3.1).
ARMIJO = 1e-4
# Roundings by which two values of one objective may differ.
SLACK = 64
# A step that was cut down to this part finds no way down.
SMALLEST = 1e-12


@jax.tree_util.register_static
@dataclass(frozen=True)
class Newton:
    """Minimise by Newton's method, with the Cholesky factor of the Hessian.

    A step is one pass over the data for cost, gradient and Hessian at a trial point,
    and a factorisation of (n + 1, n + 1); where there are more features than samples,
    of (m, m). A trial that does not lower the cost is taken back, and the step cut.
    Equation (18) of docs/derivation.md; Boyd and Vandenberghe, Convex Optimization,
    9.5.
    """

    def init(self, objective: Objective, start: Float[Array, "k 1"]) -> State:
        """Return the state before the first look at the objective."""
        return first_state(objective, start)

    def step(self, objective: Objective, state: State) -> State:
        """Return the state after one trial."""
        return newton_step(objective, state)


def newton_step(objective: Objective, state: State) -> State:
    """Return the state after a trial of the whole step, or of what was left of it."""
    step = state.size * state.direction.vector
    trial = state.point + step
    found = objective.evaluate(trial, step)
    first = state.steps < 0
    value, promised = state.evaluation.value, state.size * state.fall
    accept = first | _falls(found, value, promised)

    point = where(accept, trial, state.point)
    evaluation = where(accept, found, state.evaluation)
    direction = objective.direction(evaluation)
    fall = direction.decrement**2
    size = jnp.where(accept, 1.0, state.size * _cut(found.value - value, promised))
    status = _status(objective, state, evaluation, direction, accept, size)

    # A start that costs more than zero does is worth no step: jump to zero. Nothing
    # is promised there but that the value falls.
    zero = objective.at_zero
    jump = first & ~(found.value <= zero + rounding(zero))
    flight = direction._replace(vector=-point, decrement=jnp.full_like(fall, jnp.inf))
    return State(
        point=point,
        evaluation=evaluation,
        direction=where(jump, flight, direction),
        size=size.astype(point.dtype),
        fall=jnp.where(jump, 0.0, fall),
        steps=state.steps + 1,
        status=jnp.where(jump, state.status, status),
        memory=state.memory,
    )


def _falls(found: Evaluation, value: Array, promised: Array) -> Bool[Array, ""]:
    """Return whether a trial is lower by enough.

    Near the minimum the fall is lost in the roundings of the value, so there the slope
    decides: it must have lost half of its size, to a rounding (Hager and Zhang,
    SIAM J. Optim. 16, 2005, section 4, the approximate Wolfe conditions).
    """
    eps = float(np.finfo(value.dtype).eps)
    near = promised <= eps**0.5 * jnp.abs(value)
    flatter = found.slope <= 0.5 * promised + eps * jnp.abs(value)
    return (found.value <= value - ARMIJO * promised) | (near & flatter)


def rounding(value: Array) -> Array:
    """Return by how much roundings may part two values that should be equal."""
    return SLACK * float(np.finfo(value.dtype).eps) * jnp.abs(value)


def _cut(rise: Array, promised: Array) -> Float[Array, ""]:
    """Return by how much to shorten a step: to the minimum of the parabola."""
    part = promised / (2 * (rise + promised))
    return jnp.clip(jnp.where(jnp.isfinite(part), part, 0.1), 0.1, 0.5)


def _status(
    objective: Objective,
    state: State,
    evaluation: Evaluation,
    direction: Direction,
    accept: Bool[Array, ""],
    size: Array,
) -> Array:
    """Return how it ends here, or MAX_STEPS where it goes on.

    It has converged when a full step moved no logit by more than the tolerance, and the
    decrement before it was no larger. Newton's method squares the error, so the point
    after that step is right to about the square of the tolerance. Where the minimum is
    at infinity the logits go on moving, however small value and gradient have become.
    """
    before = state.direction.decrement
    full = accept & (state.size == 1) & (state.steps >= 0)
    small = full & (evaluation.moved == 0) & (before <= objective.tol)
    small &= state.direction.solved
    # Only roundings are left: the value does not fall, and the next step is as large.
    promised = state.fall <= rounding(state.evaluation.value)
    same = ~(direction.decrement < 0.5 * before)
    level = full & promised & same & ~(evaluation.value < state.evaluation.value)
    finite = jnp.isfinite(evaluation.value) & jnp.isfinite(direction.decrement)

    status = jnp.where(size < SMALLEST, Status.DIVERGED, Status.MAX_STEPS)
    flat = jnp.where(evaluation.swung > 0, Status.DIVERGED, Status.SINGULAR)
    status = jnp.where(level, flat, status)
    found = jnp.where(direction.singular, Status.SINGULAR, Status.CONVERGED)
    status = jnp.where(small, found, status)
    status = jnp.where(evaluation.unbounded, Status.SEPARATED, status)
    return jnp.where(finite, status, Status.NONFINITE).astype(jnp.int32)
