"""The proximal Newton method, for a smooth function plus a separable penalty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import at_least
from jlogreg.solvers.cholesky import factorize_reversed
from jlogreg.solvers.driver import (
    Direction,
    Evaluation,
    State,
    first_state,
    once,
    where,
)
from jlogreg.solvers.line_search import set_direction, try_step
from jlogreg.solvers.proximal.quadratic_model import (
    SeparablePenalty,
    face_of,
    minimize_model,
)

__all__ = ["CompositeObjective", "ProximalNewton"]

# The gradient is known to this many times what the tolerance of the logits makes of it.
SLACK = 4


class CompositeObjective(NamedTuple):
    """A smooth convex function of (k, 1) plus a separable penalty.

    evaluate is that of the smooth part, with its curvature formed. gap is given a point
    and the evaluation there; it bounds how far the sum is above its minimum, and says
    which gap is none to the tolerance. value_at_zero is the sum at the point 0.
    """

    evaluate: Callable[[Array, Array], Evaluation]
    penalty: SeparablePenalty
    gap: Callable[[Array, Evaluation], tuple[Array, Array]]
    value_at_zero: Array
    tol: Array


@jax.tree_util.register_static
@dataclass(frozen=True)
class ProximalNewton:
    """Newton's method for a cost with an L1 penalty.

    A step is one pass over the data for cost, gradient and Hessian at a trial point;
    the next direction leads to the minimum of the quadratic model with the penalty,
    found by coordinate descent and Newton steps on the weights that are not 0. A trial
    that does not lower the cost is shortened. It ends when a whole step is below the
    tolerance and the duality gap is none. Equations (47) to (52) of docs/derivation.md;
    Lee, Sun and Saunders, SIAM J. Optim. 24, 2014, doi 10.1137/130921428.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import ProximalNewton, fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> print(f"J = {fit(X, y, l1=0.1, solver=ProximalNewton()).cost:.4f}")
        J = 0.5141
    """

    def init(self, objective: CompositeObjective, start: Float[Array, "k 1"]) -> State:
        """Return the state before the first evaluation."""
        evaluation = jax.eval_shape(objective.evaluate, start, start)
        memory = jnp.full((), jnp.inf, start.dtype)
        return first_state(evaluation._replace(curvature=None), start, memory=memory)

    def step(self, objective: CompositeObjective, state: State) -> State:
        """Return the state after a trial of the whole step, or of a shorter one."""
        gap, state = state.memory, state._replace(memory=None)
        step = state.step_size * state.direction.vector
        point, penalty = state.point + step, objective.penalty
        smooth = objective.evaluate(point, step)
        whole = smooth._replace(
            value=smooth.value + penalty.value(point),
            slope=smooth.slope + penalty.slope_before(point, step),
            curvature=None,
        )
        after, trial = try_step(objective.value_at_zero, objective.tol, state, whole)
        here, most = objective.gap(point, smooth)
        trial = trial._replace(within_tolerance=trial.within_tolerance & (here <= most))
        direction = _direction(objective, point, smooth, trial.within_tolerance)
        direction = where(trial.accept, direction, state.direction)
        after = set_direction(after, direction, trial)
        return after._replace(memory=jnp.where(trial.accept, here, gap))


def _direction(
    objective: CompositeObjective, point: Array, smooth: Evaluation, inspected: Array
) -> Direction:
    """Return the step to the minimum of the model; equation (50).

    Its decrement is the root of the decrease that the linear model predicts. Where it
    is inspected, it is singular if the unknowns that the gradient allows to be
    elsewhere are not determined; equation (52).
    """
    penalty, H, gradient = objective.penalty, smooth.curvature, smooth.gradient
    target, solved = minimize_model(H, gradient, point, penalty)
    vector = target - point
    decrease = -(jnp.sum(gradient * vector) + penalty.change(point, target))

    def inspect() -> tuple[Bool[Array, ""], Array]:
        slack = SLACK * objective.tol * jnp.sqrt(jnp.diagonal(H)[:, None])
        face = penalty.may_move(gradient, slack) | (point != 0)
        factor = factorize_reversed(face_of(H, face), inspected)
        return factor.singular, factor.inflation

    unknown = jnp.zeros((), bool), jnp.zeros_like(decrease)
    singular, inflation = once(inspected, inspect, unknown)
    return Direction(
        vector=vector,
        decrement=jnp.sqrt(at_least(decrease, 0)),
        singular=singular,
        solved=solved,
        inflation=inflation,
        factor=None,
    )
