"""Descend along the gradient, by any optax transformation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jlogreg.base.status import Status
from jlogreg.solvers.driver import Objective, State, first_state, where
from jlogreg.solvers.line_search import MIN_STEP_SIZE, rounding

__all__ = ["Optax", "descend"]

Point = TypeVar("Point")


def descend(
    value_and_gradient: Callable[[Point], tuple[Array, Point]],
    start: Point,
    optimizer: optax.GradientTransformation,
    steps: int,
) -> tuple[Point, Float[Array, " steps"]]:
    """Return where `steps` updates lead, and the value before each of them.

    Args:
        value_and_gradient: maps a pytree to a scalar and a gradient like the pytree.
        start: the first point.
        optimizer: any optax transformation; those with a line search are given the
            value and the function as well.
        steps: how many updates, at least 0.
    """
    update = optax.with_extra_args_support(optimizer).update

    def step(
        carry: tuple[Point, optax.OptState], _: None
    ) -> tuple[tuple[Point, optax.OptState], Array]:
        point, state = carry
        value, slope = value_and_gradient(point)

        def value_fn(other: Point) -> Array:
            # A line search may promote its trial points to its own precision.
            other = jax.tree.map(lambda new, old: new.astype(old.dtype), other, point)
            return value_and_gradient(other)[0]

        extra = {"value": value, "grad": slope, "value_fn": value_fn}
        updates, state = update(slope, state, point, **extra)
        return (optax.apply_updates(point, updates), state), value

    carry = (start, optimizer.init(start))
    (end, _), values = jax.lax.scan(step, carry, length=steps)
    return end, values


@jax.tree_util.register_static
@dataclass(frozen=True)
class Optax:
    """Minimise by any optax transformation, as in Optax(optax.lbfgs()).

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
        """Refuse what is no transformation."""
        if not hasattr(self.optimizer, "init"):
            raise TypeError(
                "Optax must hold a transformation such as optax.sgd(0.1), but holds "
                f"{self.optimizer!r}"
            )

    def init(self, objective: Objective, start: Float[Array, "k 1"]) -> State:
        """Return the state before the first look at the objective."""
        return first_state(objective, start, self.optimizer.init(start))

    def step(self, objective: Objective, state: State) -> State:
        """Return the state after one update, or after it was taken back."""
        first, old = state.steps < 0, state.evaluation
        update, memory = self._update(objective, state)
        step = jnp.where(first, 0.0, state.step_size * update)
        found = objective.evaluate(state.point + step, step)
        accept = first | (found.value <= old.value + rounding(old.value))
        evaluation = where(accept, found, old)
        step_size = jnp.where(
            accept, jnp.minimum(2 * state.step_size, 1.0), state.step_size / 2
        )
        assert objective.system is not None
        slope = evaluation.gradient
        squared = jnp.sum(slope * objective.system.precondition(slope))
        near = squared <= objective.tol

        status = jnp.where(near, Status.CONVERGED, Status.MAX_STEPS)
        status = jnp.where(step_size < MIN_STEP_SIZE, Status.DIVERGED, status)
        status = jnp.where(evaluation.separated, Status.SEPARATED, status)
        # What is not finite is taken back, so only a start can be it.
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

    def _update(
        self, objective: Objective, state: State
    ) -> tuple[Array, optax.OptState]:
        def value_fn(other: Array) -> Array:
            # A line search may promote its trial points to its own precision.
            other = other.astype(state.point.dtype)
            return objective.evaluate(other, jnp.zeros_like(other)).value

        slope = state.evaluation.gradient
        extra = {
            "value": state.evaluation.value,
            "grad": slope,
            "value_fn": value_fn,
        }
        update = optax.with_extra_args_support(self.optimizer).update
        updates, memory = update(slope, state.memory, state.point, **extra)
        return updates.astype(state.point.dtype), memory
