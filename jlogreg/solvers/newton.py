"""Take Newton steps, as long as they lower the value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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

__all__ = ["SMALLEST", "Newton", "Trial", "directed", "rounding", "tried"]

# A step keeps at least this part of the fall that the linear model promises (Armijo's
# rule; Nocedal and Wright, Numerical Optimization, 3.1).
ARMIJO = 1e-4
# Roundings by which two values of one objective may differ.
SLACK = 64
# A step that was cut down to this part finds no way down.
SMALLEST = 1e-30


@jax.tree_util.register_static
@dataclass(frozen=True)
class Newton:
    """Minimise by Newton's method, with the Cholesky factor of the Hessian.

    A step is one pass over the data for cost, gradient and Hessian at a trial point,
    and a factorisation of (n + 1, n + 1); where there are more features than samples,
    of (m, m). A trial that does not lower the cost is taken back, and the step cut.
    Equation (18) of docs/derivation.md; Boyd and Vandenberghe, Convex Optimization,
    9.5.

    Args:
        lean: whether to keep no factor for derivatives of the fit, which takes memory
            where there are many problems; `fit_many` sets it.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import Newton, fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> print(f"J = {fit(X, y, solver=Newton()).cost:.4f}")
        J = 0.4130
    """

    lean: bool = False

    def init(self, objective: Objective, start: Float[Array, "k 1"]) -> State:
        """Return the state before the first look at the objective."""
        state = first_state(objective, start)
        return state._replace(
            evaluation=_kept(state.evaluation), direction=self._kept(state.direction)
        )

    def step(self, objective: Objective, state: State) -> State:
        """Return the state after a trial of the whole step, or of what was left."""
        assert objective.direction is not None
        step = state.size * state.direction.vector
        found = objective.evaluate(state.point + step, step)
        direction = self._kept(objective.direction(found))
        after, trial = tried(objective, state, _kept(found))
        direction = where(trial.accept, direction, state.direction)
        return directed(after, direction, trial)

    def _kept(self, direction: Direction) -> Direction:
        return direction._replace(factor=None) if self.lean else direction


def _kept(evaluation: Evaluation) -> Evaluation:
    """Return what is kept of an evaluation: not a Hessian, of which there is a factor.

    To carry it along would take as long as to compute it.
    """
    matrix = evaluation.curvature.shape[1] > 1
    return evaluation._replace(curvature=None) if matrix else evaluation


class Trial(NamedTuple):
    """Hold what came of a trial, until a direction from there is known.

    accept says that the point was taken; jump, that it costs more than zero does;
    small, that all but the new direction says that this is the minimum; level, that
    only roundings are left; before is the decrement before the trial.
    """

    accept: Bool[Array, ""]
    jump: Bool[Array, ""]
    small: Bool[Array, ""]
    level: Bool[Array, ""]
    before: Float[Array, ""]


def tried(objective: Objective, state: State, found: Evaluation) -> tuple[State, Trial]:
    """Return the state after a trial, its direction still the one that led there.

    It has converged when a full step moved no logit by more than the tolerance, and the
    decrement before it was no larger. Newton's method squares the error, so the point
    after that step is right to about the square of the tolerance. Where the minimum is
    at infinity the logits go on moving, however small value and gradient have become.
    """
    first = state.steps < 0
    value, promised = state.evaluation.value, state.size * state.fall
    accept = first | _falls(found, value, promised)
    evaluation = where(accept, found, state.evaluation)
    size = jnp.where(accept, 1.0, state.size * _cut(found.value - value, promised))

    before, full = state.direction.decrement, accept & (state.size == 1) & ~first
    small = full & (evaluation.moved == 0) & (before <= objective.tol)
    level = full & (state.fall <= rounding(value)) & ~(evaluation.value < value)
    # A start that costs more than zero does is worth no step.
    zero = objective.at_zero
    jump = first & ~(found.value <= zero + rounding(zero))
    trial = Trial(accept, jump, small & state.direction.solved, level, before)
    step = state.size * state.direction.vector
    state = state._replace(
        point=jnp.where(accept, state.point + step, state.point),
        evaluation=evaluation,
        size=size.astype(state.point.dtype),
        steps=state.steps + 1,
    )
    return state, trial


def directed(state: State, direction: Direction, trial: Trial) -> State:
    """Return the state with a new direction, and with how it ends, if it does."""
    status = _status(state, direction, trial)
    fall = direction.decrement**2
    # Jump to zero. Nothing is promised there but that the value falls.
    infinite = jnp.full_like(fall, jnp.inf)
    flight = direction._replace(vector=-state.point, decrement=infinite)
    return state._replace(
        direction=where(trial.jump, flight, direction),
        fall=jnp.where(trial.jump, 0.0, fall),
        status=jnp.where(trial.jump, state.status, status),
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


def _status(state: State, direction: Direction, trial: Trial) -> Array:
    """Return how it ends here, or MAX_STEPS where it goes on."""
    evaluation = state.evaluation
    # Only roundings are left: the value does not fall, and the next step is as large.
    level = trial.level & ~(direction.decrement < 0.5 * trial.before)
    finite = jnp.isfinite(evaluation.value) & jnp.isfinite(direction.decrement)

    status = jnp.where(state.size < SMALLEST, Status.DIVERGED, Status.MAX_STEPS)
    flat = jnp.where(evaluation.swung > 0, Status.DIVERGED, Status.SINGULAR)
    status = jnp.where(level, flat, status)
    found = jnp.where(direction.singular, Status.SINGULAR, Status.CONVERGED)
    status = jnp.where(trial.small, found, status)
    status = jnp.where(evaluation.unbounded, Status.SEPARATED, status)
    return jnp.where(finite, status, Status.NONFINITE).astype(jnp.int32)
