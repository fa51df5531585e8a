"""The protocols of solvers and objectives, and the only loop.

A solver is given a value, a gradient and a curvature, and knows nothing of the model.
`init` makes a state, and `step` makes the next one by one evaluation of the objective.
`minimize` repeats the step until the state's status is no longer RUNNING or the steps
run out. Under vmap a finished problem stays as it is while others go on.
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
    "RUNNING",
    "DenseObjective",
    "Direction",
    "Evaluation",
    "MatrixFreeObjective",
    "Solver",
    "State",
    "first_state",
    "loop",
    "minimize",
    "once",
    "run_solver",
    "unfinished",
    "where",
]

Carry = TypeVar("Carry")

# The status of a solver that goes on. If its steps run out, this is how it ends.
RUNNING = Status.MAX_STEPS


class Evaluation(NamedTuple):
    """An objective at a point, and along the step that led there.

    value, gradient and curvature are those of the objective; slope is the derivative of
    the value along the step; n_moved counts the logits that the step changed by more
    than the tolerance, n_large_moves those changed by more than a half; separated says
    that the point proves that there is no finite minimum; rounding bounds the decrement
    sqrt(eT H^-1 e) of the rounding errors e of the gradient.
    """

    value: Float[Array, ""]
    gradient: Float[Array, "k 1"]
    curvature: Any
    slope: Float[Array, ""]
    n_moved: Float[Array, ""]
    n_large_moves: Float[Array, ""]
    separated: Bool[Array, ""]
    rounding: Float[Array, ""]


class Direction(NamedTuple):
    """A Newton direction d = -H^-1 g, its decrement sqrt(gT H^-1 g), and the factor.

    singular says that the curvature has no inverse to the precision at hand; solved,
    that the linear system was solved to its tolerance; inflation is the largest
    variance inflation factor, one over what is left of an unknown's own curvature once
    the others are projected out (0 where the curvature was not inspected).
    """

    vector: Float[Array, "k 1"]
    decrement: Float[Array, ""]
    singular: Bool[Array, ""]
    solved: Bool[Array, ""]
    inflation: Float[Array, ""]
    factor: Any


class DenseObjective(NamedTuple):
    """A convex function of (k, 1) whose curvature is formed.

    evaluate is given a point and the step to it; newton_direction solves with the
    curvature of an evaluation, and where it is told to, inspects that more closely for
    flat directions. Any start may fall back to the point 0, whose value is
    value_at_zero.
    """

    evaluate: Callable[[Array, Array], Evaluation]
    newton_direction: Callable[[Evaluation, Array], Direction]
    value_at_zero: Array
    tol: Array


class MatrixFreeObjective(NamedTuple):
    """A convex function of (k, 1) whose curvature is only multiplied with.

    evaluate is given a point and the step to it. evaluate_or_multiply does one of two
    things in one pass over the samples, so that under vmap no problem waits for
    another: given a vector, the change of the logits by a step to it, a curvature, and
    whether the vector is a trial point, it evaluates there, all but the slope, or it
    returns the curvature times the vector in place of the gradient. It returns the
    vector's own logits as well. evaluate_along is given a point, its logits, a step,
    and whether to search the line for the minimum first; it evaluates the end of the
    step, in one pass, and returns the logits there and the factor of the step; its
    logits may have further rows, linear in the point too. singular says that the
    curvature has no inverse.
    """

    evaluate: Callable[[Array, Array], Evaluation]
    evaluate_or_multiply: Callable[
        [Array, Array, Array, Array], tuple[Evaluation, Array]
    ]
    evaluate_along: Callable[
        [Array, Array, Array, Array], tuple[Evaluation, Array, Array]
    ]
    precondition: Callable[[Array], Array]
    zero_logits: Float[Array, "r m"]
    singular: Bool[Array, ""]
    value_at_zero: Array
    tol: Array


class State(NamedTuple):
    """The state of a solver: the point, its evaluation, and the next step.

    predicted_decrease is that of the linear model for a full step; memory is the
    solver's own.
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
    """A method that finds the minimum of an objective, step by step."""

    def init(self, objective: Any, start: Array) -> State:
        """Return the state before the first evaluation."""

    def step(self, objective: Any, state: State) -> State:
        """Return the next state, after one evaluation."""


def minimize(
    solver: Solver, objective: Any, start: Array, max_steps: Array | int
) -> State:
    """Return the state in which the solver ended.

    Args:
        solver: takes the steps.
        objective: the function to minimize.
        start: the first point (k, 1).
        max_steps: steps at most, after the evaluation of the start.
    """
    return run_solver(solver, objective, solver.init(objective, start), max_steps)


def run_solver(
    solver: Solver,
    objective: Any,
    state: State,
    max_steps: Array | int,
    passes: int | None = None,
) -> State:
    """Return the state in which the solver ended, or the state after `passes` more.

    A state whose status is not RUNNING stays as it is.
    """

    def going(now: tuple[State, Array]) -> Array:
        state, count = now
        left = True if passes is None else count < passes
        return unfinished(state, max_steps) & left

    def step(now: tuple[State, Array]) -> tuple[State, Array]:
        state, count = now
        return solver.step(objective, state), count + 1

    return loop(going, step, (state, jnp.zeros((), jnp.int32)))[0]


def unfinished(state: State, max_steps: Array | int) -> Bool[Array, ""]:
    """Return whether the solver goes on."""
    return (state.status == RUNNING) & (state.steps < max_steps)


def loop(
    going: Callable[[Carry], Array], step: Callable[[Carry], Carry], start: Carry
) -> Carry:
    """Return the result of repeating the step while `going` holds."""
    return lax.while_loop(going, step, start)


def once(needed: Array, compute: Callable[[], Carry], known: Carry) -> Carry:
    """Return compute() where needed, else what is known.

    A loop of at most one step: under vmap both sides of a condition would be computed,
    and what they read copied for each problem.
    """

    def step(now: tuple[Array, Carry]) -> tuple[Array, Carry]:
        return jnp.zeros_like(needed), compute()

    return loop(lambda now: now[0], step, (needed, known))[1]


def first_state(
    evaluation: Evaluation, start: Array, *, factor: Any = None, memory: Any = None
) -> State:
    """Return the state of a solver that knows nothing yet but its start.

    It has taken -1 steps: the evaluation of the start is not a step.

    Args:
        evaluation: an evaluation, or its shapes; its numbers are not used.
        start: the first point (k, 1).
        factor: the factor that a direction keeps, or its shapes.
        memory: the solver's own.
    """

    def zeros(tree: Any) -> Any:
        return jax.tree.map(jnp.zeros_like, tree)

    infinite = jnp.full((), jnp.inf, start.dtype)
    return State(
        point=start,
        evaluation=zeros(evaluation)._replace(value=infinite),
        direction=Direction(
            vector=jnp.zeros_like(start),
            decrement=infinite,
            singular=jnp.zeros((), bool),
            solved=jnp.zeros((), bool),
            inflation=jnp.zeros((), start.dtype),
            factor=zeros(factor),
        ),
        step_size=jnp.ones((), start.dtype),
        predicted_decrease=jnp.zeros((), start.dtype),
        steps=jnp.full((), -1, jnp.int32),
        status=jnp.full((), RUNNING, jnp.int32),
        memory=memory,
    )


def where(condition: Array, then: Carry, other: Carry) -> Carry:
    """Return one tree or the other."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), then, other)
