"""Search for the minimum, in the coordinates that suit the shape."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.arrays import Params
from jlogreg.cost import objective, total_weight
from jlogreg.implicit import Solution
from jlogreg.matrix_free import bound_of, escapes, matrix_free
from jlogreg.objectives import Problem, in_features, join, split
from jlogreg.solvers.descent import Optax
from jlogreg.solvers.driver import Solver, State, minimise, where
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG
from jlogreg.span import in_span, span_of, spanned
from jlogreg.status import Status
from jlogreg.totals import gram_block

__all__ = ["search"]

# Newton's steps that certify what a descent has found.
CERTIFY_STEPS = 20
# Of many samples a 64th is fitted first, then an eighth, where that leaves so many for
# each feature; roughly, in few steps.
IDEA_PARTS, IDEA_SAMPLES = (64, 8), 32
IDEA_TOLERANCE, IDEA_STEPS = 0.1, 8


class _Limits(NamedTuple):
    """Hold what a search may do: the tolerance, how many steps, and whether at all."""

    tol: Array
    max_steps: Array
    status: Array


def search(
    solver: Solver, problem: Problem, init: Params | None, tol: Array, max_steps: Array
) -> Solution:
    """Return where the solver ends, and what that means."""
    X, zero = problem.samples.X, jnp.zeros((), tol.dtype)
    start = None if init is None else join(init)
    bad = _bad(problem, zero if start is None else start) | ~jnp.isfinite(tol)
    bad |= max_steps < 0
    status = jnp.where(bad, Status.BAD_INPUT, Status.MAX_STEPS).astype(jnp.int32)
    if isinstance(solver, Newton):
        way = _in_span if spanned(X, problem.l2) else _in_features
    else:
        way = _matrix_free
    found = way(solver, problem, start, _Limits(tol, max_steps, status))

    # X is looked through for what is not finite only where something went wrong.
    status = lax.cond(
        found.status == Status.NONFINITE,
        lambda: jnp.where(X.finite().all(), Status.NONFINITE, Status.BAD_INPUT),
        lambda: found.status.astype(jnp.asarray(Status.BAD_INPUT).dtype),
    ).astype(jnp.int32)

    def unless_bad(value: Array) -> Array:
        return jnp.where(status == Status.BAD_INPUT, jnp.nan, value)

    return found._replace(
        params=jax.tree.map(unless_bad, found.params),
        status=status,
        steps=jnp.maximum(found.steps, 0),
        cost=unless_bad(found.cost),
        gradient_norm=unless_bad(found.gradient_norm),
        decrement=unless_bad(found.decrement),
    )


def _bad(problem: Problem, start: Array) -> Bool[Array, ""]:
    """Return whether a number is out of range; `check_data` has made it NaN."""
    (_, *rows), l2 = problem
    numbers = [*(row for row in rows if row is not None), l2, start]
    bad = jnp.stack([~jnp.isfinite(number).all() for number in numbers]).any()
    return bad | ~(jnp.asarray(total_weight(problem.samples)) > 0)


def _zero(problem: Problem) -> Float[Array, "n+1 1"]:
    X = problem.samples.X
    return jnp.zeros((X.shape[0] + 1, 1), X.dtype)


def _in_features(
    solver: Solver, problem: Problem, start: Array | None, limits: _Limits
) -> Solution:
    start = _first_idea(solver, problem, limits) if start is None else start
    cost = in_features(problem, limits.tol)
    state = minimise(solver, cost, start, limits.max_steps, limits.status)
    return _solution(state, split(state.point), state.direction.factor)


def _first_idea(
    solver: Solver, problem: Problem, limits: _Limits
) -> Float[Array, "n+1 1"]:
    """Return where to start: zero, or the minimum for a growing part of the samples.

    The first steps need no more of the data than tells them where to go. The minimum of
    an eighth of a million samples is so near to that of all that two steps remain.
    """
    start, X = _zero(problem), problem.samples.X
    n, m = X.shape
    blocks = m // gram_block(problem.samples) if X.divisible else 1
    tol = jnp.full((), IDEA_TOLERANCE, X.dtype)
    for every in IDEA_PARTS:
        if blocks >= 2 * every and m >= IDEA_SAMPLES * n * every:
            most = jnp.minimum(limits.max_steps, IDEA_STEPS)
            part = in_features(problem, tol, every)
            point = minimise(solver, part, start, most, limits.status).point
            start = jnp.where(jnp.isfinite(point).all(), point, start)
    return start


def _matrix_free(
    solver: Solver, problem: Problem, start: Array | None, limits: _Limits
) -> Solution:
    start = _zero(problem) if start is None else start
    bound = bound_of(problem)
    cost = matrix_free(problem, bound, limits.tol)
    state = minimise(solver, cost, start, limits.max_steps, limits.status)
    if isinstance(solver, Optax):
        # What a descent takes for the minimum has to stand Newton's test as well.
        ended = state.status != Status.CONVERGED
        status = jnp.where(ended, state.status, Status.MAX_STEPS)
        most = jnp.minimum(limits.max_steps - state.steps, CERTIFY_STEPS)
        certified = minimise(NewtonCG(), cost, state.point, most, status)
        steps = state.steps + jnp.maximum(certified.steps, 0)
        state = where(ended, state._replace(memory=None), certified)
        state = state._replace(steps=steps)
    lost = escapes(problem, bound, state.evaluation.curvature)
    diverged = (state.status == Status.CONVERGED) & lost
    status = jnp.where(diverged, Status.DIVERGED, state.status).astype(jnp.int32)
    return _solution(state._replace(status=status), split(state.point), bound)


def _in_span(
    solver: Solver, problem: Problem, start: Array | None, limits: _Limits
) -> Solution:
    samples, l2 = problem
    span = span_of(samples)
    if start is None:
        begin = jnp.zeros((samples.X.shape[1] + 1, 1), limits.tol.dtype)
    else:
        begin = span.start(split(start))
    cost = in_span(problem, span, limits.tol)
    state = minimise(solver, cost, begin, limits.max_steps, limits.status)
    params = span.params(state.point)
    if start is not None:
        # Without a step w has not moved, also where it is outside the span.
        params = where(state.steps > 0, params, split(start))
    J, slope = objective(params, samples, l2)
    # H is at least l2 in w and the curvature in b, which bounds the decrement. Should
    # roundings have parted the span from X, the precision does not suffice.
    curvature = state.evaluation.curvature.sum()
    bound = jnp.sum(slope.w**2) / l2 + jnp.sum(slope.b**2) / curvature
    parted = (state.status == Status.CONVERGED) & ~(bound <= limits.tol**2)
    evaluation = state.evaluation._replace(value=J, gradient=join(slope))
    state = state._replace(
        evaluation=evaluation,
        status=jnp.where(parted, Status.SINGULAR, state.status).astype(jnp.int32),
    )
    return _solution(state, params, state.direction.factor)


def _solution(state: State, params: Params, factor: Any) -> Solution:
    return Solution(
        params=params,
        status=state.status,
        steps=state.steps,
        cost=state.evaluation.value,
        gradient_norm=jnp.abs(state.evaluation.gradient).max(),
        decrement=state.direction.decrement,
        factor=factor,
    )
