"""Intervals of predicted probabilities, by the delta method.

A function of the estimates has the covariance J Cov JT, with its derivatives J;
equation (45) of docs/derivation.md.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jlogreg.base.checks import AnyArray, check_matrix, check_range
from jlogreg.base.errors import DtypeError, ShapeError
from jlogreg.base.programs import program
from jlogreg.base.shapes import check_orientation
from jlogreg.data.design import Design, check_design, matmul
from jlogreg.data.devices.spread import gather
from jlogreg.diagnostics.fitted import (
    Fitted,
    Given,
    answer_of,
    check_enough_samples,
    is_reached,
    reached_status,
)
from jlogreg.diagnostics.sandwich import Kind, centred_covariance
from jlogreg.diagnostics.tails import check_level, normal_quantile
from jlogreg.fitting.fit import Fit
from jlogreg.formulations.centering import centered
from jlogreg.formulations.problem import restricted
from jlogreg.inference.covariance import check_kind, check_kind_of_fit
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import sigmoid

__all__ = ["Prediction", "predict_interval"]


class Prediction(NamedTuple):
    """Probabilities of the label 1, with the intervals that the estimates leave.

    Shapes: all (1, k), but for status (); for K problems with a leading axis. The
    intervals are of the probability, not of a label. Where the fit has not converged
    they are NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import predict_interval
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = predict_interval(fit(X, y), X, y, jnp.array([[2.5]]))
        >>> f"{found.low[0, 0]:.2f} to {found.high[0, 0]:.2f}"
        '0.10 to 0.90'
    """

    probability: Float[Array, "1 k"]
    low: Float[Array, "1 k"]
    high: Float[Array, "1 k"]
    status: Int[Array, ""]


def predict_interval(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    samples: Float[AnyArray, "n k"] | Design,
    *,
    sample_offset: Float[AnyArray, "1 k"] | None = None,
    level: Any = 0.95,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    jeffreys: Any = 0.0,
    bias: bool = True,
    covariance: str = "fisher",
    clusters: Any = None,
    weights: str = "frequency",
) -> Prediction:
    """Return the probabilities of samples with their confidence intervals.

    Shapes: fit, X, y, weight, offset, l2,
    jeffreys and clusters as for `covariance`; samples (n,
    k) and sample_offset (1, k), of the samples that are predicted; level (); result
    Prediction of (1, k), for K problems with a leading axis. The ends are those of the
    logit, z -+ standard errors, as probabilities. Equation (45) of docs/derivation.md.
    Arguments and errors are those of `covariance`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import predict_interval
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = predict_interval(fit(X, y), X, y, jnp.array([[2.5, 9.0]]))
        >>> [f"{p:.2f}" for p in found.low[0]]
        ['0.10', '0.02']
    """
    (n, m), dtype = (design := check_design("X", X)).shape, design.dtype
    kind, labels = check_kind(covariance, weights, clusters, m)
    check_orientation("X", design.shape, "y", y)
    samples, sample_offset = gather((samples, sample_offset))
    new, level = check_design("samples", samples), check_level(level, dtype)
    if new.shape[0] != n:
        raise ShapeError(f"samples has {new.shape[0]} features, but X has {n}")
    if new.dtype != dtype:
        raise DtypeError(f"samples has dtype {new.dtype}, but X has {dtype}")
    new.check_values("samples")
    if sample_offset is not None:
        shape = (1, new.shape[1])
        added = check_matrix("sample_offset", sample_offset, shape, dtype)
        sample_offset = check_range("sample_offset", added)

    def compute(given: Given) -> tuple[Prediction, Array, Array]:
        check_kind_of_fit(kind, given)
        check_enough_samples(given)
        return _predict(kind, given, labels, new, sample_offset, level)

    rows, penalties = (y, weight, offset), {"l2": l2, "jeffreys": jeffreys}
    found: Prediction = answer_of(compute, fit, X, *rows, **penalties, bias=bias)
    return found


@partial(program, static_argnums=0, inline=True)
def _predict(
    kind: Kind,
    given: Given,
    labels: Array | None,
    samples: Design,
    offset: Array | None,
    level: Array,
) -> tuple[Prediction, Array, Array]:
    fitted = Fitted.of(given)
    reached, distance = is_reached(fitted)
    if fitted.centering.features is not None:
        samples = centered(samples, fitted.centering.features)
    w, b = fitted.params
    z = samples.forward(w) + b
    if fitted.centering.offset is not None:  # which the samples do not have
        z = z - fitted.centering.offset
    z = z if offset is None else z + offset
    x = jnp.concatenate([samples.dense(), jnp.ones_like(z)])
    x = restricted(x, fitted.problem.free)
    matrix = centred_covariance(kind, fitted, labels)
    variance = jnp.sum(x * matmul(matrix, x), axis=0, keepdims=True)
    half = normal_quantile(level) * jnp.sqrt(variance)
    answered = (
        jnp.where(reached, sigmoid(FAST, each), jnp.nan)
        for each in (z, z - half, z + half)
    )
    status = reached_status(given.status, reached)
    return Prediction._make([*answered, status]), reached, distance
