"""The null model: the covariates alone, where the fit of every feature starts."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.base.checks import check_matrix, check_range, refuse_traced
from jlogreg.data.design import Design
from jlogreg.data.pairwise import Pairwise, pairwise
from jlogreg.data.samples import Samples, check_samples, prepare_samples, weighted
from jlogreg.data.standardized import standardize
from jlogreg.fitting.options import check_limits
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss_dz, log_loss_dz2
from jlogreg.solvers.cholesky import factorize
from jlogreg.solvers.newton import Newton

__all__ = [
    "ON_HOST",
    "NewtonStep",
    "NullModel",
    "check_scan",
    "fit_null_model",
    "newton_step",
    "null_logits",
]

# What refuses traced arguments, and what to do instead.
ON_HOST = ("a scan", "map fit over Stacked designs with jax.vmap instead")


# Newton's steps for the covariates alone.
NULL_STEPS = 10


class NullModel(NamedTuple):
    """Hold what all features share: the samples, and where the fits start.

    Shapes: rows stands for (q, m), the covariates, standardised, above a row of ones;
    theta (q, 1) their parameters without a feature, and z (1, m) their logits; reach
    (q,) their largest |entries|; samples have what else is known; tol ().
    """

    rows: Pairwise
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
    samples = prepare_samples(check_samples(X, y, weight, offset))
    tol, _ = check_limits(Newton(), tol, None, y.dtype)
    return samples, alone, tol


@partial(jax.jit, static_argnums=1)
def fit_null_model(samples: Samples, alone: bool, tol: Array) -> NullModel:
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
    X = pairwise(rows)

    def advance(theta: Array, _: None) -> tuple[Array, None]:
        new = theta - newton_step(X, samples, null_logits(X, samples, theta)).vector
        return jnp.where(jnp.isfinite(new).all(), new, theta), None

    zero = jnp.zeros((rows.shape[0], 1), rows.dtype)
    theta, _ = lax.scan(advance, zero, length=NULL_STEPS)
    z = null_logits(X, samples, theta)
    return NullModel(X, theta, z, jnp.abs(rows).max(axis=1), samples, tol)


def null_logits(X: Design, samples: Samples, theta: Array) -> Float[Array, "1 m"]:
    """Return the logits (1, m), offset included, at theta (q, 1)."""
    return samples.with_offset(X.forward(theta))


class NewtonStep(NamedTuple):
    """Hold Newton's step (k, 1), and what the Hessian says.

    Shapes: fall (), the step times the slope; variance (), the last entry of the
    inverse's diagonal; singular () whether there is none.
    """

    vector: Float[Array, "k 1"]
    fall: Float[Array, ""]
    variance: Float[Array, ""]
    singular: Bool[Array, ""]


def newton_step(X: Design, samples: Samples, z: Array) -> NewtonStep:
    """Return Newton's step at logits z (1, m), by equation (18)."""
    dz = weighted(log_loss_dz(FAST, z, samples.y), samples)
    dz, s = lax.optimization_barrier((dz, weighted(log_loss_dz2(FAST, z), samples)))
    slope, factor = X.adjoint(dz), factorize(X.gram(s), repaired=False)
    vector = factor.solve(slope)
    variance = jnp.square(factor.scale[-1, 0] / factor.L[-1, -1])
    return NewtonStep(vector, jnp.sum(vector * slope), variance, factor.singular)
