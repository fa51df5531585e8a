"""L-BFGS in a given metric: each pass brings a gradient, and corrects the metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jlogreg.base.arrays import at_least
from jlogreg.solvers.driver import (
    Direction,
    MatrixFreeObjective,
    State,
    first_state,
    where,
)
from jlogreg.solvers.line_search import set_direction, try_step

__all__ = ["LBFGS"]

# Pairs of a step and the change of the gradient that are kept.
N_PAIRS = 8
# A step has solved for the minimum if the gradient fell at least by this factor.
SOLVED_FACTOR = 0.7
# The decrement at the end, in tol^1.5, which is what Newton-CG's last step leaves.
CLOSE = 0.5


class _Pairs(NamedTuple):
    """The last steps s, and the changes r of the gradient, in the metric M.

    The pairs stay in their places in two tables, and a new one takes that of the
    oldest; all else is newest first. Shapes: steps (p, k), s; metric_changes (p, k),
    M r; inverses (p, 1), 1 / sT r, 0 where there is no pair; steps_by_changes (p, p),
    s_iT r_j, where s_i is no newer than r_j; changes_by_changes (p, p), r_iT M r_j;
    scale (), that of the metric; n_pairs (), the number of pairs so far.
    """

    steps: Float[Array, "p k"]
    metric_changes: Float[Array, "p k"]
    inverses: Float[Array, "p 1"]
    steps_by_changes: Float[Array, "p p"]
    changes_by_changes: Float[Array, "p p"]
    scale: Float[Array, ""]
    n_pairs: Int[Array, ""]


class _Memory(NamedTuple):
    """The solver's own part of its state.

    logits are those of the point, in rows; metric_gradient (k, 1) is M g there.
    """

    logits: Float[Array, "r m"]
    metric_gradient: Float[Array, "k 1"]
    pairs: _Pairs


@jax.tree_util.register_static
@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS in the metric of the preconditioner.

    The inverse Hessian is that of the preconditioner, corrected by the last eight pairs
    of a step and a change of the gradient. A step of this solver is one pass: a product
    with X for the logits along the direction, of which the kept logits find the minimum
    by one Newton step on the line, and a product with XT for the gradient there. Many
    problems on one X need two to four times fewer passes than with `NewtonCG`. Nocedal
    and Wright, Numerical Optimization, algorithms 7.4 and 7.5.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import LBFGS, fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> print(f"J = {fit(X, y, solver=LBFGS()).cost:.4f}")
        J = 0.4130
    """

    def init(self, objective: MatrixFreeObjective, start: Float[Array, "k 1"]) -> State:
        """Return the state before the first evaluation."""
        memory = _Memory(
            logits=objective.zero_logits,
            metric_gradient=jnp.zeros_like(start),
            pairs=_no_pairs(start),
        )
        given = (start, objective.zero_logits, start, jnp.ones((), bool))
        evaluation, *_ = jax.eval_shape(objective.evaluate_along, *given)
        state = first_state(evaluation, start, memory=memory)
        direction = state.direction._replace(solved=jnp.ones((), bool))
        return state._replace(direction=direction)

    # Over 40 lines: one pass over the samples, and all that follows from it.
    def step(self, objective: MatrixFreeObjective, state: State) -> State:
        """Return the state after one pass: a step, or the evaluation of the start."""
        memory, state = state.memory, state._replace(memory=None)
        tried, first = state.direction, state.steps < 0

        # One pass over the samples: along a step, or first along the way from 0 to the
        # start. Only a new direction is searched, not the way back to zero.
        searches = ~first & (state.step_size == 1) & jnp.isfinite(tried.decrement)
        origin = jnp.where(first, 0.0, state.point)
        whole = jnp.where(first, state.point, state.step_size * tried.vector)
        result, logits, factor = objective.evaluate_along(
            origin, memory.logits, whole, searches
        )

        # Accept the point, or try a shorter step in the next pass.
        tried = tried._replace(vector=factor * tried.vector)
        predicted = factor * state.predicted_decrease
        state = state._replace(direction=tried, predicted_decrease=predicted)
        after, trial = try_step(objective.value_at_zero, objective.tol, state, result)

        # The next direction, with the pair of this step; algorithm 7.4.
        metric_gradient = objective.precondition(result.gradient)
        pair = _Pair(
            step=factor * whole,
            change=result.gradient - state.evaluation.gradient,
            metric_change=metric_gradient - memory.metric_gradient,
        )
        counts = trial.accept & ~first
        pairs, products = _with_pair(memory.pairs, pair, result.gradient, counts)
        vector = -_times(pairs, products, metric_gradient)
        squared = -jnp.sum(vector * result.gradient)
        direction = Direction(
            vector=vector,
            decrement=jnp.sqrt(at_least(squared, 0)),
            singular=objective.singular,
            solved=jnp.ones((), bool),
            inflation=jnp.zeros_like(squared),
            factor=None,
        )

        # It has converged where this step was small and has solved for the minimum, and
        # goes on while its decrement falls at all.
        solved = direction.decrement <= SOLVED_FACTOR * tried.decrement
        solved &= direction.decrement <= CLOSE * objective.tol**1.5
        trial = trial._replace(
            within_tolerance=trial.within_tolerance & solved,
            previous_decrement=2 * trial.previous_decrement,
        )
        turned = set_direction(after, direction, trial)
        known = (turned, logits, metric_gradient)
        before = (after, memory.logits, memory.metric_gradient)
        turned, logits, metric_gradient = where(trial.accept, known, before)
        return turned._replace(memory=_Memory(logits, metric_gradient, pairs))

    def decrement(self, state: State, gradient: Array, metric_gradient: Array) -> Array:
        """Return the decrement of a gradient at the point of the state.

        Shapes: gradient g and M g (k, 1); result ().
        """
        pairs = state.memory.pairs
        products = jnp.concatenate(_products(pairs, gradient))
        squared = jnp.sum(_times(pairs, products, metric_gradient) * gradient)
        return jnp.sqrt(at_least(squared, 0))


class _Pair(NamedTuple):
    """A step s, the change r of the gradient by it, and M r; each (k, 1)."""

    step: Float[Array, "k 1"]
    change: Float[Array, "k 1"]
    metric_change: Float[Array, "k 1"]


def _no_pairs(start: Array) -> _Pairs:
    k, dtype = start.shape[0], start.dtype
    table, square = jnp.zeros((N_PAIRS, k), dtype), jnp.zeros((N_PAIRS,) * 2, dtype)
    return _Pairs(
        steps=table,
        metric_changes=table,
        inverses=jnp.zeros((N_PAIRS, 1), dtype),
        steps_by_changes=square,
        changes_by_changes=square,
        scale=jnp.ones((), dtype),
        n_pairs=jnp.zeros((), jnp.int32),
    )


def _with_pair(
    pairs: _Pairs, pair: _Pair, gradient: Array, counts: Array
) -> tuple[_Pairs, Array]:
    """Return the pairs with a new one in place of the oldest, and their products.

    Shapes: gradient (k, 1); the products (2 p, 1), sT g above rT M g, newest first.
    counts says whether the pair may count; it does if the function is convex along it.
    """
    product = jnp.sum(pair.step * pair.change)
    counts = counts & (product > float(np.finfo(product.dtype).tiny))
    places = jnp.arange(N_PAIRS, dtype=jnp.int32)[:, None]
    place = (places == pairs.n_pairs % N_PAIRS) & counts
    pairs = pairs._replace(
        steps=jnp.where(place, pair.step.T, pairs.steps),
        metric_changes=jnp.where(place, pair.metric_change.T, pairs.metric_changes),
        n_pairs=pairs.n_pairs + counts.astype(jnp.int32),
    )
    by_step, by_change = _products(pairs, pair.change)
    known = pairs._replace(
        inverses=jnp.concatenate([(1 / product)[None, None], pairs.inverses[:-1]]),
        steps_by_changes=_shifted(
            pairs.steps_by_changes, jnp.zeros_like(by_step[1:].T), by_step
        ),
        changes_by_changes=_shifted(
            pairs.changes_by_changes, by_change[1:].T, by_change
        ),
        scale=product / by_change[0, 0],
    )
    # The tables are right already: a choice between them would copy them.
    empty = pairs.steps[:0]
    chosen = where(
        counts,
        known._replace(steps=empty, metric_changes=empty),
        pairs._replace(steps=empty, metric_changes=empty),
    )
    pairs = chosen._replace(steps=pairs.steps, metric_changes=pairs.metric_changes)
    return pairs, jnp.concatenate(_products(pairs, gradient))


def _products(pairs: _Pairs, vector: Array) -> tuple[Array, Array]:
    """Return sT v and rT M v of all pairs, newest first; each (p, 1)."""
    steps, changes = (
        jnp.sum(table * vector.T, axis=1, keepdims=True)[_newest_first(pairs)]
        for table in (pairs.steps, pairs.metric_changes)
    )
    return steps, changes


def _shifted(table: Array, row: Array, column: Array) -> Float[Array, "p p"]:
    """Return a table without its last row and column, and with new ones before it."""
    inner = jnp.concatenate([row, table[:-1, :-1]])
    return jnp.concatenate([column, inner], axis=1)


def _newest_first(pairs: _Pairs) -> Int[Array, " p"]:
    """Return the places of the pairs, or the pairs of the places: both are the same."""
    return (pairs.n_pairs - 1 - jnp.arange(N_PAIRS, dtype=jnp.int32)) % N_PAIRS


def _times(
    pairs: _Pairs, by_gradient: Array, metric_gradient: Array
) -> Float[Array, "k 1"]:
    """Return the inverse Hessian times the gradient; algorithm 7.4.

    Its two loops use the products of the vectors alone, so that each vector is read
    once.
    """
    rho = list(pairs.inverses[:, 0])
    by_step, by_change = list(by_gradient[:N_PAIRS, 0]), list(by_gradient[N_PAIRS:, 0])
    A, B, scale = pairs.steps_by_changes, pairs.changes_by_changes, pairs.scale
    # From the newest to the oldest.
    alpha: list[Array] = []
    for i in range(N_PAIRS):
        rest = by_step[i] - sum(alpha[j] * A[i, j] for j in range(i))
        alpha.append(rho[i] * rest)
    # From the oldest to the newest.
    parts: dict[int, Array] = {}
    for i in reversed(range(N_PAIRS)):
        rest = by_change[i] - sum(alpha[j] * B[i, j] for j in range(N_PAIRS))
        before = sum(parts[j] * A[j, i] for j in range(i + 1, N_PAIRS))
        parts[i] = alpha[i] - rho[i] * (scale * rest + before)
    # The vectors, in their places.
    newest_first = _newest_first(pairs)
    of_changes = -scale * jnp.stack(alpha)[newest_first][:, None]
    of_steps = jnp.stack([parts[i] for i in range(N_PAIRS)])[newest_first][:, None]
    total = jnp.sum(of_changes * pairs.metric_changes + of_steps * pairs.steps, axis=0)
    return scale * metric_gradient + total[:, None]
