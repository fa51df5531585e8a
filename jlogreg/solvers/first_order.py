"""Descent along the gradient, by any optax transformation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jlogreg.base.arrays import at_most
from jlogreg.base.status import Status
from jlogreg.solvers.driver import (
    RUNNING,
    MatrixFreeObjective,
    State,
    first_state,
    where,
)
from jlogreg.solvers.line_search import MIN_STEP_SIZE, rounding

__all__ = ["Optax", "descend", "update_by"]

Point = TypeVar("Point")


def descend(
    value_and_gradient: Callable[[Point], tuple[Array, Point]],
    start: Point,
    optimizer: optax.GradientTransformation,
    steps: int,
) -> tuple[Point, Float[Array, " steps"]]:
    """Return the point after `steps` updates, and the value before each of them.

    Args:
        value_and_gradient: maps a pytree to a scalar and a gradient like the pytree.
        start: the first point.
        optimizer: any optax transformation; those with a line search are given the
            value and the function as well.
        steps: number of updates, at least 0.
    """

    def value_at(point: Point) -> Array:
        return value_and_gradient(point)[0]

    def step(
        carry: tuple[Point, optax.OptState], _: None
    ) -> tuple[tuple[Point, optax.OptState], Array]:
        point, memory = carry
        value, slope = value_and_gradient(point)
        updates, memory = update_by(optimizer, value_at, point, value, slope, memory)
        return (optax.apply_updates(point, updates), memory), value

    carry = (start, optimizer.init(start))
    (end, _), values = jax.lax.scan(step, carry, length=steps)
    return end, values


def update_by(
    optimizer: optax.GradientTransformation,
    value_at: Callable[[Any], Array],
    point: Any,
    value: Array,
    slope: Any,
    memory: optax.OptState,
) -> tuple[Any, optax.OptState]:
    """Return the optimizer's update of a point, and its new memory."""

    def value_fn(other: Any) -> Array:
        # A line search may promote its trial points to its own precision.
        other = jax.tree.map(lambda new, old: new.astype(old.dtype), other, point)
        return value_at(other)

    update = optax.with_extra_args_support(optimizer).update
    extra = {"value": value, "grad": slope, "value_fn": value_fn}
    return update(slope, memory, point, **extra)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Optax:
    """Descent by any optax transformation, as in Optax(optax.lbfgs()).

    A step that would raise the cost is taken back, and the next ones are shorter, so
    that no learning rate diverges. The descent ends where the gradient is below the
    square root of the tolerance, in the metric of a bound of the Hessian; a few steps
    of Newton's method with conjugate gradients then find the minimum, or that there is
    none. Two transformations made separately count as different and compile anew, so
    make one and keep it.

    Examples:
        >>> import jax.numpy as jnp
        >>> import optax
        >>> from jlogreg import Optax, fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> print(f"J = {fit(X, y, solver=Optax(optax.sgd(0.1))).cost:.4f}")
        J = 0.4130
    """

    optimizer: optax.GradientTransformation

    def __post_init__(self) -> None:
        """Raise a TypeError unless the optimizer is a transformation."""
        if not hasattr(self.optimizer, "init"):
            raise TypeError(
                "Optax must hold a transformation such as optax.sgd(0.1), but holds "
                f"{self.optimizer!r}"
            )

    def init(self, objective: MatrixFreeObjective, start: Float[Array, "k 1"]) -> State:
        """Return the state before the first evaluation."""
        evaluation = jax.eval_shape(objective.evaluate, start, start)
        return first_state(evaluation, start, memory=self.optimizer.init(start))

    def step(self, objective: MatrixFreeObjective, state: State) -> State:
        """Return the state after one update, or after it was taken back."""

        def value_at(point: Array) -> Array:
            return objective.evaluate(point, jnp.zeros_like(point)).value

        first, old = state.steps < 0, state.evaluation
        update, memory = update_by(
            *(self.optimizer, value_at, state.point),
            *(old.value, old.gradient, state.memory),
        )
        # Take the update if the cost does not rise; else halve the next ones.
        update = update.astype(state.point.dtype)
        step = jnp.where(first, 0.0, state.step_size * update)
        trial = objective.evaluate(state.point + step, step)
        accept = first | (trial.value <= old.value + rounding(old.value))
        evaluation = where(accept, trial, old)
        longer = at_most(2 * state.step_size, 1.0)
        step_size = jnp.where(accept, longer, state.step_size / 2)

        # Each status overrules those before it.
        slope = evaluation.gradient
        near = jnp.sum(slope * objective.precondition(slope)) <= objective.tol
        status = jnp.where(near, Status.CONVERGED, RUNNING)
        status = jnp.where(step_size < MIN_STEP_SIZE, Status.DIVERGED, status)
        status = jnp.where(evaluation.separated, Status.SEPARATED, status)
        # A point that is not finite is taken back, so only the start can be one.
        finite = jnp.isfinite(evaluation.value)
        status = jnp.where(finite, status, Status.NONFINITE)
        return state._replace(
            point=jnp.where(accept, state.point + step, state.point),
            evaluation=evaluation,
            step_size=step_size,
            steps=state.steps + 1,
            status=status.astype(jnp.int32),
            memory=where(accept & ~first, memory, state.memory),
        )
