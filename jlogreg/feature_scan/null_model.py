"""The null model: the covariates alone, where the fit of every feature starts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import largest
from jlogreg.base.checks import check_matrix, check_range, refuse_traced
from jlogreg.base.params import check_bias
from jlogreg.base.programs import program
from jlogreg.base.shapes import as_labels, check_orientation
from jlogreg.data.design import Design
from jlogreg.data.devices import gather
from jlogreg.data.pairwise import Pairwise, pairwise
from jlogreg.data.samples import Samples, check_samples, prepare_samples
from jlogreg.data.standardized import standardize
from jlogreg.fitting.options import check_limits, free_unknowns
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
]

# The words of the error for traced arguments: what runs on the host, and the cure.
ON_HOST = ("a scan", "map fit over Stacked designs with jax.vmap instead")
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


def check_scan(
    covariates: Any, y: Any, weight: Any, offset: Any, bias: bool, tol: Any
) -> tuple[Samples, bool, bool, Array]:
    """Return the samples, whether features stand alone, the flag of the bias, and tol.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        TypeError: if an argument is traced.
        ValueError: if a number is out of range, NaN or infinite.
    """
    refuse_traced(*ON_HOST, covariates, y, weight, offset, tol)
    covariates, y, weight, offset = gather((covariates, y, weight, offset))
    y = as_labels(y, getattr(covariates, "dtype", None))
    y = check_matrix("y", y, (1, "m"))
    X = y[:0] if covariates is None else covariates
    X = check_matrix("covariates", X, ("p", "m"), y.dtype, no_rows=True)
    check_orientation("covariates", X.shape, "y", y)
    alone = len(X) == 0
    used = X
    if weight is not None:
        weight = check_matrix("weight", weight, (1, y.shape[1]), y.dtype)
        used = jnp.where(weight == 0, 0.0, X)
    check_range("covariates", used)
    samples = prepare_samples(check_samples(X, y, weight, offset))
    tol, _ = check_limits(Newton(), tol, None, y.dtype)
    return samples, alone, check_bias(bias), tol


@partial(program, static_argnums=(1, 2))
def fit_null_model(samples: Samples, alone: bool, bias: bool, tol: Array) -> NullModel:
    """Return the null model, after a few Newton steps with the covariates alone.

    The features' fits may start anywhere, so these steps need no safeguard but that
    numbers stay finite. Equation (18) of docs/derivation.md.

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

    def advance(theta: Array, _: None) -> tuple[Array, None]:
        z = samples.add_offset(X.forward(theta))
        new = theta - newton_step(X, samples, z).vector
        return jnp.where(jnp.isfinite(new).all(), new, theta), None

    theta, row_max = jnp.zeros((len(rows), 1), rows.dtype), largest(jnp.abs(rows), 1)
    converged = jnp.ones((), bool)
    if len(rows):
        theta, _ = lax.scan(advance, theta, length=NULL_STEPS)
        step = newton_step(X, samples, samples.add_offset(X.forward(theta)))
        moved = jnp.sum(jnp.abs(step.vector[:, 0]) * row_max)
        converged = (moved <= tol) & ~step.singular
    return NullModel(
        rows=X,
        theta=theta,
        z=samples.add_offset(X.forward(theta)),
        row_max=row_max,
        samples=samples,
        tol=tol,
        free=free_unknowns(bias, samples.X.shape[0] + 1, rows.dtype),
        converged=converged,
    )


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
    variance = jnp.square(factor.scale[-1, 0] / factor.L[-1, -1])
    return NewtonStep(vector, jnp.sum(vector * slope), variance, factor.singular)
