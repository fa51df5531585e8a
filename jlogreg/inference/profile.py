"""The profile of the likelihood: fits with some unknowns held, and interval ends.

A held weight is an offset, so each point of a profile is a fit with an offset, and the
fits of all coefficients are mapped. Equations (41) and (42) of docs/derivation.md.
"""

# Over 300 lines: the search for an end, and the fit at each point of a profile.

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jlogreg.base.arrays import at_least
from jlogreg.base.status import Status
from jlogreg.data.design import Design, matmul
from jlogreg.data.pairwise import pairwise
from jlogreg.diagnostics.fitted import Fitted, Given
from jlogreg.fitting.options import check_limits
from jlogreg.formulations.centering import Centering
from jlogreg.formulations.primal import primal_objective
from jlogreg.formulations.problem import (
    Limits,
    prepare,
    restricted,
    ridge,
    to_params,
    to_vector,
)
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss
from jlogreg.objective.cost import objective
from jlogreg.objective.jeffreys import jeffreys_term
from jlogreg.solvers.driver import loop, minimize, where
from jlogreg.solvers.newton import Newton

__all__ = ["Held", "default_limits", "fit_with_held", "paired", "profile_ends"]

# Fits of one end at most, and the longest step of a search, in standard errors.
MAX_FITS, LONGEST = 40, 2.0
# All ends are searched side by side by some fits of a few steps each; those that need
# more go on so many at a time.
FEW_FITS, FEW_STEPS, LAST = 3, 5, 8
# Entries of the products of pairs of features, above which they are not formed.
MAX_PAIR_ENTRIES = 2**26
# Entries of the Hessians of the ends that are searched side by side.
MAX_HESSIAN_ENTRIES = 2**23


class Held(NamedTuple):
    """The fit of the free unknowns, some others held, beside the fit of all.

    Shapes: theta (n + 1, 1), w above b in the unknowns of the fit of all; slope (n + 1,
    1), the gradient of J, also in the held unknowns; drop (), V (J - min J), in nats;
    status () of this fit.
    """

    theta: Float[Array, "n+1 1"]
    slope: Float[Array, "n+1 1"]
    drop: Float[Array, ""]
    status: Int[Array, ""]


def default_limits(dtype: Any) -> Limits:
    """Return the tolerance and the steps of a fit."""
    return check_limits(Newton(), None, None, dtype)


def fit_with_held(
    fitted: Fitted,
    held: Float[Array, "n+1 1"],
    free: Float[Array, "n+1 1"],
    start: Float[Array, "n+1 1"],
    limits: Limits,
) -> Held:
    """Return the fit in which some unknowns are held; equation (41).

    Jeffreys' prior stays that of all unknowns.

    The drop has derivatives in the data: at a minimum it does not change with the
    unknowns.

    Args:
        fitted: the fit of all unknowns.
        held: their values, and 0 for the free ones.
        free: 1 for the free ones, else 0.
        start: where to start.
        limits: of the fit.
    """
    fixed, held, start = lax.stop_gradient((fitted, held, start))
    problem, (w, b) = fixed.problem, to_params(held)
    samples = problem.samples
    # One penalty a feature: the fits are those of the primal formulation.
    l2 = jnp.broadcast_to(problem.l2, fixed.params.w.shape)
    free = restricted(free, problem.free)
    offset = samples.X.forward(w) + b
    with_offset = samples._replace(offset=samples.add_offset(offset))
    of_free = problem._replace(samples=with_offset, l2=l2, free=free)
    cost = primal_objective(of_free, prepare(with_offset), limits.tol)
    newton = Newton(keep_factor=False)
    end = minimize(newton, cost, start * free, limits.max_steps)
    theta = end.point * free + held
    _, slope = objective(to_params(theta), samples, l2, problem.jeffreys)
    return Held(theta, to_vector(slope), _drop(fitted, theta), end.status)


def _drop(fitted: Fitted, theta: Float[Array, "n+1 1"]) -> Float[Array, ""]:
    """Return V (J - min J) at other unknowns.

    It is summed sample by sample: the digits of J itself are not enough.
    """
    samples, params = fitted.problem.samples, fitted.params
    z, best = samples.logits(to_params(theta)), samples.logits(params)
    rise = log_loss(FAST, z, samples.y) - log_loss(FAST, best, samples.y)
    difference = (theta - to_vector(params)) * (theta + to_vector(params))
    penalty = jnp.sum(ridge(fitted.problem) * difference) / 2
    drop = fitted.unit * samples.weighted(rise).sum() + fitted.total() * penalty
    prior = fitted.problem.jeffreys
    if prior is None:
        return drop
    terms = [jeffreys_term(at, samples, prior) for at in (to_params(theta), params)]
    return drop + fitted.total() * (terms[0] - terms[1])


def paired(fitted: Fitted) -> Fitted:
    """Return the fit with the products of all pairs of features, if they are few.

    The Hessians of many problems on the same features are then one product; equation
    (25).
    """
    samples = fitted.problem.samples
    n, m = samples.X.shape
    X: Design = samples.X
    if n * (n + 1) // 2 * m <= MAX_PAIR_ENTRIES:
        X = pairwise(X.dense())
    samples = samples._replace(X=X)
    return fitted._replace(problem=fitted.problem._replace(samples=samples))


def profile_ends(
    given: Given, target: Float[Array, ""]
) -> tuple[Float[Array, "n+1 2"], Int[Array, "n+1 2"]]:
    """Return both ends of the profile interval of each unknown, and their statuses.

    Shapes: target (), the root of twice the drop at the ends; result (n + 1, 2) each,
    low and high. Equation (42) of docs/derivation.md.
    """
    centred = Fitted.of(given)
    weights, w_status = _ends(paired(centred), target, range(len(given.params.w)))
    if given.problem.free is not None:  # b is known to be 0
        b, b_status = jnp.zeros((1, 2), weights.dtype), jnp.zeros((1, 2), jnp.int32)
    else:
        # A held bias is one of the user's own unknowns: nothing is taken away.
        plain = Fitted(given.params, given.problem, Centering(None, None), *given[2:])
        b, b_status = _ends(paired(plain), target, range(-1, 0))
    return jnp.concatenate([weights, b]), jnp.concatenate([w_status, b_status])


class _Search(NamedTuple):
    """The search for an end: the distance d from the estimate, and its bracket.

    Shapes: theta (n + 1, 1), where the next fit starts; the others ().
    """

    distance: Array
    theta: Array
    low: Array
    high: Array
    status: Array
    fits: Array


def _ends(
    fitted: Fitted, target: Array, places: range
) -> tuple[Float[Array, "k 2"], Int[Array, "k 2"]]:
    """Return the ends of some unknowns, as many side by side as memory allows."""
    estimate = to_vector(fitted.params)
    k = len(estimate)
    inverse = fitted.solve(jnp.eye(k, dtype=estimate.dtype)) / fitted.total()
    units = jnp.eye(k, dtype=estimate.dtype)[jnp.asarray(places)]
    rows = jnp.concatenate([units, units])
    sides = jnp.repeat(jnp.asarray([-1.0, 1.0], estimate.dtype), len(places))
    width, lanes = max(8, MAX_HESSIAN_ENTRIES // k**2), (rows[..., None], sides)
    limits = default_limits(estimate.dtype)
    given = lax.stop_gradient((fitted, inverse, target))

    def over_lanes(function: Callable[..., Any], *rows: Any) -> Any:
        if len(sides) <= width:
            return jax.vmap(function)(*rows)
        return lax.map(lambda row: function(*row), rows, batch_size=width)

    now = over_lanes(partial(_start, *given), *lanes)
    if len(sides) > LAST:
        few = limits._replace(max_steps=jnp.full_like(limits.max_steps, FEW_STEPS))
        now = over_lanes(partial(_search, *given, few, FEW_FITS), *lanes, now)

    # Those that are left, a few at a time: all others would wait for them.
    def go_on(now: _Search) -> _Search:
        some = jnp.argsort(~_going(now, MAX_FITS))[:LAST]
        picked = jax.tree.map(lambda leaf: leaf[some], (*lanes, now))
        ended = jax.vmap(partial(_search, *given, limits, MAX_FITS))(*picked)
        return jax.tree.map(lambda all_, own: all_.at[some].set(own), now, ended)

    now = loop(lambda now: _going(now, MAX_FITS).any(), go_on, now)
    found = over_lanes(partial(_end, fitted, target), *lanes, now)
    shape = (2, len(places))
    return found.reshape(shape).T, now.status.reshape(shape).T


def _start(
    fitted: Fitted, inverse: Array, goal: Array, unit: Array, side: Array
) -> _Search:
    """Return a search that begins at the end of Wald's interval."""
    tangent, error = _tangent(inverse, unit)
    first = goal * error
    return _Search(
        distance=first,
        theta=to_vector(fitted.params) + side * tangent * first,
        low=jnp.zeros_like(first),
        high=jnp.full_like(first, jnp.inf),
        status=jnp.full((), Status.MAX_STEPS, jnp.int32),
        fits=jnp.zeros((), jnp.int32),
    )


def _tangent(inverse: Array, unit: Array) -> tuple[Float[Array, "n+1 1"], Array]:
    """Return how the unknowns move with the held one, (41), and its standard error."""
    column = matmul(inverse, unit)
    variance = jnp.sum(column * unit)
    return column / variance, jnp.sqrt(variance)


def _going(now: _Search, most: int) -> Bool[Array, ...]:
    """Return whether a search goes on, by as many fits at most."""
    return (now.status == Status.MAX_STEPS) & (now.fits < most)


def _search(
    fitted: Fitted,
    inverse: Float[Array, "n+1 n+1"],
    goal: Array,
    limits: Limits,
    most: int,
    unit: Float[Array, "n+1 1"],
    side: Array,
    start: _Search,
) -> _Search:
    """Return a search for one end after some fits: Newton's method in a bracket.

    rho = sqrt(2 drop) is nearly linear in the held unknown, and its slope needs but the
    gradient there: the others are at their minimum. Where the steps run out before
    that, the next fit goes on.
    """
    estimate = jnp.sum(unit * to_vector(fitted.params))
    tangent, error = _tangent(inverse, unit)

    def advance(now: _Search) -> _Search:
        held = unit * (estimate + side * now.distance)
        at = fit_with_held(fitted, held, 1 - unit, now.theta, limits)
        # rho and its slope in the distance; (42).
        rho = jnp.sqrt(at_least(2 * at.drop, 0))
        slope = side * fitted.total() * jnp.sum(at.slope * unit) / rho
        after = _after(now, goal - rho, slope, LONGEST * error)
        moved = side * tangent * (after.distance - now.distance)
        failed = at.status != Status.CONVERGED
        stayed = now._replace(theta=at.theta, status=at.status, fits=after.fits)
        return where(failed, stayed, after._replace(theta=at.theta + moved))

    return loop(lambda now: _going(now, most), advance, start)


def _end(
    fitted: Fitted, target: Array, unit: Array, side: Array, search: _Search
) -> Float[Array, ""]:
    """Return the end that a search has found, with its derivatives; NaN without one."""
    fixed = lax.stop_gradient(fitted)
    found = jnp.sum(unit * to_vector(fixed.params)) + side * search.distance
    # One more step along the curve of the drop, 0 but for its derivatives: they are
    # those of the end, as the data and the level change; (42).
    point = search.theta * (1 - unit) + found * unit
    problem = fixed.problem
    penalties = (problem.l2, problem.jeffreys)
    _, gradient = objective(to_params(point), problem.samples, *penalties)
    slope = fixed.total() * jnp.sum(to_vector(gradient) * unit)
    missing = jnp.square(target) / 2 - _drop(fitted, point)
    found = found + (missing - lax.stop_gradient(missing)) / slope
    return jnp.where(search.status == Status.CONVERGED, found, jnp.nan)


def _after(now: _Search, missing: Array, slope: Array, longest: Array) -> _Search:
    """Return the search after a Newton step, which stays inside the bracket.

    Args:
        now: the search before it.
        missing: the target less rho at the distance that was tried.
        slope: that of rho in the distance.
        longest: the longest step.
    """
    step = missing / slope
    below = missing > 0
    low = jnp.where(below, now.distance, now.low)
    high = jnp.where(below, now.high, now.distance)
    usable = (slope > 0) & (jnp.abs(step) <= longest)
    new = now.distance + jnp.where(below, longest, -longest)
    new = jnp.where(usable, now.distance + step, new)
    middle = jnp.where(jnp.isfinite(high), (low + high) / 2, low + longest)
    new = jnp.where((new > low) & (new < high), new, middle)
    # The step that follows a near miss squares it.
    near = 4 * float(np.finfo(step.dtype).eps) ** 0.5
    found = usable & (jnp.abs(missing) <= near)
    new = jnp.where(found, now.distance + step, new)
    status = jnp.where(found, Status.CONVERGED, Status.MAX_STEPS).astype(jnp.int32)
    return _Search(new, now.theta, low, high, status, now.fits + 1)
