"""The null model: the covariates alone, where the fit of every feature starts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import largest
from jlogreg.base.programs import program
from jlogreg.data.design import Design
from jlogreg.data.pairwise import Pairwise, pairwise
from jlogreg.data.samples import Samples
from jlogreg.data.standardized import standardize
from jlogreg.fitting.options import free_unknowns
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss_dz, log_loss_dz2
from jlogreg.solvers.cholesky import Factor, factorize

__all__ = [
    "NewtonStep",
    "NullModel",
    "fit_covariates",
    "fit_null_model",
    "last_variance",
    "newton_step",
]

# Newton steps for the covariates alone.
NULL_STEPS = 10


class NullModel(NamedTuple):
    """The model without any feature: the covariates, and where the fits start.

    Shapes: rows stands for (q, m), the covariates, standardised, above a row of ones;
    without a bias, the covariates over their standard deviations. row_max (q,) their
    largest |entries|; theta (q, 1) their parameters, and z (1, m) their logits; samples
    hold labels, weights and offset; tol (); free that of the fit of a feature;
    converged (), whether theta is a minimum.
    """

    rows: Pairwise
    theta: Float[Array, "q 1"]
    z: Float[Array, "1 m"]
    row_max: Float[Array, " q"]
    samples: Samples
    tol: Array
    free: Float[Array, "p+2 1"] | None
    converged: Bool[Array, ""]


@partial(program, static_argnums=(1, 2))
def fit_null_model(samples: Samples, alone: bool, bias: bool, tol: Array) -> NullModel:
    """Return the null model, after a few Newton steps with the covariates alone.

    Args:
        samples: the covariates, labels, weights and offset, checked.
        alone: whether there are no covariates.
        bias: whether the models have a bias.
        tol: as for `fit`.
    """
    # The covariates, standardised, above a row of ones.
    ones = jnp.ones_like(samples.y)
    rows = ones if bias else ones[:0]
    if not alone:
        covariates = standardize(samples.X, samples.weight)
        if not bias:
            covariates = replace(covariates, mean=jnp.zeros_like(covariates.mean))
        kept = samples.weights() > 0
        rows = jnp.concatenate([jnp.where(kept, covariates.dense(), 0.0), rows])
    X = pairwise(rows)

    row_max = largest(jnp.abs(rows), 1)
    zero = jnp.zeros((len(rows), 1), rows.dtype)
    theta, z, converged = fit_covariates(X, samples, zero, row_max, tol, NULL_STEPS)
    return NullModel(
        rows=X,
        theta=theta,
        z=z,
        row_max=row_max,
        samples=samples,
        tol=tol,
        free=free_unknowns(bias, samples.X.shape[0] + 1, rows.dtype),
        converged=converged,
    )


def fit_covariates(
    X: Design, samples: Samples, theta: Array, row_max: Array, tol: Array, steps: int
) -> tuple[Array, Array, Array]:
    """Return parameters after Newton steps, their logits, and whether they converged.

    The features' fits may start anywhere, so these steps need no safeguard but that
    numbers stay finite. Equation (18) of docs/derivation.md.

    Args:
        X: the rows of the null model.
        samples: its samples, or some of them.
        theta: where to start.
        row_max: the largest |entries| of the rows.
        tol: the largest change of a logit by another step.
        steps: how many.
    """
    if not len(theta):
        z = samples.add_offset(X.forward(theta))
        return theta, z, jnp.ones((), bool)

    def advance(theta: Array, _: None) -> tuple[Array, None]:
        z = samples.add_offset(X.forward(theta))
        new = theta - newton_step(X, samples, z).vector
        return jnp.where(jnp.isfinite(new).all(), new, theta), None

    theta, _ = lax.scan(advance, theta, length=steps)
    z = samples.add_offset(X.forward(theta))
    step = newton_step(X, samples, z)
    moved = jnp.sum(jnp.abs(step.vector[:, 0]) * row_max)
    return theta, z, (moved <= tol) & ~step.singular


class NewtonStep(NamedTuple):
    """A Newton step, and two numbers of the Hessian of the summed losses.

    Shapes: vector (k, 1), H^-1 g; predicted_decrease (), gT H^-1 g; variance (), the
    last entry of the diagonal of H^-1; singular (), whether H has no inverse.
    """

    vector: Float[Array, "k 1"]
    predicted_decrease: Float[Array, ""]
    variance: Float[Array, ""]
    singular: Bool[Array, ""]


def newton_step(X: Design, samples: Samples, z: Array) -> NewtonStep:
    """Return Newton's step at logits z (1, m), by equation (18)."""
    dz = samples.weighted(log_loss_dz(FAST, z, samples.y))
    dz, s = lax.optimization_barrier((dz, samples.weighted(log_loss_dz2(FAST, z))))
    slope, factor = X.adjoint(dz), factorize(X.gram(s), repaired=False)
    vector = factor.solve(slope)
    decrease, variance = jnp.sum(vector * slope), last_variance(factor)
    return NewtonStep(vector, decrease, variance, factor.singular)


def last_variance(factor: Factor) -> Float[Array, ""]:
    """Return the last entry of the diagonal of the inverse of a factorized matrix."""
    return jnp.square(factor.scale[-1, 0] / factor.L[-1, -1])
