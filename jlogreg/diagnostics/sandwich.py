"""The sandwich of the derivatives of the estimates in the weights of the samples.

The influence of a sample is the derivative of the estimates in its weight, equation
(23) of docs/derivation.md. The sum of their outer products is the covariance of the
estimates whether the model is right or not: equations (35) to (37).
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.data.design import inner_products, matmul
from jlogreg.diagnostics.fitted import Fitted, PerSample, per_sample, to_original
from jlogreg.formulations.problem import (
    restricted,
    restricted_matrix,
    ridge,
    to_vector,
)
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss_dz2
from jlogreg.objective.sums import curvature_total
from jlogreg.solvers.cholesky import factorize, factorize_reversed

__all__ = ["Kind", "centred_covariance", "covariance_matrix", "solve_definite"]

# What is left of 1 - h, in eps, below which the sample alone decides its own fit.
ROUNDINGS = 64


class Kind(NamedTuple):
    """Which covariance: its name, what weights mean, and the clusters at most."""

    name: str
    weights: str
    clusters: int


def covariance_matrix(
    kind: Kind, fitted: Fitted, labels: Array | None
) -> Float[Array, "n+1 n+1"]:
    """Return the covariance of w above b; equations (35) to (37)."""
    matrix = to_original(fitted, centred_covariance(kind, fitted, labels))
    return (matrix + matrix.T) / 2


def centred_covariance(
    kind: Kind, fitted: Fitted, labels: Array | None
) -> Float[Array, "n+1 n+1"]:
    """Return the covariance in centred unknowns; NaN if the Hessian is singular."""
    if fitted.problem.jeffreys is not None:
        matrix = _with_prior(kind, fitted)
    elif kind.name == "fisher":
        matrix = _by_the_model(kind, fitted)
    else:
        robust = _of_samples if labels is None else _of_clusters
        if labels is not None and kind.name == "jackknife":
            robust = _left_out
        matrix = robust(kind, fitted, per_sample(fitted), labels)
    return jnp.where(_is_singular(fitted), jnp.nan, (matrix + matrix.T) / 2)


def _is_singular(fitted: Fitted) -> Bool[Array, ""]:
    """Return whether the Hessian has no inverse to the precision at hand."""
    problem, total = fitted.problem, fitted.samples_total
    H = curvature_total(fitted.params, problem.samples) / total
    H = lax.stop_gradient(H + jnp.diag(ridge(problem)[:, 0]))
    return factorize_reversed(restricted_matrix(H, problem.free)).singular


def _by_the_model(kind: Kind, fitted: Fitted) -> Float[Array, "n+1 n+1"]:
    """Return A^-1 B A^-1 with B that of the model; equation (35)."""
    samples, unit = fitted.problem.samples, fitted.unit
    total = jnp.asarray(samples.total_weight(), unit.dtype)
    if kind.weights == "probability" and samples.weight is not None:
        samples = samples._replace(weight=jnp.square(samples.weight))
        unit = jnp.ones_like(unit)
    B = curvature_total(fitted.params, samples) / (total * total * unit)
    return fitted.solve(fitted.solve(B).T)


def _with_prior(kind: Kind, fitted: Fitted) -> Float[Array, "n+1 n+1"]:
    """Return A^-1 I A^-1 with the information I and A = I + V l2, or with (58) for I.

    Jeffreys' prior is of a lower order than the information, and is left out of A.
    """
    problem, params = fitted.problem, fitted.params
    samples, free, prior = problem.samples, problem.free, problem.jeffreys
    assert prior is not None
    information = restricted_matrix(curvature_total(params, samples), free)
    if kind.name == "augmented":
        columns = jnp.concatenate([samples.X.dense(), jnp.ones_like(samples.y)])
        columns = restricted(columns, free)
        s = log_loss_dz2(FAST, samples.logits(params))
        solved = solve_definite(information, columns)
        leverage = samples.weighted(s * jnp.sum(columns * solved, axis=0)[None])
        more = inner_products(columns * (2 * prior.strength * leverage * s), columns)
        information = information + more
    ridges = jnp.diag(ridge(problem)[:, 0]) * samples.total_weight()
    half = solve_definite(information + ridges, information)
    matrix = solve_definite(information + ridges, half.T)
    return matrix if free is None else matrix * free * free.T


def _of_samples(
    kind: Kind, fitted: Fitted, parts: PerSample, labels: Any
) -> Float[Array, "n+1 n+1"]:
    """Return the sandwich of independent samples; equation (36)."""
    v, eps = parts.weight, float(np.finfo(parts.z.dtype).eps)
    by_frequency = kind.weights == "frequency"
    # One of v equal samples has the leverage h; one that stands for v has v h.
    own = 1 / fitted.unit if by_frequency else v
    room = 1 - parts.leverage() * parts.dz2 * own
    room = jnp.where((room > ROUNDINGS * eps) | (v == 0), room, jnp.nan)
    N, k = _sample_size(kind, fitted, v), fitted.unknowns()
    factor = {
        "HC0": jnp.ones_like(room),
        "HC1": jnp.broadcast_to(jnp.where(k < N, N / (N - k), jnp.nan), room.shape),
        "HC2": 1 / room,
        "HC3": 1 / room**2,
        "jackknife": (N - 1) / N / room**2,
    }[kind.name]
    # Copies of a sample add v, a sample that stands for v others adds v^2.
    meat = factor * v * own
    slopes = parts.slopes()
    return inner_products(slopes * meat, slopes) / parts.total**2


def _sample_size(kind: Kind, fitted: Fitted, v: Array) -> Float[Array, ""]:
    """Return N: the sum of the frequencies, or the number of samples with a weight."""
    if kind.weights == "frequency":
        return fitted.total()
    return (v > 0).sum(dtype=v.dtype)


def _of_clusters(
    kind: Kind, fitted: Fitted, parts: PerSample, labels: Any
) -> Float[Array, "n+1 n+1"]:
    """Return the sandwich of the sums over clusters; equation (37)."""
    sums = _sums(kind, parts.slopes() * parts.weight, labels)
    G = _cluster_count(kind, parts, labels)
    return inner_products(sums.T, sums.T) / parts.total**2 * (G / (G - 1))


def _left_out(
    kind: Kind, fitted: Fitted, parts: PerSample, labels: Any
) -> Float[Array, "n+1 n+1"]:
    """Return the jackknife that leaves out one cluster after another; equation (37)."""
    problem, params, v = fitted.problem, fitted.params, parts.weight / parts.total
    penalty = ridge(problem)
    # The Hessian and the gradient of each cluster, with its share of the penalty.
    pairs = parts.columns[:, None] * parts.columns[None]
    ridges = jnp.diag(penalty[:, 0])[:, :, None]
    curvature = pairs * (parts.dz2 * v)[None] + ridges * v[None]
    slopes = parts.columns * parts.dz + penalty * to_vector(params)
    H = curvature_total(params, problem.samples) / parts.total
    H = H + jnp.diag(penalty[:, 0])
    own_H = _sums(kind, curvature, labels)
    own_slope = _sums(kind, slopes * v, labels)

    def change(own_H: Array, own_slope: Array) -> Array:
        left = restricted_matrix(H - own_H, problem.free)
        return solve_definite(left, own_slope[:, None])

    changes = jax.vmap(change)(own_H, own_slope)[:, :, 0]
    G = _cluster_count(kind, parts, labels)
    return inner_products(changes.T, changes.T) * ((G - 1) / G)


def solve_definite(
    matrix: Float[Array, "k k"], right: Float[Array, "k c"]
) -> Float[Array, "k c"]:
    """Return matrix^-1 right, NaN if the positive definite matrix is singular."""

    def solve(_multiply: Any, right: Array) -> Array:
        factor = factorize(lax.stop_gradient(matrix), repaired=False)
        return jnp.where(factor.singular, jnp.nan, factor.solve(right))

    multiply = partial(matmul, matrix)
    return lax.custom_linear_solve(multiply, right, solve, symmetric=True)


def _sums(kind: Kind, terms: Float[Array, "... m"], labels: Any) -> Array:
    """Return the sums of terms over the samples of each cluster, clusters first."""
    return jax.ops.segment_sum(jnp.moveaxis(terms, -1, 0), labels, kind.clusters)


def _cluster_count(kind: Kind, parts: PerSample, labels: Any) -> Float[Array, ""]:
    """Return the number of clusters that have a weight."""
    weight = _sums(kind, parts.weight[0], labels)
    return (weight > 0).sum(dtype=weight.dtype)
