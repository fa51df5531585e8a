"""Take Newton steps without a Hessian: solve for each by conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jlogreg.solvers.driver import (
    Direction,
    Objective,
    State,
    first_state,
    loop,
    where,
)
from jlogreg.solvers.newton import Trial, directed, tried

__all__ = ["INNER_TOLERANCE", "NewtonCG", "Solved", "conjugate_gradients", "inner_most"]

# Iterations of conjugate gradients in one Newton step.
INNER_MOST = 250
# The residual that the first Newton steps leave; later ones leave less.
INNER_TOLERANCE = 0.3


class Solved(NamedTuple):
    """Hold a solution; whether it has the tolerance; whether the search got stuck.

    It is stuck where the map has no curvature to the precision at hand.
    """

    x: Float[Array, "k 1"]
    reached: Bool[Array, ""]
    stuck: Bool[Array, ""]


class _Iterate(NamedTuple):
    """Hold where conjugate gradients are, in a unit of the right-hand side's own.

    In it rT M^-1 r is of size one at first, so that no product underflows or overflows
    that need not. x is the solution and whatever else is linear in it.
    """

    x: Any
    residual: Array
    search: Array
    size: Float[Array, ""]  # residualT M^-1 residual
    first: Float[Array, ""]  # what it was at first
    iterations: Int[Array, ""]
    stuck: Bool[Array, ""]
    unit: Float[Array, ""]


class _Memory(NamedTuple):
    """Hold what the solver does: whether it tries a step, or solves for the next.

    Shapes: change (1, m), what the whole step adds to the rows; trial, what came of the
    last one; system, how far the solution for the next has come, to which tolerance.
    """

    trying: Bool[Array, ""]
    change: Float[Array, "1 m"]
    trial: Trial
    system: _Iterate
    tolerance: Float[Array, ""]


@jax.tree_util.register_static
@dataclass(frozen=True)
class NewtonCG:
    """Minimise by Newton's method with conjugate gradients, without a Hessian.

    Each inner iteration multiplies once with X and once with XT, and so does each
    trial: a step of this solver is either, so that under vmap no problem waits for
    another's. The preconditioner is a factor that depends on X and the penalty alone,
    so problems that share them share it. The inner tolerance falls with the gradient,
    so that convergence is faster than linear. Nocedal and Wright, Numerical
    Optimization, 7.1.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import NewtonCG, fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> print(f"J = {fit(X, y, solver=NewtonCG()).cost:.4f}")
        J = 0.4130
    """

    def init(self, objective: Objective, start: Float[Array, "k 1"]) -> State:
        """Return the state before the first look at the objective."""
        assert objective.system is not None
        rows, zero = objective.system.rows, jnp.zeros((), start.dtype)
        no = jnp.zeros((), bool)
        nothing = jnp.zeros_like(start)
        memory = _Memory(
            trying=~no,
            change=rows,
            trial=Trial(no, no, no, no, zero),
            system=_begin((start, rows), nothing, nothing),
            tolerance=zero,
        )
        return first_state(objective, start, memory)

    def step(self, objective: Objective, state: State) -> State:
        """Return the state after one trial, or one iteration that solves for it."""
        system, memory = objective.system, state.memory
        assert system is not None
        trying, state = memory.trying, state._replace(memory=None)
        whole = state.size * state.direction.vector
        vector = jnp.where(trying, state.point + whole, memory.system.search)
        change = state.size * memory.change
        curvature = state.evaluation.curvature
        found, rows = system.look(vector, change, curvature, trying)
        found = found._replace(slope=jnp.sum(found.gradient * whole))

        after, trial = where(
            trying, tried(objective, state, found), (state, memory.trial)
        )
        begin, again = trying & trial.accept, trying & ~trial.accept
        right = after.evaluation.gradient
        moved = _move(memory.system, found.gradient, (memory.system.search, rows))
        inverse = system.precondition(jnp.where(begin, right, moved.residual))
        now = where(begin, _begin(moved.x, right, inverse), _turn(moved, inverse))
        now = where(again, memory.system, now)
        tolerance = jnp.where(begin, _tolerance(now, trial), memory.tolerance)

        jump = begin & trial.jump
        going = _going(now, tolerance, inner_most(right.shape[0])) & ~jump
        solved = _solved(now, tolerance)
        new = _direction(solved, right, system.singular)
        new = where(again, after.direction, new)
        change = jnp.where(jump, -rows, -solved.x[1])
        change = jnp.where(again | going, memory.change, change)
        turned = directed(after, new, trial)
        # A step counts when it is known how it ends.
        ends = again | ~going
        steps = state.steps + ends.astype(state.steps.dtype)
        state = where(ends, turned, after)._replace(steps=steps)
        return state._replace(memory=_Memory(ends, change, trial, now, tolerance))


def conjugate_gradients(
    multiply: Callable[[Array], Array],
    right: Float[Array, "k 1"],
    precondition: Callable[[Array], Array],
    tolerance: Array,
    most: int,
) -> Solved:
    """Return x with multiply(x) = right, for a symmetric positive semidefinite map.

    Stops when sqrt(rT M^-1 r) has fallen to `tolerance` of what it was, after `most`
    iterations, or where it is stuck; then, if that is at once, with the preconditioned
    right-hand side. Nocedal and Wright, algorithm 5.3.

    Args:
        multiply: the map.
        right: the right-hand side.
        precondition: an approximate inverse of the map.
        tolerance: how far to reduce the residual.
        most: how many iterations at most.
    """
    zero = jnp.zeros_like(right)
    start = _begin(zero, right, precondition(right))

    def step(now: _Iterate) -> _Iterate:
        moved = _move(now, multiply(now.search), now.search)
        return _turn(moved, precondition(moved.residual))

    end = loop(lambda now: _going(now, tolerance, most), step, start)
    return _solved(end, tolerance)


def inner_most(k: int) -> int:
    """Return how many iterations solve for k unknowns, at most."""
    return min(INNER_MOST, 10 + 2 * k)


def _begin(x: Any, right: Array, inverse: Array) -> _Iterate:
    """Return the first iterate: zeros like x, and where to search."""
    largest = jnp.sqrt(jnp.abs(right).max()) * jnp.sqrt(jnp.abs(inverse).max())
    unit = jnp.where(largest > 0, largest, 1.0)
    residual, search = right / unit, inverse / unit
    size = jnp.sum(residual * search)
    return _Iterate(
        x=jax.tree.map(jnp.zeros_like, x),
        residual=residual,
        search=search,
        size=size,
        first=size,
        iterations=jnp.zeros((), jnp.int32),
        stuck=jnp.zeros((), bool),
        unit=unit,
    )


def _move(now: _Iterate, image: Array, along: Any) -> _Iterate:
    """Return the iterate at the minimum along the search direction.

    image is the map times that direction, along whatever x gains by a step of it.
    """
    tiny = float(np.finfo(image.dtype).tiny) / float(np.finfo(image.dtype).eps)
    curvature = jnp.sum(now.search * image)
    stuck = ~(curvature > tiny * now.size)
    length = jnp.where(stuck, 0.0, now.size / jnp.where(stuck, 1.0, curvature))
    whole = jnp.where(stuck & (now.iterations == 0), 1.0, length)
    return now._replace(
        x=jax.tree.map(lambda x, more: x + whole * more, now.x, along),
        residual=now.residual - length * image,
        iterations=now.iterations + 1,
        stuck=stuck,
    )


def _turn(now: _Iterate, inverse: Array) -> _Iterate:
    """Return the iterate with the next search direction, conjugate to those before."""
    size = jnp.sum(now.residual * inverse)
    return now._replace(search=inverse + size / now.size * now.search, size=size)


def _going(now: _Iterate, tolerance: Array, most: int) -> Bool[Array, ""]:
    large = now.size > tolerance**2 * now.first
    return large & (now.iterations < most) & ~now.stuck


def _solved(now: _Iterate, tolerance: Array) -> Solved:
    reached = ~(now.size > tolerance**2 * now.first)
    x = jax.tree.map(lambda x: now.unit * x, now.x)
    return Solved(x=x, reached=reached, stuck=now.stuck)


def _tolerance(now: _Iterate, trial: Trial) -> Float[Array, ""]:
    """Return how far to reduce the residual of a Newton step.

    Where the minimum has been found, only the size of the next step is asked for.
    """
    size = now.unit * jnp.sqrt(now.first)
    least = jnp.minimum(INNER_TOLERANCE, jnp.sqrt(size))
    return jnp.where(trial.small, INNER_TOLERANCE, least)


def _direction(solved: Solved, gradient: Array, singular: Array) -> Direction:
    vector = -solved.x[0]
    squared = -jnp.sum(vector * gradient)
    return Direction(
        vector=vector,
        decrement=jnp.sqrt(jnp.maximum(squared, 0)),
        singular=singular | solved.stuck,
        solved=solved.reached | solved.stuck,
        factor=None,
    )
