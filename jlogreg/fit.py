"""Fit one model: find the minimum of the cost, and say how it ended."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jlogreg.arrays import Params, check_params
from jlogreg.checks import (
    AnyArray,
    DtypeError,
    as_array,
    check_count,
    check_number,
    check_range,
    is_traced,
)
from jlogreg.cost import check_data, objective, total_weight
from jlogreg.design import Design
from jlogreg.implicit import Solution, differentiable
from jlogreg.objectives import (
    Problem,
    bound_of,
    in_features,
    join,
    matrix_free,
    split,
)
from jlogreg.solvers.descent import Optax
from jlogreg.solvers.driver import Solver, State, minimise, where
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG
from jlogreg.span import in_span, span_of, spanned
from jlogreg.status import Status
from jlogreg.totals import gram_block

__all__ = ["Fit", "choose_solver", "fit"]

# Up to so many unknowns a Hessian is formed: features, or samples where they are fewer.
NEWTON_MOST = 512
SPAN_MOST = 2048
# Newton's steps that certify what a descent has found.
CERTIFY_STEPS = 8
# Of many samples a 64th is fitted first, then an eighth, where that leaves so many for
# each feature; roughly, in few steps.
IDEA_PARTS, IDEA_SAMPLES = (64, 8), 32
IDEA_TOLERANCE, IDEA_STEPS = 0.1, 8


class Fit(NamedTuple):
    """Hold a fitted model, and how the fit ended.

    Shapes: params w (n, 1), b (1, 1), the others (); of many problems each with a
    leading axis. status is a Status; steps counts the trials after the first look; cost
    is J; gradient_norm the largest |entry| of dw and db; decrement sqrt(gT H^-1 g),
    half of whose square the cost is above its minimum, nearly.
    """

    params: Params
    status: Int[Array, ""]
    steps: Int[Array, ""]
    cost: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    decrement: Float[Array, ""]


def fit(
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    solver: Solver | None = None,
    init: Params | None = None,
    tol: Any = None,
    max_steps: Any = None,
) -> Fit:
    """Return the parameters that minimise the cost, and how the search ended.

    Shapes: X (n, m), y (1, m) in [0, 1]; result Fit, with cost in nats. The cost is
    that of equation (8) of docs/derivation.md. Only a status of CONVERGED is an
    answer; `raise_if_failed` turns any other into an error that says what to do.
    Derivatives in X, y, weight, offset and l2, forward and reverse, are exact at the
    minimum, by equation (20); where the fit failed they are NaN.

    Args:
        X: features, a column per sample: an array, a BCOO or a design.
        y: labels.
        weight: (1, m), at least 0; a weight of 2 counts a sample twice, a weight of 0
            leaves it out, whatever it contains.
        offset: (1, m), added to the logits.
        l2: penalty, a number or one a feature (n, 1), at least 0.
        solver: Newton(), NewtonCG() or Optax(...). By default, for n features and m
            samples: Newton() up to n = 512; in the span of the samples, which Newton()
            does where m < n with one penalty and X an array, up to m = 2048; else
            NewtonCG().
        init: where to start; zero where it costs less.
        tol: a fit has converged when a whole Newton step changed no logit by more than
            this, and the decrement before it was no larger. Newton's method leaves
            about tol^2 / 2 of an error; by default tol = 2 sqrt(eps), 3.0e-8 in
            float64 and 6.9e-4 in float32, so that is a rounding or two.
        max_steps: steps at most; by default 100, for Optax 10 000.

    Raises:
        DtypeError, RankError, ShapeError: an argument is no such array.
        ValueError: a number is out of range, NaN or infinite. Where it is traced the
            status is BAD_INPUT instead and the parameters are NaN.
    """
    samples, l2 = check_data(X, y, weight, offset, l2)
    n, dtype = samples.X.shape[0], samples.X.dtype
    if solver is None:
        solver = choose_solver(samples.X, l2)
    elif not isinstance(solver, Newton | NewtonCG | Optax):
        raise DtypeError(
            f"solver must be Newton(), NewtonCG() or Optax(...), but is {solver!r}"
        )
    if init is not None:
        init = check_params(init, n, dtype, name="init")
        init = Params(check_range("init.w", init.w), check_range("init.b", init.b))
    tol = 2 * float(np.finfo(dtype).eps) ** 0.5 if tol is None else tol
    tol = check_range("tol", check_number("tol", tol, dtype), 0.0, above=True)
    if max_steps is None:
        max_steps = 10_000 if isinstance(solver, Optax) else 100
    if not is_traced(max_steps):
        max_steps = check_count("max_steps", max_steps, least=0)
    max_steps = as_array(max_steps, jnp.int32)
    solution = _solve(solver, Problem(samples, l2), init, tol, max_steps)
    return Fit(*solution[: len(Fit._fields)])


def choose_solver(X: Design, l2: Array) -> Solver:
    """Return the solver for a design and a penalty of these shapes."""
    n, m = X.shape
    if spanned(X, l2) and m <= SPAN_MOST:
        return Newton()
    return Newton() if n <= NEWTON_MOST else NewtonCG()


class _Limits(NamedTuple):
    """Hold what a search may do: the tolerance, how many steps, and whether at all."""

    tol: Array
    max_steps: Array
    status: Array


def _find(
    solver: Solver, problem: Problem, init: Params | None, tol: Array, max_steps: Array
) -> Solution:
    """Return where the solver ends, and what that means."""
    X, zero = problem.samples.X, jnp.zeros((), tol.dtype)
    start = None if init is None else join(init)
    bad = _bad(problem, zero if start is None else start)
    status = jnp.where(bad, Status.BAD_INPUT, Status.MAX_STEPS).astype(jnp.int32)
    if isinstance(solver, Newton):
        search = _in_span if spanned(X, problem.l2) else _in_features
    else:
        search = _matrix_free
    found = search(solver, problem, start, _Limits(tol, max_steps, status))

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


_solve = jax.jit(differentiable(_find), static_argnums=0)


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
        certified = minimise(NewtonCG(), cost, state.point, CERTIFY_STEPS, status)
        steps = state.steps + jnp.maximum(certified.steps, 0)
        state = where(ended, state._replace(memory=None), certified)
        state = state._replace(steps=steps)
    return _solution(state, split(state.point), bound)


def _in_span(
    solver: Solver, problem: Problem, start: Array | None, limits: _Limits
) -> Solution:
    samples, l2 = problem
    span = span_of(samples.X.dense())
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
