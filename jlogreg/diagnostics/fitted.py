"""A fit with its problem, in centred unknowns: what is computed of it starts here.

In centred unknowns products of features keep their digits where these are far from
zero; equation (28) of docs/derivation.md.
"""

# Over 300 lines: the fit of one problem or of many, its checks, its parts by sample.

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jlogreg.base.arrays import as_array, is_traced, power_of_two
from jlogreg.base.checks import check_matrix
from jlogreg.base.errors import DtypeError, RankError, ShapeError
from jlogreg.base.params import Params
from jlogreg.base.shapes import as_labels
from jlogreg.base.status import Status
from jlogreg.data.design import check_design
from jlogreg.data.devices.spread import gather
from jlogreg.fitting.implicit import centered_inverse_hessian
from jlogreg.fitting.options import free_unknowns
from jlogreg.fitting.solve import center_problem
from jlogreg.formulations.centering import Centering
from jlogreg.formulations.problem import (
    Problem,
    cost_and_slope,
    restricted,
    ridge,
    to_vector,
)
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss_dz, log_loss_dz2
from jlogreg.objective.cost import prepare_problem

__all__ = [
    "Fitted",
    "Given",
    "PerSample",
    "answer_of",
    "check_enough_samples",
    "check_reached",
    "is_reached",
    "over_problems",
    "per_sample",
    "prepare_fit",
    "reached_status",
    "to_original",
]

# Parameters within this distance of the minimum, in standard errors, count as it.
MAX_DISTANCE = 0.01
# The roundings of parameters and gradient that may add to the distance, in eps.
ROUNDINGS = 64


class Given(NamedTuple):
    """A fit and its problem as the user gives them, checked.

    Shapes: params w (n, 1), b (1, 1); status (); unit (), which the given weights were
    divided by.
    """

    params: Params
    problem: Problem
    status: Int[Array, ""]
    unit: Float[Array, ""]


class Fitted(NamedTuple):
    """A fit and its problem, in centred unknowns.

    Shapes: params w (n, 1), b (1, 1); status (); unit (), which the given weights were
    divided by.
    """

    params: Params
    problem: Problem
    centering: Centering
    status: Int[Array, ""]
    unit: Float[Array, ""]

    @classmethod
    def of(cls, given: Given) -> Fitted:
        """Return the fit in centred unknowns."""
        problem, centering = center_problem(given.problem)
        params = centering.to_centered(given.params)
        return cls(params, problem, centering, given.status, given.unit)

    def total(self) -> Float[Array, ""]:
        """Return V, the sum of the given weights, or the number of samples.

        NaN where it overflows: errors of infinitely many samples would be 0.
        """
        total = self.unit * jnp.asarray(self.samples_total, self.unit.dtype)
        return jnp.where(jnp.isfinite(total), total, jnp.nan)

    @property
    def samples_total(self) -> Any:
        """The sum of the weights as they are in the problem."""
        return self.problem.samples.total_weight()

    def solve(self, right: Float[Array, "n+1 c"]) -> Float[Array, "n+1 c"]:
        """Return H^-1 right."""
        return centered_inverse_hessian(self.problem, self.params, right)

    def unknowns(self) -> int:
        """Return the number of unknowns that are free."""
        return self.problem.samples.X.shape[0] + (self.problem.free is None)


def prepare_fit(
    fit: Any,
    X: Any,
    y: Any,
    weight: Any,
    offset: Any,
    l2: Any,
    bias: bool,
    jeffreys: Any = 0.0,
) -> Given:
    """Return a fit of one problem with that problem, all of it checked.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number that is not traced is out of range, NaN or infinite.
    """
    _check_fit(fit, "status", "params")
    fit, X, y, weight, offset = gather((fit, X, y, weight, offset))
    given = (fit.params, X, y, weight, offset, l2, jeffreys, bias)
    params, samples, l2, prior = prepare_problem(*given)
    n, dtype = samples.X.shape[0], samples.X.dtype
    problem = Problem(samples, l2, free_unknowns(bias, n, dtype), jeffreys=prior)
    scaled = weight is not None and prior is None
    unit = power_of_two(as_array(weight)) if scaled else as_array(1.0, dtype)
    return Given(params, problem, as_array(fit.status, jnp.int32), unit)


def _check_fit(fit: Any, *fields: str) -> None:
    """Raise a DtypeError unless a fit has these fields."""
    if not all(hasattr(fit, field) for field in fields):
        raise DtypeError(
            f"fit must be the result of fit or fit_many, but is of type "
            f"{type(fit).__name__}"
        )


def over_problems(
    function: Callable[..., Any],
    fit: Any,
    X: Any,
    *rows: Any,
    l2: Any = 0.0,
    jeffreys: Any = 0.0,
) -> Any:
    """Return function(fit, *rows, l2, jeffreys), or mapped over the problems of a fit.

    Shapes: rows (1, m) or None; of K problems (K, m), or (1, m) for all. l2 and
    jeffreys as in `fit` or, of K problems, as in `fit_many`: a number or a column
    (K, 1).

    Raises:
        RankError, ShapeError: if the fit or an argument has the wrong rank or shape.
    """
    _check_fit(fit, "status")
    rank = np.ndim(fit.status)
    if rank == 0:
        return function(fit, *rows, l2, jeffreys)
    if rank > 1:
        raise RankError(
            f"fit.status has rank {rank}, but must be of one problem, rank 0, or of K, "
            "rank 1: map over more with jax.vmap"
        )
    (K,), design = np.shape(fit.status), check_design("X", X)
    (_, m), (y, *others) = design.shape, rows
    rows = (as_labels(y, design.dtype), *others)
    names = ("y", "weight", "offset")
    tables = [
        None if row is None else _check_rows(name, row, m, K)
        for name, row in zip(names, rows, strict=True)
    ]
    strengths = [
        check_matrix(name, value, (K, 1))[:, 0] if getattr(value, "ndim", 0) else value
        for name, value in (("l2", l2), ("jeffreys", jeffreys))
    ]
    axes = [0 if table is not None and table.ndim == 3 else None for table in tables]
    axes += [0 if getattr(value, "ndim", 0) else None for value in strengths]
    return jax.vmap(function, in_axes=(0, *axes))(fit, *tables, *strengths)


def _check_rows(name: str, value: Any, m: int, K: int) -> Array:
    """Return rows (K, m) as (K, 1, m), and a row for all problems as (1, m)."""
    rows = check_matrix(name, value, ("K", m))
    if len(rows) not in (1, K):
        raise ShapeError(
            f"{name} has {len(rows)} rows, but the fit is of {K} problems: give one "
            "row a problem, or one for all"
        )
    return rows if len(rows) == 1 else rows[:, None]


def check_enough_samples(given: Given) -> None:
    """Raise a ShapeError if no covariance can exist: as many unknowns as samples.

    With a penalty one does.
    """
    (n, m), l2 = given.problem.samples.X.shape, given.problem.l2
    if n >= m and not is_traced(l2) and not np.asarray(l2).all():
        raise ShapeError(
            f"X has shape ({n}, {m}): with as many features as samples the estimates "
            "have no covariance; drop features, or fit with a penalty l2 on each"
        )


def is_reached(fitted: Fitted) -> tuple[Bool[Array, ""], Float[Array, ""]]:
    """Return whether a fit is the minimum of its problem, and its distance from it.

    sqrt(V gT H^-1 g) is in standard errors; equations (18) and (27) of
    docs/derivation.md. Another penalty, weight or offset than that of the fit leads
    away.
    """
    params, problem = fitted.params, fitted.problem
    _, g = cost_and_slope(problem, params)
    size, eps = jnp.sqrt(fitted.total()), float(np.finfo(g.dtype).eps)
    squared = jnp.sum(g * fitted.solve(g))
    distance = size * jnp.sqrt(jnp.where(squared < 0, 0.0, squared))
    # A bias that makes up for features far from zero is rounded.
    shift = fitted.centering.shift(params.w)
    roundings = ROUNDINGS + jnp.abs(jnp.asarray(shift, g.dtype)).sum()
    near = distance <= MAX_DISTANCE + size * eps * roundings
    return (fitted.status == Status.CONVERGED) & near, distance


def reached_status(status: Array, reached: Array) -> Int[Array, ""]:
    """Return the status of a fit, BAD_INPUT if it is not the minimum of its problem."""
    elsewhere = (status == Status.CONVERGED) & ~reached
    return jnp.where(elsewhere, Status.BAD_INPUT, status).astype(jnp.int32)


def check_reached(status: Any, reached: Any, distance: Any) -> None:
    """Raise a ValueError if a fit that converged is not the minimum of its problem.

    Where this is traced it is not known, and the results are NaN.
    """
    if is_traced(reached) or status != Status.CONVERGED or reached:
        return
    if not np.isfinite(distance):
        raise ValueError(
            "the fit is so far from the minimum of the cost of these arguments, or "
            "weight so large, that numbers overflow: give the arguments as in the "
            "fit, and weights whose sum is finite"
        )
    raise ValueError(
        f"the fit is {float(distance):.2g} standard errors from the minimum of the "
        "cost of these arguments: give X, y, weight, offset, l2, jeffreys and bias "
        "as in the fit"
    )


def answer_of(
    compute: Callable[[Given], Any],
    fit: Any,
    X: Any,
    *rows: Any,
    l2: Any,
    bias: bool,
    jeffreys: Any = 0.0,
) -> Any:
    """Return what is computed of a fit, or of K fits, each of which is a minimum.

    compute returns a result, whether the minimum is reached, and the distance from it.
    """

    def one(fit: Any, y: Any, weight: Any, offset: Any, l2: Any, tau: Any) -> Any:
        given = prepare_fit(fit, X, y, weight, offset, l2, bias, tau)
        result, reached, distance = compute(given)
        check_reached(given.status, reached, distance)
        return result

    return over_problems(one, fit, X, *rows, l2=l2, jeffreys=jeffreys)


class PerSample(NamedTuple):
    """What a sandwich, an influence or a residual needs of each sample.

    Shapes: columns (n + 1, m), the centred features above a row of ones; solved (n + 1,
    m), H^-1 columns; shrinkage (n + 1, 1), H^-1 times the gradient of the penalty; z,
    dz, dz2 and weight (1, m), the weights as they are in the problem; total (), their
    sum.
    """

    columns: Array
    solved: Array
    shrinkage: Array
    z: Array
    dz: Array
    dz2: Array
    weight: Array
    total: Array

    def slopes(self) -> Float[Array, "n+1 m"]:
        """Return H^-1 (x_i dz_i + l2 theta): -V times the influence; equation (23)."""
        return self.solved * self.dz + self.shrinkage

    def leverage(self) -> Float[Array, "1 m"]:
        """Return x_iT H^-1 x_i / sum(v), without the sample's own weight."""
        return jnp.sum(self.columns * self.solved, axis=0, keepdims=True) / self.total


def per_sample(fitted: Fitted) -> PerSample:
    """Return the parts at the fitted parameters, with one factorization of H."""
    samples, params = fitted.problem.samples, fitted.params
    columns = jnp.concatenate([samples.X.dense(), jnp.ones_like(samples.y)])
    columns = restricted(columns, fitted.problem.free)
    z = samples.logits(params)
    # H^-1 for all right-hand sides at once: the samples, and the penalty's gradient.
    penalty = ridge(fitted.problem) * to_vector(params)
    solved = fitted.solve(jnp.concatenate([columns, penalty], axis=1))
    return PerSample(
        columns=columns,
        solved=solved[:, :-1],
        shrinkage=solved[:, -1:],
        z=z,
        dz=log_loss_dz(FAST, z, samples.y),
        dz2=log_loss_dz2(FAST, z),
        weight=samples.weights(),
        total=jnp.asarray(samples.total_weight(), z.dtype),
    )


def to_original(
    fitted: Fitted, covariance: Float[Array, "n+1 n+1"]
) -> Float[Array, "n+1 n+1"]:
    """Return a covariance in w and b for one in centred unknowns."""
    half = fitted.centering.step_to_original(covariance)
    return fitted.centering.step_to_original(half.T).T
