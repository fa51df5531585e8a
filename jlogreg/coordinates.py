"""Prepare a search in the coordinates that suit the shape.

In the features, with a Hessian or without, or in the span of the samples: each knows
what problems can share, what is a problem's own, where to start, and what an end means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.arrays import Params
from jlogreg.bound import Bound, bound_of, own_bound, spectral_bound_of
from jlogreg.cost import objective
from jlogreg.implicit import Solution
from jlogreg.matrix_free import escapes, matrix_free
from jlogreg.objectives import Problem, Whole, in_features, join, split, whole
from jlogreg.solvers.descent import Optax
from jlogreg.solvers.driver import (
    Objective,
    Solver,
    State,
    minimise,
    proceed_to,
    where,
)
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG
from jlogreg.span import Span, in_span, span_of, spanned
from jlogreg.status import Status
from jlogreg.totals import gram_block

__all__ = ["Begun", "Coordinates", "Limits", "coordinates_of"]

# Newton's steps that certify what a descent has found, or that there is no minimum.
CERTIFY_STEPS = 100
# Of many samples a 64th is fitted first, then an eighth, where that leaves so many for
# each feature; roughly, in few steps.
IDEA_PARTS, IDEA_SAMPLES = (64, 8), 32
IDEA_TOLERANCE, IDEA_STEPS = 0.1, 8


class Limits(NamedTuple):
    """Hold what a search may do: the tolerance, and how many steps."""

    tol: Array
    max_steps: Array


class Begun(NamedTuple):
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
    end: Callable[[Solver, Problem, Any, Begun, Params | None, Limits], Solution]


def coordinates_of(solver: Solver, problem: Problem) -> Coordinates:
    """Return the coordinates in which a solver searches, by the problem's shapes."""
    if not isinstance(solver, Newton):
        return _MATRIX_FREE
    spans = spanned(problem.samples.X, problem.l2)
    return _IN_SPAN if spans else _IN_FEATURES


def _zero(problem: Problem) -> Float[Array, "n+1 1"]:
    X = problem.samples.X
    return jnp.zeros((X.shape[0] + 1, 1), X.dtype)


def _nothing(*_: Any) -> None:
    return None


def _first_idea(
    solver: Solver, problem: Problem, _: Any, init: Params | None, limits: Limits
) -> Float[Array, "n+1 1"]:
    """Return where to start: zero, or the minimum for a growing part of the samples.

    The first steps need no more of the data than tells them where to go. The minimum of
    an eighth of a million samples is so near to that of all that two steps remain.
    """
    if init is not None:
        return join(init)
    start, X, known = _zero(problem), problem.samples.X, whole(problem.samples)
    n, m = X.shape
    blocks = m // gram_block(problem.samples) if X.divisible else 1
    tol = jnp.full((), IDEA_TOLERANCE, X.dtype)
    for every in IDEA_PARTS:
        if blocks >= 2 * every and m >= IDEA_SAMPLES * n * every:
            most = jnp.minimum(limits.max_steps, IDEA_STEPS)
            part = in_features(problem, known, tol, every)
            point = minimise(solver, part, start, most).point
            start = jnp.where(jnp.isfinite(point).all(), point, start)
    return start


def _end_in_features(
    solver: Solver, problem: Problem, shared: Any, begun: Begun, *_: Any
) -> Solution:
    state = begun.state
    return _solution(state, split(state.point), state.direction.factor)


_IN_FEATURES = Coordinates(
    share=_nothing,
    prepare=_nothing,
    objective=lambda problem, known, shared, own, tol: in_features(problem, known, tol),
    start=_first_idea,
    end=_end_in_features,
)


def _share_bound(problem: Problem, differ: bool) -> Bound:
    return spectral_bound_of(problem) if differ else bound_of(problem)


def _own_bound(problem: Problem, shared: Bound) -> Bound:
    # The inverse, which problems share, is kept apart from what is a problem's own.
    return own_bound(problem, shared)._replace(inverse=None)


def _start_matrix_free(
    solver: Solver, problem: Problem, shared: Any, init: Params | None, limits: Limits
) -> Array:
    return _zero(problem) if init is None else join(init)


def _matrix_free(
    problem: Problem, known: Whole, shared: Bound, own: Bound, tol: Array
) -> Objective:
    return matrix_free(problem, known, own._replace(inverse=shared.inverse), tol)


def _end_matrix_free(
    solver: Solver,
    problem: Problem,
    shared: Bound,
    begun: Begun,
    init: Params | None,
    limits: Limits,
) -> Solution:
    known, own, state = begun
    bound = own._replace(inverse=shared.inverse)
    if isinstance(solver, Optax):
        # What a descent takes for the minimum has to stand Newton's test as well.
        ended = state.status != Status.CONVERGED
        cost = matrix_free(problem, known, bound, limits.tol)
        first = NewtonCG().init(cost, state.point)
        status = jnp.where(ended, state.status, Status.MAX_STEPS)
        most = jnp.minimum(limits.max_steps - state.steps, CERTIFY_STEPS)
        certified = proceed_to(NewtonCG(), cost, first._replace(status=status), most)
        steps = state.steps + jnp.maximum(certified.steps, 0)
        certified = certified._replace(memory=None)
        state = where(ended, state._replace(memory=None), certified)
        state = state._replace(steps=steps)
    lost = escapes(problem, bound, state.evaluation.curvature)
    lost &= state.status == Status.CONVERGED
    how = jnp.where(shared.singular, Status.SINGULAR, Status.DIVERGED)
    status = jnp.where(lost, how, state.status).astype(jnp.int32)
    return _solution(state._replace(status=status), split(state.point), bound)


_MATRIX_FREE = Coordinates(
    share=_share_bound,
    prepare=_own_bound,
    objective=_matrix_free,
    start=_start_matrix_free,
    end=_end_matrix_free,
)


def _start_in_span(
    solver: Solver, problem: Problem, span: Span, init: Params | None, limits: Limits
) -> Array:
    if init is not None:
        return span.start(init)
    return jnp.zeros((span.gram.shape[0] + 1, 1), span.gram.dtype)


def _end_in_span(
    solver: Solver,
    problem: Problem,
    span: Span,
    begun: Begun,
    init: Params | None,
    limits: Limits,
) -> Solution:
    (samples, l2), state = problem, begun.state
    params = span.params(state.point)
    if init is not None:
        # Without a step w has not moved, also where it is outside the span.
        params = where(state.steps > 0, params, init)
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


_IN_SPAN = Coordinates(
    share=lambda problem, differ: span_of(problem.samples),
    prepare=_nothing,
    objective=lambda problem, known, span, own, tol: in_span(problem, known, span, tol),
    start=_start_in_span,
    end=_end_in_span,
)


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
