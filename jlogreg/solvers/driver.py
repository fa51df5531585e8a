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

from jlogreg.base.status import Status

__all__ = [
    "Direction",
    "Evaluation",
    "Objective",
    "Solver",
    "State",
    "System",
    "first_state",
    "loop",
    "minimize",
    "run_solver",
    "unfinished",
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
    n_moved: Float[Array, ""]
    n_large_moves: Float[Array, ""]
    separated: Bool[Array, ""]


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


class System(NamedTuple):
    """Hold what solves with a curvature that is multiplied with, and never formed.

    look is given a vector, by how much a step to it changes the logits, the curvature,
    and whether the vector is a trial: then it evaluates there, but for the slope; else
    the gradient it returns is the curvature times the vector. Both are one pass over
    the samples. It returns the vector's own logits as well. singular says that the
    curvature has no inverse.
    """

    look: Callable[[Array, Array, Array, Array], tuple[Evaluation, Array]]
    precondition: Callable[[Array], Array]
    rows: Float[Array, "1 m"]  # zeros
    singular: Bool[Array, ""]


class Objective(NamedTuple):
    """Hold a convex function to minimise, in coordinates (k, 1).

    Its curvature is formed, and then there is a direction, or it is multiplied with,
    and then there is a system.
    """

    evaluate: Callable[[Array, Array], Evaluation]  # a point and the step to it
    value_at_zero: Array  # the value at the point 0, which any start may fall back to
    tol: Array
    direction: Callable[[Evaluation], Direction] | None = None
    system: System | None = None


class State(NamedTuple):
    """Hold where a solver is: the point, what is known of it, the next step.

    fall is what the linear model promises of a full step; memory is the solver's own.
    """

    point: Float[Array, "k 1"]
    evaluation: Evaluation
    direction: Direction
    step_size: Float[Array, ""]
    predicted_decrease: Float[Array, ""]
    steps: Int[Array, ""]
    status: Int[Array, ""]
    memory: Any = None


class Solver(Protocol):
    """Find the minimum of an objective, step by step."""

    def init(self, objective: Objective, start: Array) -> State:
        """Return the state before the first look at the objective."""

    def step(self, objective: Objective, state: State) -> State:
        """Return the next state, with one look at the objective."""


def minimize(
    solver: Solver, objective: Objective, start: Array, max_steps: Array | int
) -> State:
    """Return the state where the solver ended.

    Args:
        solver: what takes the steps.
        objective: what is minimised.
        start: the first point (k, 1).
        max_steps: how many steps at most, after the look at the start.
    """
    return run_solver(solver, objective, solver.init(objective, start), max_steps)


def run_solver(
    solver: Solver,
    objective: Objective,
    state: State,
    max_steps: Array | int,
    passes: int | None = None,
) -> State:
    """Return the state where the solver ended, or is after so many passes.

    A state whose status is not MAX_STEPS has nothing to do.
    """

    def going(now: tuple[State, Array]) -> Array:
        state, count = now
        left = True if passes is None else count < passes
        return unfinished(state, max_steps) & left

    def step(now: tuple[State, Array]) -> tuple[State, Array]:
        return solver.step(objective, now[0]), now[1] + 1

    return loop(going, step, (state, jnp.zeros((), jnp.int32)))[0]


def unfinished(state: State, max_steps: Array | int) -> Bool[Array, ""]:
    """Return whether there is something left to do."""
    return (state.status == Status.MAX_STEPS) & (state.steps < max_steps)


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
    factor = None
    if objective.direction is not None:
        factor = jax.eval_shape(objective.direction, evaluation).factor

    def zeros(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), tree)

    infinite = jnp.full((), jnp.inf, start.dtype)
    return State(
        point=start,
        evaluation=zeros(evaluation)._replace(value=infinite),
        direction=Direction(
            vector=jnp.zeros_like(start),
            decrement=infinite,
            singular=jnp.zeros((), bool),
            solved=jnp.zeros((), bool),
            factor=zeros(factor),
        ),
        step_size=jnp.ones((), start.dtype),
        predicted_decrease=jnp.zeros((), start.dtype),
        steps=jnp.full((), -1, jnp.int32),
        status=jnp.full((), Status.MAX_STEPS, jnp.int32),
        memory=memory,
    )


def where(condition: Array, then: Carry, other: Carry) -> Carry:
    """Return one tree or the other."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), then, other)
