"""What every formulation shares: the problem, its solution, and how a solve is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jlogreg.base.params import Params
from jlogreg.data.samples import Samples, weighted
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss
from jlogreg.objective.cost import total_weight
from jlogreg.solvers.driver import Direction, Objective, Solver, State

__all__ = [
    "Coordinates",
    "Limits",
    "Problem",
    "Solution",
    "SolveState",
    "Whole",
    "direction_to",
    "nothing",
    "ridge",
    "to_params",
    "to_solution",
    "to_vector",
    "whole",
    "zero_point",
]


class Limits(NamedTuple):
    """Hold what a search may do: the tolerance, and how many steps."""

    tol: Array
    max_steps: Array


class SolveState(NamedTuple):
    """Hold a search under way: what it has prepared of its own, and its state."""

    known: Whole
    own: Any
    state: State


class Coordinates(NamedTuple):
    """Hold how a search is made in some coordinates.

    share and prepare are given the problem, share also whether penalties differ,
    prepare what is shared; objective all of it and the tolerance. start returns the
    coordinates of params, or a first idea; end makes a solution of a state.
    """

    share: Callable[[Problem, bool], Any]
    prepare: Callable[[Problem, Any], Any]
    objective: Callable[[Problem, Whole, Any, Any, Array], Objective]
    start: Callable[[Solver, Problem, Any, Params | None, Limits], Array]
    end: Callable[[Solver, Problem, Any, SolveState, Params | None, Limits], Solution]


def zero_point(problem: Problem) -> Float[Array, "n+1 1"]:
    """Return w = 0 above b = 0."""
    X = problem.samples.X
    return jnp.zeros((X.shape[0] + 1, 1), X.dtype)


def nothing(*_: Any) -> None:
    """Return nothing, whatever is given."""
    return


def to_solution(state: State, params: Params, factor: Any) -> Solution:
    """Return the solution that a state of the solver stands for."""
    return Solution(
        params=params,
        status=state.status,
        steps=state.steps,
        cost=state.evaluation.value,
        gradient_norm=jnp.abs(state.evaluation.gradient).max(),
        decrement=state.direction.decrement,
        factor=factor,
    )


class Solution(NamedTuple):
    """Hold where a solver ended, and the factor that it has kept.

    Shapes: params w (n, 1), b (1, 1); the others ().
    """

    params: Params
    status: Int[Array, ""]
    steps: Int[Array, ""]
    cost: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    decrement: Float[Array, ""]
    factor: Any


class Problem(NamedTuple):
    """Hold what a fit depends on and is differentiated in: samples and penalty.

    Shapes: samples of X (n, m); l2 () or (n, 1).
    """

    samples: Samples
    l2: Array


def to_vector(params: Params) -> Float[Array, "n+1 1"]:
    """Return w above b."""
    return jnp.concatenate([params.w, params.b])


def to_params(point: Float[Array, "n+1 1"]) -> Params:
    """Return Params of w above b."""
    return Params(w=point[:-1], b=point[-1:])


class Whole(NamedTuple):
    """Hold what is known of all the samples before any look at them.

    weight () is what sums are divided by, value_at_zero () the cost at w = 0, b = 0.
    """

    weight: Array
    value_at_zero: Float[Array, ""]


def whole(samples: Samples) -> Whole:
    """Return what is known of all the samples before any look at them."""
    weight = jnp.asarray(total_weight(samples), samples.y.dtype)
    offset = samples.offset
    z = jnp.zeros_like(samples.y) if offset is None else offset
    losses = weighted(log_loss(FAST, z, samples.y), samples)
    return Whole(weight, losses.sum() / weight)


def direction_to(
    vector: Array, gradient: Array, singular: Array, factor: object
) -> Direction:
    """Return the direction, with its decrement sqrt(-gT d)."""
    squared = -jnp.sum(vector * gradient)
    decrement = jnp.sqrt(jnp.maximum(squared, 0))
    return Direction(vector, decrement, singular, jnp.ones((), bool), factor)


def ridge(problem: Problem) -> Float[Array, "n+1 1"]:
    """Return the penalty of every parameter, w above b, which has none."""
    samples, l2 = problem
    w = jnp.broadcast_to(l2, (samples.X.shape[0], 1))
    return jnp.concatenate([w, jnp.zeros((1, 1), w.dtype)])
