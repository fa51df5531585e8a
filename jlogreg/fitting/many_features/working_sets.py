"""A fit with an L1 penalty of many features, on working sets of few.

Most weights end at 0, and a step of the solver costs a Hessian. So it is given only the
features that may have a weight: those with one, and those whose gradient is not below
their penalty. It is asked again, with more of them, until no other feature could have a
weight; then the minimum is that of all features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jlogreg.base.arrays import as_array
from jlogreg.base.params import Params, init_params
from jlogreg.base.programs import program
from jlogreg.base.status import Status
from jlogreg.data.design import Dense
from jlogreg.data.features import take_features
from jlogreg.data.reduction import sum_over_samples
from jlogreg.data.samples import Samples
from jlogreg.formulations.problem import Problem
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss_dz2
from jlogreg.objective.cost import objective

__all__ = [
    "derivatives",
    "fit_on_working_sets",
    "next_features",
    "set_width",
    "take_rows",
    "take_unknowns",
]

# A working set has at least this many features, and grows by as many as it has.
MIN_WIDTH = 64
# Before the first fit it grows by features whose gradient is this part of the penalty,
# and by so many or a quarter: twice as many have a Hessian of four times the size.
NEAR, MANY = 0.75, 192
# Roundings of a gradient, in the units of its feature, that may hide a weight.
ROUNDINGS = 64


def fit_on_working_sets(
    solve: Callable[[Problem, Params], Any], problem: Problem, init: Params | None
) -> Any:
    """Return the fit of a problem with l1 and many features; host only.

    A feature outside the last working set has |c_j| < l1_j at the dual point of the fit
    there, and no part in its duality gap, which is that of the whole: equation (51) of
    docs/derivation.md.

    Args:
        solve: fits a problem of few features from a start.
        problem: with l1.
        init: where to start.
    """
    n, dtype = problem.samples.X.shape[0], problem.samples.X.dtype
    l1 = np.broadcast_to(np.asarray(problem.l1), (n, 1))[:, 0]
    params = init_params(n, dtype) if init is None else init
    chosen = (np.asarray(params.w)[:, 0] != 0) | (l1 == 0)
    fit, gap, steps = None, np.inf, 0
    while True:
        slope, curvature = jax.device_get(_derivatives(problem, params))
        added = next_features(chosen, slope[:, 0], curvature[:, 0], l1, gap)
        if fit is not None and not added.any():
            break
        # Fit them alone, from where the others have ended.
        chosen |= added
        fit, params = _fit_rows(solve, problem, np.flatnonzero(chosen), params)
        gap, steps = float(fit.gap), steps + int(fit.steps)
        if fit.status not in (Status.CONVERGED, Status.SINGULAR):
            break
    total = as_array(np.int32(steps), np.int32)
    return fit._replace(params=params, steps=total)


def next_features(
    chosen: np.ndarray, slope: np.ndarray, curvature: np.ndarray, l1: Any, gap: Any
) -> np.ndarray:
    """Return the features that a working set lacks: those that may have a weight.

    Before the first fit, where all may have one, those near their penalty. Where the
    width of the set leaves room, also those that come nearest to theirs. None where no
    feature may have a weight.

    Shapes: all (..., n) or broadcast with it; result (..., n) mask.

    Args:
        chosen: mask of the working set.
        slope: the derivative of the cost without l1 in each weight.
        curvature: the second one.
        l1: the penalties.
        gap: of the last fit, (..., 1) or (); infinite before the first one.
    """
    # A gradient moves by a step's length in the units of its feature.
    eps = float(np.finfo(slope.dtype).eps)
    slack = (2 * np.minimum(gap, 1) ** 0.5 + ROUNDINGS * eps) * np.sqrt(curvature)
    size, penalty = np.abs(slope), np.where(l1 > 0, l1, 1.0)
    # A NaN may move, too: so the fit says that the problem has bad input.
    may_move = ~(size < l1 - slack) & ~chosen
    wanted = may_move & (np.isfinite(gap) | ~(size < NEAR * penalty))
    # At most as many again as there are; before the first fit not many more than have a
    # weight in the start, since most keep it; and others as far as the width has room.
    count = chosen.sum(axis=-1, keepdims=True)
    most = np.where(np.isfinite(gap), count, np.maximum(count // 4, MANY))
    room = set_width(count + np.minimum(wanted.sum(axis=-1, keepdims=True), most))
    first = np.where(chosen, -1.0, size / penalty + np.where(wanted, np.inf, 0.0))
    order = np.argsort(-first, axis=-1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(order.shape[-1]), axis=-1)
    lacks = may_move.any(axis=-1, keepdims=True)
    return ~chosen & lacks & (rank < room - count)


def set_width(count: Any) -> Any:
    """Return the widths of working sets with room for so many features each.

    2^k or 3 * 2^k, so that few programs are compiled.
    """
    power = 2 ** np.ceil(np.log2(np.maximum(count, MIN_WIDTH))).astype(int)
    between = 3 * power // 4
    return np.where((between >= count) & (between > 2 * MIN_WIDTH), between, power)


def _fit_rows(
    solve: Callable[[Problem, Params], Any],
    problem: Problem,
    rows: np.ndarray,
    params: Params,
) -> tuple[Any, Params]:
    """Return the fit of some features, and its parameters among all of them.

    What is left over of the width are features of zeros.
    """
    n, count = problem.samples.X.shape[0], len(rows)
    padding = (0, set_width(count) - count)
    places = as_array(np.pad(rows, padding, constant_values=n), jnp.int32)
    fit = solve(*_some_features(problem, params, places))
    w = np.zeros_like(np.asarray(params.w))
    w[rows] = np.asarray(fit.params.w)[:count]
    return fit, Params(as_array(w), fit.params.b)


@program
def _some_features(
    problem: Problem, params: Params, rows: Array
) -> tuple[Problem, Params]:
    start = params._replace(w=take_rows(params.w, rows, 0))
    features = take_features(problem.samples.X, rows)
    return take_unknowns(problem, rows, features), start


def take_unknowns(
    problem: Problem, rows: Int[Array, " p"], features: Float[Array, "p m"]
) -> Problem:
    """Return the problem of some features, given these; a row of n is one of zeros.

    Such a feature has the penalty 1, which keeps its weight at 0.
    """
    n = problem.samples.X.shape[0]

    def of_rows(penalty: Array | None) -> Array:
        column = jnp.broadcast_to(jnp.asarray(penalty), (n, 1))
        return take_rows(column, rows, 1)

    free = problem.free
    if free is not None:
        free = jnp.concatenate([jnp.ones((len(rows), 1), free.dtype), free[-1:]])
    samples = problem.samples._replace(X=Dense(features))
    return problem._replace(
        samples=samples, l2=of_rows(problem.l2), free=free, l1=of_rows(problem.l1)
    )


def take_rows(column: Array, rows: Int[Array, " p"], fill: int) -> Array:
    """Return some rows of a column (n, 1); a number for a row of n."""
    return jnp.take(column, rows, axis=0, mode="fill", fill_value=fill)


def derivatives(problem: Problem, params: Params) -> tuple[Array, Array]:
    """Return the gradient without l1 and the curvature along each weight, (n, 1)."""
    samples = problem.samples

    def diagonal(part: Samples, params: Params) -> Array:
        s = part.weighted(log_loss_dz2(FAST, part.logits(params)))
        return part.X.gram_diagonal(s)

    _, slope = objective(params, samples, problem.l2)
    curvature = sum_over_samples(diagonal, samples, params) / samples.total_weight()
    return slope.w, curvature


_derivatives = program(derivatives)
