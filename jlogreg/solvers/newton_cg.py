"""Take Newton steps without a Hessian: solve for each by conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jlogreg.solvers.driver import Objective, State, first_state, loop
from jlogreg.solvers.newton import newton_step

__all__ = ["NewtonCG", "Solved", "conjugate_gradients"]


@jax.tree_util.register_static
@dataclass(frozen=True)
class NewtonCG:
    """Minimise by Newton's method with conjugate gradients, without a Hessian.

    Each inner iteration multiplies once with X and once with XT. The preconditioner is
    a factor that depends on X and the penalty alone, so problems that share them share
    it. The inner tolerance falls with the gradient, so that convergence is faster than
    linear. Nocedal and Wright, Numerical Optimization, 7.1.
    """

    def init(self, objective: Objective, start: Float[Array, "k 1"]) -> State:
        """Return the state before the first look at the objective."""
        return first_state(objective, start)

    def step(self, objective: Objective, state: State) -> State:
        """Return the state after one trial."""
        return newton_step(objective, state)


class Solved(NamedTuple):
    """Hold a solution; whether it has the tolerance; whether the search got stuck.

    It is stuck where the map has no curvature to the precision at hand.
    """

    x: Float[Array, "k 1"]
    reached: Bool[Array, ""]
    stuck: Bool[Array, ""]


class _Iterate(NamedTuple):
    """Hold x, the residual, the search direction, and their products."""

    x: Array
    residual: Array
    search: Array
    size: Float[Array, ""]  # residualT M^-1 residual
    iterations: Int[Array, ""]
    stuck: Bool[Array, ""]


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
    unit, start = _first_iterate(right, precondition)
    tiny = float(np.finfo(right.dtype).tiny) / float(np.finfo(right.dtype).eps)

    def large(now: _Iterate) -> Array:
        return now.size > tolerance**2 * start.size

    def going(now: _Iterate) -> Array:
        return large(now) & (now.iterations < most) & ~now.stuck

    def step(now: _Iterate) -> _Iterate:
        image = multiply(now.search)
        curvature = jnp.sum(now.search * image)
        stuck = ~(curvature > tiny * now.size)
        length = jnp.where(stuck, 0.0, now.size / jnp.where(stuck, 1.0, curvature))
        residual = now.residual - length * image
        inverse = precondition(residual)
        size = jnp.sum(residual * inverse)
        at_once = stuck & (now.iterations == 0)
        return _Iterate(
            x=jnp.where(at_once, now.search, now.x + length * now.search),
            residual=residual,
            search=inverse + size / now.size * now.search,
            size=size,
            iterations=now.iterations + 1,
            stuck=stuck,
        )

    end = loop(going, step, start)
    return Solved(x=unit * end.x, reached=~large(end), stuck=end.stuck)


def _first_iterate(
    right: Array, precondition: Callable[[Array], Array]
) -> tuple[Array, _Iterate]:
    """Return a unit, and the first iterate in that unit.

    In it rT M^-1 r is of size one, so that no product underflows or overflows that
    need not.
    """
    sizes = jnp.sqrt(jnp.abs(right)) * jnp.sqrt(jnp.abs(precondition(right)))
    unit = jnp.where(sizes.max() > 0, sizes.max(), 1.0)
    right = right / unit
    search = precondition(right)
    return unit, _Iterate(
        x=jnp.zeros_like(right),
        residual=right,
        search=search,
        size=jnp.sum(right * search),
        iterations=jnp.zeros((), jnp.int32),
        stuck=jnp.zeros((), bool),
    )
