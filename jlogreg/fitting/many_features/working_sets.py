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
from jaxtyping import Array

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

__all__ = ["fit_on_working_sets"]

# A working set has at least this many features, and grows by as many as it has.
MIN_WIDTH = 64
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
    eps = float(np.finfo(dtype).eps)
    l1 = np.broadcast_to(np.asarray(problem.l1), (n, 1))[:, 0]
    params = init_params(n, dtype) if init is None else init
    chosen = (np.asarray(params.w)[:, 0] != 0) | (l1 == 0)
    fit, gap, steps = None, np.inf, 0
    while True:
        # The features that may have a weight, those first that leave 0 the soonest.
        size, unit = _slopes(problem, params)
        slack = (2 * min(gap, 1) ** 0.5 + ROUNDINGS * eps) * unit
        may_move = (size >= l1 - slack) & ~chosen
        if fit is not None and not may_move.any():
            break
        room = max(MIN_WIDTH - int(chosen.sum()), int(chosen.sum()))
        ratio = np.where(may_move, size / np.where(l1 > 0, l1, 1.0), -1.0)
        order = np.argsort(-ratio, kind="stable")[:room]
        chosen[order[may_move[order]]] = True
        # Fit them alone, from where the others have ended.
        fit, params = _fit_rows(solve, problem, np.flatnonzero(chosen), params)
        gap, steps = float(fit.gap), steps + int(fit.steps)
        if fit.status not in (Status.CONVERGED, Status.SINGULAR):
            break
    total = as_array(np.int32(steps), np.int32)
    return fit._replace(params=params, steps=total)


def _fit_rows(
    solve: Callable[[Problem, Params], Any],
    problem: Problem,
    rows: np.ndarray,
    params: Params,
) -> tuple[Any, Params]:
    """Return the fit of some features, and its parameters among all of them.

    The width is a power of two, so that few programs are compiled; what is left over
    are features of zeros.
    """
    n, count = problem.samples.X.shape[0], len(rows)
    width = max(MIN_WIDTH, 1 << max(count - 1, 0).bit_length())
    places = as_array(np.pad(rows, (0, width - count), constant_values=n), jnp.int32)
    fit = solve(*_some_features(problem, params, places))
    w = np.zeros_like(np.asarray(params.w))
    w[rows] = np.asarray(fit.params.w)[:count]
    return fit, Params(as_array(w), fit.params.b)


@program
def _some_features(
    problem: Problem, params: Params, rows: Array
) -> tuple[Problem, Params]:
    """Return the problem of some features; a feature of zeros has the penalty 1."""

    def of_rows(penalty: Array | None) -> Array:
        column = jnp.broadcast_to(jnp.asarray(penalty), (n, 1))
        return jnp.take(column, rows, axis=0, mode="fill", fill_value=1)

    n = problem.samples.X.shape[0]
    X = Dense(take_features(problem.samples.X, rows))
    free = problem.free
    if free is not None:
        free = jnp.concatenate([jnp.ones((len(rows), 1), free.dtype), free[-1:]])
    samples = problem.samples._replace(X=X)
    some = Problem(samples, of_rows(problem.l2), free, of_rows(problem.l1))
    w = jnp.take(params.w, rows, axis=0, mode="fill", fill_value=0)
    return some, params._replace(w=w)


def _slopes(problem: Problem, params: Params) -> tuple[np.ndarray, np.ndarray]:
    """Return the size of each weight's gradient without l1, and its unit, both (n,).

    The unit is the root of the curvature: a change of the logits by a step of 1.
    """
    slope, curvature = jax.device_get(_derivatives(problem, params))
    return np.abs(slope[:, 0]), np.sqrt(curvature[:, 0])


@program
def _derivatives(problem: Problem, params: Params) -> tuple[Array, Array]:
    samples = problem.samples

    def diagonal(part: Samples, params: Params) -> Array:
        s = part.weighted(log_loss_dz2(FAST, part.logits(params)))
        return part.X.gram_diagonal(s)

    _, slope = objective(params, samples, problem.l2)
    curvature = sum_over_samples(diagonal, samples, params) / samples.total_weight()
    return slope.w, curvature
