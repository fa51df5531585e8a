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
from jaxtyping import Array, Float, Int

from jlogreg.base.status import Status
from jlogreg.data.design import Dense, Design, Stacked
from jlogreg.data.samples import Samples
from jlogreg.feature_scan.null_model import (
    NewtonStep,
    NullModel,
    newton_step,
    null_logits,
)
from jlogreg.fitting.fit import fit
from jlogreg.fitting.implicit import inverse_hessian
from jlogreg.formulations.problem import Problem

__all__ = ["Scan", "fit_scan", "newton_scan"]


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
def newton_scan(
    steps: int, missing: bool, width: int, null: NullModel, G: Array
) -> Scan:
    """Return what a few steps from the null fit find: CONVERGED, or MAX_STEPS."""

    def one(g: Array) -> Scan:
        number, out = _numbers(g[None], null.z.dtype)
        samples = null.samples
        if missing:
            samples = samples._replace(weight=_weight(samples, out))
        X = Stacked(null.rows, Dense(number))
        theta = jnp.append(null.theta, jnp.zeros_like(null.theta[:1]), axis=0)

        def advance(now: tuple[Array, NewtonStep], _: None) -> tuple[Any, None]:
            theta = now[0] - now[1].vector
            return (
                theta,
                newton_step(X, samples, null_logits(X, samples, theta)),
            ), None

        # The first step is taken from what all features share.
        start = (theta, newton_step(X, samples, null.z))
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


@jax.jit
def fit_scan(null: NullModel, G: Array) -> Scan:
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
