"""Accept or shorten a step, and decide whether the solver has converged."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import at_least, at_most
from jlogreg.base.status import Status
from jlogreg.solvers.driver import RUNNING, Direction, Evaluation, State, where

__all__ = [
    "MIN_STEP_SIZE",
    "VALUE_ROUNDINGS",
    "Trial",
    "rounding",
    "set_direction",
    "try_step",
]

# A step is accepted if the value falls by at least this part of the decrease that the
# linear model predicts (Armijo's rule; Nocedal and Wright, Numerical Optimization,
# 3.1).
ARMIJO = 1e-4
# Roundings by which two values of one objective may differ.
VALUE_ROUNDINGS = 64
# A step that was shortened to this part of itself does not lead down.
MIN_STEP_SIZE = 1e-30


class Trial(NamedTuple):
    """The outcome of a trial step, until the next direction is known.

    accept: the trial point was taken. reset_to_zero: the start costs more than w = 0,
    b = 0. within_tolerance: every test but the one on the next direction holds.
    stalled: the predicted decrease is below rounding. previous_decrement is that of
    the direction that was tried.
    """

    accept: Bool[Array, ""]
    reset_to_zero: Bool[Array, ""]
    within_tolerance: Bool[Array, ""]
    stalled: Bool[Array, ""]
    previous_decrement: Float[Array, ""]


def try_step(
    value_at_zero: Array, tol: Array, state: State, trial_point: Evaluation
) -> tuple[State, Trial]:
    """Return the state after a trial step, its direction still the one that was tried.

    The solver has converged when a full step changed no logit by more than the
    tolerance, and the decrement before it was no larger. Newton's method squares the
    error, so the point after that step is accurate to about the square of the
    tolerance. Where the minimum is at infinity the logits go on moving, however small
    value and gradient have become.
    """
    value, decrement = state.evaluation.value, state.direction.decrement
    first, full = state.steps < 0, state.step_size == 1

    # Accept the trial point, or shorten the step.
    predicted = state.step_size * state.predicted_decrease
    accept = first | _is_sufficient(trial_point, value, predicted)
    evaluation = where(accept, trial_point, state.evaluation)
    shorter = state.step_size * _shortening(trial_point.value - value, predicted)
    step_size = jnp.where(accept, 1.0, shorter)

    # Test for convergence, and for the end of what the precision can tell.
    full = accept & full & ~first
    small = full & (evaluation.n_moved == 0) & (decrement <= tol)
    lost = state.predicted_decrease <= rounding(value)
    stalled = full & lost & ~(evaluation.value < value)
    costly = first & ~(trial_point.value <= value_at_zero + rounding(value_at_zero))
    trial = Trial(
        accept=accept,
        reset_to_zero=costly,
        within_tolerance=small & state.direction.solved,
        stalled=stalled,
        previous_decrement=decrement,
    )
    step = state.step_size * state.direction.vector
    state = state._replace(
        point=jnp.where(accept, state.point + step, state.point),
        evaluation=evaluation,
        step_size=step_size.astype(state.point.dtype),
        steps=state.steps + 1,
    )
    return state, trial


def set_direction(state: State, direction: Direction, trial: Trial) -> State:
    """Return the state with a new direction, and with the status that it leads to."""
    status = _status(state, direction, trial)
    decrease = direction.decrement**2
    # The step back to zero: no decrease is predicted but that the value falls.
    infinite = jnp.full_like(decrease, jnp.inf)
    to_zero = direction._replace(vector=-state.point, decrement=infinite)
    return state._replace(
        direction=where(trial.reset_to_zero, to_zero, direction),
        predicted_decrease=jnp.where(trial.reset_to_zero, 0.0, decrease),
        status=jnp.where(trial.reset_to_zero, state.status, status),
    )


def rounding(value: Array) -> Array:
    """Return the rounding error by which two values that should be equal may differ."""
    return VALUE_ROUNDINGS * float(np.finfo(value.dtype).eps) * jnp.abs(value)


def _is_sufficient(
    trial_point: Evaluation, value: Array, predicted: Array
) -> Bool[Array, ""]:
    """Return whether a trial point is lower by enough.

    Near the minimum the decrease is lost in the roundings of the value, so there the
    slope decides: it must have lost half of its size, to a rounding (Hager and Zhang,
    SIAM J. Optim. 16, 2005, section 4, the approximate Wolfe conditions).
    """
    eps = float(np.finfo(value.dtype).eps)
    near = predicted <= eps**0.5 * jnp.abs(value)
    flatter = trial_point.slope <= 0.5 * predicted + eps * jnp.abs(value)
    return (trial_point.value <= value - ARMIJO * predicted) | (near & flatter)


def _shortening(rise: Array, predicted: Array) -> Float[Array, ""]:
    """Return the factor that shortens a step to the minimum of the parabola.

    Nocedal and Wright, equation (3.58), kept in [0.1, 0.5].
    """
    part = predicted / (2 * (rise + predicted))
    return at_most(at_least(jnp.where(jnp.isfinite(part), part, 0.1), 0.1), 0.5)


def _status(state: State, direction: Direction, trial: Trial) -> Array:
    """Return the status of a solver with a new direction; each line overrules the last.

    A solver that has stalled goes on while its decrement halves.
    """
    evaluation = state.evaluation
    stalled = trial.stalled & ~(direction.decrement < 0.5 * trial.previous_decrement)
    finite = jnp.isfinite(evaluation.value) & jnp.isfinite(direction.decrement)

    status = jnp.where(state.step_size < MIN_STEP_SIZE, Status.DIVERGED, RUNNING)
    flat = jnp.where(evaluation.n_large_moves > 0, Status.DIVERGED, Status.SINGULAR)
    status = jnp.where(stalled, flat, status)
    ended = jnp.where(direction.singular, Status.SINGULAR, Status.CONVERGED)
    status = jnp.where(trial.within_tolerance, ended, status)
    status = jnp.where(evaluation.separated, Status.SEPARATED, status)
    return jnp.where(finite, status, Status.NONFINITE).astype(jnp.int32)
