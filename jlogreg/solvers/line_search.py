"""Accept or shorten a step, and decide whether it has converged."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.base.status import Status
from jlogreg.solvers.driver import Direction, Evaluation, Objective, State, where

__all__ = ["MIN_STEP_SIZE", "Trial", "rounding", "set_direction", "try_step"]

# A step keeps at least this part of the fall that the linear model promises (Armijo's
# rule; Nocedal and Wright, Numerical Optimization, 3.1).
ARMIJO = 1e-4


# Roundings by which two values of one objective may differ.
SLACK = 64


# A step that was cut down to this part finds no way down.
MIN_STEP_SIZE = 1e-30


class Trial(NamedTuple):
    """Hold what came of a trial, until a direction from there is known.

    accept says that the point was taken; jump, that it costs more than zero does;
    small, that all but the new direction says that this is the minimum; level, that
    only roundings are left; before is the decrement before the trial.
    """

    accept: Bool[Array, ""]
    reset_to_zero: Bool[Array, ""]
    within_tolerance: Bool[Array, ""]
    stalled: Bool[Array, ""]
    previous_decrement: Float[Array, ""]


def try_step(
    objective: Objective, state: State, found: Evaluation
) -> tuple[State, Trial]:
    """Return the state after a trial, its direction still the one that led there.

    It has converged when a full step moved no logit by more than the tolerance, and the
    decrement before it was no larger. Newton's method squares the error, so the point
    after that step is right to about the square of the tolerance. Where the minimum is
    at infinity the logits go on moving, however small value and gradient have become.
    """
    first = state.steps < 0
    value, promised = state.evaluation.value, state.step_size * state.predicted_decrease
    accept = first | _is_sufficient(found, value, promised)
    evaluation = where(accept, found, state.evaluation)
    step_size = jnp.where(
        accept, 1.0, state.step_size * _cut(found.value - value, promised)
    )

    before, full = state.direction.decrement, accept & (state.step_size == 1) & ~first
    small = full & (evaluation.n_moved == 0) & (before <= objective.tol)
    level = (
        full
        & (state.predicted_decrease <= rounding(value))
        & ~(evaluation.value < value)
    )
    # A start that costs more than zero does is worth no step.
    zero = objective.value_at_zero
    jump = first & ~(found.value <= zero + rounding(zero))
    trial = Trial(accept, jump, small & state.direction.solved, level, before)
    step = state.step_size * state.direction.vector
    state = state._replace(
        point=jnp.where(accept, state.point + step, state.point),
        evaluation=evaluation,
        step_size=step_size.astype(state.point.dtype),
        steps=state.steps + 1,
    )
    return state, trial


def set_direction(state: State, direction: Direction, trial: Trial) -> State:
    """Return the state with a new direction, and with how it ends, if it does."""
    status = _status(state, direction, trial)
    fall = direction.decrement**2
    # Jump to zero. Nothing is promised there but that the value falls.
    infinite = jnp.full_like(fall, jnp.inf)
    flight = direction._replace(vector=-state.point, decrement=infinite)
    return state._replace(
        direction=where(trial.reset_to_zero, flight, direction),
        predicted_decrease=jnp.where(trial.reset_to_zero, 0.0, fall),
        status=jnp.where(trial.reset_to_zero, state.status, status),
    )


def _is_sufficient(found: Evaluation, value: Array, promised: Array) -> Bool[Array, ""]:
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


def _status(state: State, direction: Direction, trial: Trial) -> Array:
    """Return how it ends here, or MAX_STEPS where it goes on."""
    evaluation = state.evaluation
    # Only roundings are left: the value does not fall, and the next step is as large.
    level = trial.stalled & ~(direction.decrement < 0.5 * trial.previous_decrement)
    finite = jnp.isfinite(evaluation.value) & jnp.isfinite(direction.decrement)

    status = jnp.where(
        state.step_size < MIN_STEP_SIZE, Status.DIVERGED, Status.MAX_STEPS
    )
    flat = jnp.where(evaluation.n_large_moves > 0, Status.DIVERGED, Status.SINGULAR)
    status = jnp.where(level, flat, status)
    found = jnp.where(direction.singular, Status.SINGULAR, Status.CONVERGED)
    status = jnp.where(trial.within_tolerance, found, status)
    status = jnp.where(evaluation.separated, Status.SEPARATED, status)
    return jnp.where(finite, status, Status.NONFINITE).astype(jnp.int32)
