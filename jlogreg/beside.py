"""Fit one feature beside covariates, starting from the covariates alone.

What all features share - the covariates, their products, the fit without any feature -
is held once. A few of Newton's steps from there are enough for most features; what they
end in is certified as `fit` would, and what is not, `fit` can do. Section 14 of
docs/derivation.md.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Bool, Float, Int

from jlogreg.checks import check_matrix, check_range
from jlogreg.design import Dense, Design, Stacked
from jlogreg.fit import check_limits, fit
from jlogreg.implicit import inverse_hessian
from jlogreg.losses import log_loss_dz, log_loss_dz2
from jlogreg.objectives import Problem
from jlogreg.paired import Paired, paired
from jlogreg.samples import Samples, check_samples
from jlogreg.solvers.factor import factorise
from jlogreg.solvers.newton import Newton
from jlogreg.standardized import standardize
from jlogreg.status import Status
from jlogreg.tails import FAST
from jlogreg.totals import weighted
from jlogreg.validate import check_sample_values, refuse_traced

__all__ = ["ON_HOST", "Null", "Scan", "by_fit", "by_newton", "check_scan", "null_of"]


# What refuses traced arguments, and what to do instead.
ON_HOST = ("a scan", "map fit over Stacked designs with jax.vmap instead")
# Newton's steps for the covariates alone.
NULL_STEPS = 10


class Scan(NamedTuple):
    """Hold what a scan found of each feature, for V of them.

    Shapes: all (V, 1). estimate is the feature's weight beside the covariates;
    standard_error that of the Fisher information; z their ratio; log10_p the logarithm
    to the base 10 of Wald's two-sided p-value, which does not underflow; status a
    Status, and where it is not CONVERGED the others are NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> from jlogreg import scan_features
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> G = np.array([[0, 1, 1, 2, 1, 2], [1, 0, 2, 1, -1, 0]], np.int8)
        >>> scan = scan_features(G, None, y)
        >>> [f"{z:.2f}" for z in scan.z[:, 0]], scan.status.tolist()
        (['0.58', '0.48'], [[0], [0]])
    """

    estimate: Float[Array, "V 1"]
    standard_error: Float[Array, "V 1"]
    z: Float[Array, "V 1"]
    log10_p: Float[Array, "V 1"]
    status: Int[Array, "V 1"]


class Null(NamedTuple):
    """Hold what all features share: the samples, and where the fits start.

    Shapes: rows stands for (q, m), the covariates, standardised, above a row of ones;
    theta (q, 1) their parameters without a feature, and z (1, m) their logits; reach
    (q,) their largest |entries|; samples have what else is known; tol ().
    """

    rows: Paired
    theta: Float[Array, "q 1"]
    z: Float[Array, "1 m"]
    reach: Float[Array, " q"]
    samples: Samples
    tol: Array


def check_scan(
    covariates: Any, y: Any, weight: Any, offset: Any, tol: Any
) -> tuple[Samples, bool, Array]:
    """Return the samples, whether features stand alone, and the tolerance, checked.

    Raises:
        DtypeError, RankError, ShapeError: an argument is no such array.
        TypeError: an argument is traced.
        ValueError: a number is out of range, NaN or infinite.
    """
    refuse_traced(*ON_HOST, covariates, y, weight, offset, tol)
    y = check_matrix("y", y, (1, "m"))
    alone = covariates is None
    X = y if alone else check_matrix("covariates", covariates, ("p", "m"), y.dtype)
    used = X
    if weight is not None:
        weight = check_matrix("weight", weight, (1, y.shape[1]), y.dtype)
        used = jnp.where(weight == 0, 0.0, X)
    check_range("covariates", used)
    samples = check_sample_values(check_samples(X, y, weight, offset))
    tol, _ = check_limits(Newton(), tol, None, y.dtype)
    return samples, alone, tol


@partial(jax.jit, static_argnums=1)
def null_of(samples: Samples, alone: bool, tol: Array) -> Null:
    """Return what all features share, after a few of Newton's steps without any.

    Any start will do, so they need no safeguards but that numbers stay finite.

    Args:
        samples: the covariates, labels, weights and offset, checked.
        alone: whether there are no covariates.
        tol: as for `fit`.
    """
    rows = jnp.ones_like(samples.y)
    if not alone:
        covariates = samples.X.dense()
        if samples.weight is not None:
            # What is left out has no say in the scale.
            kept = samples.weight > 0
            total = jnp.where(kept, covariates, 0.0).sum(axis=1, keepdims=True)
            mean = total / kept.sum(dtype=total.dtype)
            covariates = jnp.where(kept, covariates, mean)
        rows = jnp.concatenate([standardize(covariates).dense(), rows])
    X = paired(rows)

    def advance(theta: Array, _: None) -> tuple[Array, None]:
        new = theta - _step(X, samples, _logits(X, samples, theta)).vector
        return jnp.where(jnp.isfinite(new).all(), new, theta), None

    zero = jnp.zeros((rows.shape[0], 1), rows.dtype)
    theta, _ = lax.scan(advance, zero, length=NULL_STEPS)
    z = _logits(X, samples, theta)
    return Null(X, theta, z, jnp.abs(rows).max(axis=1), samples, tol)


def _logits(X: Design, samples: Samples, theta: Array) -> Float[Array, "1 m"]:
    return samples.with_offset(X.forward(theta))


def _numbers(g: Array, dtype: Any) -> tuple[Array, Array]:
    """Return a feature as floats, 0 where it is missing, and where it is."""
    if jnp.issubdtype(g.dtype, jnp.floating):
        return jnp.where(jnp.isnan(g), 0.0, g), jnp.isnan(g)
    out = g == -1
    number = jnp.where(out, 0, g).astype(dtype)
    return jnp.where(number < 0, jnp.inf, number), out


def _weight(samples: Samples, out: Array) -> Array:
    """Return the weights, 0 where a feature is missing."""
    weight = jnp.ones_like(samples.y) if samples.weight is None else samples.weight
    return jnp.where(out, 0.0, weight)


def _result(estimate: Array, variance: Array, status: Array) -> Scan:
    """Return what is reported of one feature."""
    good = status == Status.CONVERGED
    estimate = jnp.where(good, estimate, jnp.nan)
    error = jnp.where(good, jnp.sqrt(variance), jnp.nan)
    z = estimate / error
    log10_p = (log_ndtr(-jnp.abs(z)) + math.log(2)) / math.log(10)
    rows = (estimate, error, z, log10_p, status.astype(jnp.int32))
    return Scan(*(row.reshape(1) for row in rows))


@partial(jax.jit, static_argnums=(0, 1, 2))
def by_newton(steps: int, missing: bool, width: int, null: Null, G: Array) -> Scan:
    """Return what a few steps from the null fit find: CONVERGED, or MAX_STEPS."""

    def one(g: Array) -> Scan:
        number, out = _numbers(g[None], null.z.dtype)
        samples = null.samples
        if missing:
            samples = samples._replace(weight=_weight(samples, out))
        X = Stacked(null.rows, Dense(number))
        theta = jnp.append(null.theta, jnp.zeros_like(null.theta[:1]), axis=0)

        def advance(now: tuple[Array, _Step], _: None) -> tuple[Any, None]:
            theta = now[0] - now[1].vector
            return (theta, _step(X, samples, _logits(X, samples, theta))), None

        # The first step is taken from what all features share.
        start = (theta, _step(X, samples, null.z))
        (theta, step), _ = lax.scan(advance, start, length=steps)
        # No logit moves by more than this: the same test as in `fit`.
        reach = jnp.append(null.reach, jnp.abs(number).max())[:, None]
        moved = jnp.sum(jnp.abs(step.vector) * reach)
        total = samples.y.shape[1] if samples.weight is None else samples.weight.sum()
        decrement = jnp.sqrt(step.fall / total)
        small = (moved <= null.tol) & (decrement <= null.tol) & ~step.singular
        status = jnp.where(small, Status.CONVERGED, Status.MAX_STEPS)
        return _result((theta - step.vector)[-1], step.variance, status)

    # Many batches in one call, which gives them all the memory that one has touched.
    return lax.map(one, G, batch_size=width)


class _Step(NamedTuple):
    """Hold Newton's step (k, 1), and what the Hessian says.

    Shapes: fall (), the step times the slope; variance (), the last entry of the
    inverse's diagonal; singular () whether there is none.
    """

    vector: Float[Array, "k 1"]
    fall: Float[Array, ""]
    variance: Float[Array, ""]
    singular: Bool[Array, ""]


def _step(X: Design, samples: Samples, z: Array) -> _Step:
    dz = weighted(log_loss_dz(FAST, z, samples.y), samples)
    dz, s = lax.optimization_barrier((dz, weighted(log_loss_dz2(FAST, z), samples)))
    slope, factor = X.adjoint(dz), factorise(X.gram(s), repaired=False)
    vector = factor.solve(slope)
    variance = jnp.square(factor.scale[-1, 0] / factor.L[-1, -1])
    return _Step(vector, jnp.sum(vector * slope), variance, factor.singular)


@jax.jit
def by_fit(null: Null, G: Array) -> Scan:
    """Return what `fit` finds, whatever it takes."""

    def one(g: Array) -> Scan:
        number, out = _numbers(g[None], null.z.dtype)
        _, y, _, offset = null.samples
        weight = _weight(null.samples, out)
        number = jnp.where((weight == 0) & ~jnp.isfinite(number), 0.0, number)
        X: Design = Dense(number)
        if null.rows.shape[0] > 1:  # more than the row of ones
            X = Stacked(Dense(null.rows.X[:-1]), X)
        found = fit(X, y, weight=weight, offset=offset, tol=null.tol)
        problem = Problem(Samples(X, y, weight, offset), jnp.zeros((), y.dtype))
        own = jnp.zeros((X.shape[0] + 1, 1), y.dtype).at[-2].set(1.0)
        solved = inverse_hessian(problem, found.params, own)
        return _result(found.params.w[-1], solved[-2] / weight.sum(), found.status)

    return jax.vmap(one)(G)
