"""Drive a solver: the one loop, and what solvers and objectives promise each other.

A solver knows a value, a gradient and a curvature, and nothing of the model. It has two
functions: `init` makes a state, `step` makes the next one of it with one look at the
objective. `minimise` repeats the step until the state's status is no longer MAX_STEPS
or the steps run out. Under vmap a finished problem stands still while others go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jlogreg.status import Status

__all__ = [
    "Direction",
    "Evaluation",
    "Objective",
    "Solver",
    "State",
    "first_state",
    "loop",
    "minimise",
    "where",
]

Carry = TypeVar("Carry")


class Evaluation(NamedTuple):
    """Hold what an objective says of a point, and of the step that led there.

    value, gradient and curvature are those of the objective; slope is the derivative of
    the value along the step; moved counts what the step
    moved by more than the tolerance, swung what it moved by more than a half; unbounded
    says that the point proves that there is no finite minimum.
    """

    value: Float[Array, ""]
    gradient: Float[Array, "k 1"]
    curvature: Any
    slope: Float[Array, ""]
    moved: Float[Array, ""]
    swung: Float[Array, ""]
    unbounded: Bool[Array, ""]


class Direction(NamedTuple):
    """Hold a Newton direction d = -H^-1 g, its decrement sqrt(gT H^-1 g), the factor.

    singular says that the curvature has no inverse to the precision at hand; solved,
    that the system was solved and not given up.
    """

    vector: Float[Array, "k 1"]
    decrement: Float[Array, ""]
    singular: Bool[Array, ""]
    solved: Bool[Array, ""]
    factor: Any


class Objective(NamedTuple):
    """Hold a convex function to minimise, in coordinates (k, 1)."""

    evaluate: Callable[[Array, Array], Evaluation]  # a point and the step to it
    direction: Callable[[Evaluation], Direction]
    at_zero: Array  # the value at the point 0, which any start may fall back to
    tol: Array
    size: Callable[[Array], Array] | None = None  # of a gradient, in the value's units


class State(NamedTuple):
    """Hold where a solver is: the point, what is known of it, the next step.

    fall is what the linear model promises of a full step; memory is the solver's own.
    """

    point: Float[Array, "k 1"]
    evaluation: Evaluation
    direction: Direction
    size: Float[Array, ""]
    fall: Float[Array, ""]
    steps: Int[Array, ""]
    status: Int[Array, ""]
    memory: Any = None


class Solver(Protocol):
    """Find the minimum of an objective, step by step."""

    def init(self, objective: Objective, start: Array) -> State:
        """Return the state before the first look at the objective."""

    def step(self, objective: Objective, state: State) -> State:
        """Return the next state, with one look at the objective."""


def minimise(
    solver: Solver,
    objective: Objective,
    start: Array,
    max_steps: Array | int,
    status: Array,
) -> State:
    """Return the state where the solver ended.

    Args:
        solver: what takes the steps.
        objective: what is minimised.
        start: the first point (k, 1).
        max_steps: how many steps at most, after the look at the start.
        status: MAX_STEPS; anything else says that there is nothing to do.
    """

    def going(state: State) -> Array:
        return (state.status == Status.MAX_STEPS) & (state.steps < max_steps)

    state = solver.init(objective, start)._replace(status=status)
    return loop(going, lambda state: solver.step(objective, state), state)


def loop(
    going: Callable[[Carry], Array], step: Callable[[Carry], Carry], start: Carry
) -> Carry:
    """Return what repeated steps make of start while `going` says so."""
    return lax.while_loop(going, step, start)


def first_state(objective: Objective, start: Array, memory: Any = None) -> State:
    """Return a state that knows nothing but where to look first.

    It has taken -1 steps: the look at the start is not one.
    """
    evaluation = jax.eval_shape(objective.evaluate, start, start)
    direction = jax.eval_shape(objective.direction, evaluation)

    def zeros(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), tree)

    infinite = jnp.full((), jnp.inf, start.dtype)
    return State(
        point=start,
        evaluation=zeros(evaluation)._replace(value=infinite),
        direction=zeros(direction)._replace(decrement=infinite),
        size=jnp.ones((), start.dtype),
        fall=jnp.zeros((), start.dtype),
        steps=jnp.full((), -1, jnp.int32),
        status=jnp.full((), Status.MAX_STEPS, jnp.int32),
        memory=memory,
    )


def where(condition: Array, then: Carry, other: Carry) -> Carry:
    """Return one tree or the other."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), then, other)
