"""Effects of the features on the probability, by the delta method.

A function of the estimates has the covariance J Cov JT, with its derivatives J;
equation (45) of docs/derivation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jlogreg.base.checks import AnyArray, check_count
from jlogreg.base.errors import DtypeError
from jlogreg.base.programs import program
from jlogreg.data.design import Design, check_design, matmul
from jlogreg.diagnostics.fitted import (
    Fitted,
    Given,
    answer_of,
    check_enough_samples,
    is_reached,
    reached_status,
)
from jlogreg.diagnostics.sandwich import Kind, centred_covariance
from jlogreg.diagnostics.tails import check_level, log10_p_value, normal_quantile
from jlogreg.fitting.fit import Fit
from jlogreg.formulations.problem import to_params, to_vector
from jlogreg.inference.covariance import check_kind, check_kind_of_fit
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss_dz2, sigmoid
from jlogreg.objective.prediction import adjoint

__all__ = ["Effects", "marginal_effects"]


class Effects(NamedTuple):
    """Effects of the features on the probability, with their errors.

    Shapes: all (n, 1), but for status (); for K problems with a leading axis. log10_p
    is that of Wald's test that the effect is 0. Where the fit has not converged they
    are NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import marginal_effects
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = marginal_effects(fit(X, y), X, y)
        >>> f"{found.estimate[0, 0]:.2f} +- {found.standard_error[0, 0]:.2f}"
        '0.16 +- 0.02'
    """

    estimate: Float[Array, "n 1"]
    standard_error: Float[Array, "n 1"]
    log10_p: Float[Array, "n 1"]
    low: Float[Array, "n 1"]
    high: Float[Array, "n 1"]
    status: Int[Array, ""]


def marginal_effects(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    at: str = "average",
    dummies: Sequence[int] = (),
    level: Any = 0.95,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    jeffreys: Any = 0.0,
    bias: bool = True,
    covariance: str = "fisher",
    clusters: Any = None,
    weights: str = "frequency",
) -> Effects:
    """Return how much the probability changes with each feature.

    Shapes: fit, X, y, weight, offset, l2,
    jeffreys and clusters as for `covariance`; level ();
    result Effects of (n, 1), for K problems with a leading axis. Equation (45) of
    docs/derivation.md.

    Args:
        fit: the result of `fit` or `fit_many`.
        X: the features.
        y: the labels.
        at: "average" for the mean of da/dx over the samples, "mean" for da/dx at the
            mean sample.
        dummies: the numbers of the features that are 0 or 1: their effect is the
            difference of the probabilities there, in place of the derivative.
        level: of the intervals.
        weight: that of the fit.
        offset: that of the fit.
        l2: that of the fit.
        jeffreys: that of the fit.
        bias: that of the fit.
        covariance: the kind of `covariance`.
        clusters: as for `covariance`.
        weights: as for `covariance`.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: as for `covariance`, or if a word or a number is out of range.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import marginal_effects
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> f"{marginal_effects(fit(X, y), X, y, at='mean').estimate[0, 0]:.2f}"
        '0.30'
    """
    (n, m), dtype = (design := check_design("X", X)).shape, design.dtype
    kind, labels = check_kind(covariance, weights, clusters, m)
    if not isinstance(at, str) or at not in ("average", "mean"):
        raise ValueError(f'at must be "average" or "mean", but is {at!r}')
    if isinstance(dummies, str) or not hasattr(dummies, "__len__"):
        raise DtypeError(f"dummies must be a list of features, but is {dummies!r}")
    rows = tuple(sorted({check_count("dummies", row, 0, n) for row in dummies}))
    level = check_level(level, dtype)

    def compute(given: Given) -> tuple[Effects, Array, Array]:
        check_kind_of_fit(kind, given)
        check_enough_samples(given)
        return _effects(kind, at, rows, given, labels, level)

    samples, penalties = (y, weight, offset), {"l2": l2, "jeffreys": jeffreys}
    found: Effects = answer_of(compute, fit, X, *samples, **penalties, bias=bias)
    return found


@partial(program, static_argnums=(0, 1, 2), inline=True)
def _effects(
    kind: Kind,
    at: str,
    dummies: tuple[int, ...],
    given: Given,
    labels: Array | None,
    level: Array,
) -> tuple[Effects, Array, Array]:
    fitted = Fitted.of(given)
    reached, distance = is_reached(fitted)
    values, slopes = _average(fitted) if at == "average" else _at_the_mean(fitted)
    for j in dummies:
        value, slope = _difference(fitted, j, at)
        values, slopes = values.at[j].set(value), slopes.at[j].set(slope[:, 0])
    # J Cov JT, of which only the diagonal is needed; (45).
    matrix = centred_covariance(kind, fitted, labels)
    variance = jnp.sum(matmul(slopes, matrix) * slopes, axis=1, keepdims=True)
    error = jnp.sqrt(variance)
    half = normal_quantile(level) * error
    columns = (values, error, log10_p_value(values / error), values - half)
    answered = (jnp.where(reached, each, jnp.nan) for each in (*columns, values + half))
    status = reached_status(given.status, reached)
    return Effects._make([*answered, status]), reached, distance


Slopes = tuple[Float[Array, "n 1"], Float[Array, "n n+1"]]


def _average(fitted: Fitted) -> Slopes:
    """Return w times the mean of s, and its derivatives in centred unknowns."""
    samples, w = fitted.problem.samples, fitted.params.w
    z = samples.logits(fitted.params)
    total = jnp.asarray(fitted.samples_total, z.dtype)
    s = samples.weighted(log_loss_dz2(FAST, z)) / total
    # ds/dz = s (1 - 2 a).
    bend = to_vector(adjoint(samples.X, -s * jnp.tanh(z / 2)))
    n = len(w)
    return w * s.sum(), s.sum() * jnp.eye(n, n + 1, dtype=w.dtype) + w * bend.T


def _mean(fitted: Fitted) -> tuple[Float[Array, "n+1 1"], Array]:
    """Return the mean sample above a 1, centred, and the mean offset."""
    samples = fitted.problem.samples
    total = jnp.asarray(fitted.samples_total, samples.y.dtype)
    v = samples.weights() / total
    offset = jnp.zeros((), v.dtype)
    if samples.offset is not None:
        offset = samples.weighted(samples.offset).sum() / total
    return to_vector(adjoint(samples.X, v)), offset


def _at_the_mean(fitted: Fitted) -> Slopes:
    """Return w s at the mean sample, and its derivatives in centred unknowns."""
    w, (x, offset) = fitted.params.w, _mean(fitted)
    z = jnp.sum(x * to_vector(fitted.params)) + offset
    s = log_loss_dz2(FAST, z)
    n = len(w)
    bend = -s * jnp.tanh(z / 2) * x
    return w * s, s * jnp.eye(n, n + 1, dtype=w.dtype) + w * bend.T


def _difference(fitted: Fitted, j: int, at: str) -> tuple[Array, Float[Array, "n+1 1"]]:
    """Return the mean of a at x_j = 1 less that at x_j = 0, and its derivatives."""
    samples, theta = fitted.problem.samples, to_vector(fitted.params)
    unit = jnp.zeros_like(theta).at[j].set(1.0)
    center = jnp.zeros((), theta.dtype)
    if fitted.centering.features is not None:
        center = fitted.centering.features[j, 0]
    x, offset = _mean(fitted)
    values, slopes = [], []
    for level in (1 - center, -center):
        if at == "mean":
            there = x.at[j].set(level)
            z = (jnp.sum(there * theta) + offset)[None, None]
            slopes.append(log_loss_dz2(FAST, z) * there)
            values.append(sigmoid(FAST, z)[0, 0])
            continue
        moved = level - samples.X.forward(to_params(unit).w)
        z = samples.logits(fitted.params) + theta[j, 0] * moved
        total = jnp.asarray(fitted.samples_total, z.dtype)
        s = samples.weighted(log_loss_dz2(FAST, z)) / total
        values.append(samples.weighted(sigmoid(FAST, z)).sum() / total)
        slopes.append(to_vector(adjoint(samples.X, s)).at[j].set(level * s.sum()))
    return values[0] - values[1], slopes[0] - slopes[1]
