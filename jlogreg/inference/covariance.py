"""The covariance of the estimates: by the model, and robust against its errors.

Both are a sandwich A^-1 B A^-1 of the Hessian A of the summed losses and of the
covariance B of their gradient; equations (35) to (37) of docs/derivation.md.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from jlogreg.base.arrays import as_array, is_traced
from jlogreg.base.checks import AnyArray, check_array
from jlogreg.base.errors import DtypeError, RankError, ShapeError
from jlogreg.base.params import Params
from jlogreg.base.programs import program
from jlogreg.data.design import Design, check_design
from jlogreg.diagnostics.fit_statistics import FitStatistics, statistics_of
from jlogreg.diagnostics.fitted import (
    Fitted,
    Given,
    answer_of,
    check_enough_samples,
    is_reached,
)
from jlogreg.diagnostics.sandwich import Kind, covariance_matrix
from jlogreg.fitting.fit import Fit
from jlogreg.fitting.implicit import inverse_hessian
from jlogreg.formulations.problem import Problem

__all__ = [
    "check_kind",
    "check_kind_of_fit",
    "correlation",
    "covariance",
    "model_covariance",
    "standard_errors",
    "variance_of_weight",
    "variances_and_statistics",
]

BY_THE_MODEL = ("fisher", "augmented")
ROBUST = ("HC0", "HC1", "HC2", "HC3", "cluster", "jackknife")
MEANINGS = ("frequency", "probability")


def covariance(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    jeffreys: Any = 0.0,
    bias: bool = True,
    kind: str = "fisher",
    clusters: Num[AnyArray, "1 m"] | None = None,
    weights: str = "frequency",
) -> Float[Array, "n+1 n+1"]:
    """Return the covariance of the estimates, in the order w, then b.

    Shapes: fit w (n, 1), b (1, 1); X (n, m), y, weight, offset and clusters (1, m), l2
    () or (n, 1), the first ones as in the fit; result (n + 1, n + 1). For the fit of K
    problems y, weight and offset are (K, m) or (1, m), l2 () or (K, 1), and the result
    is (K, n + 1, n + 1). Without a bias the last row and column are 0. NaN where the
    fit has not converged. Equations (35) to (37) of docs/derivation.md.

    With a penalty it is the covariance of the penalised estimate from one draw of the
    samples to another, about its own mean, which is not the true parameter (le Cessie
    and van Houwelingen, Appl. Statist. 41, 1992). With jeffreys it is the inverse of
    the information (Heinze and Schemper, Statist. Med. 21, 2002), or of the augmented
    one, equation (58), as in the R package logistf and in PLINK 2.

    Args:
        fit: the result of `fit` or `fit_many`.
        X: the features.
        y: the labels. The robust kinds take a label between 0 and 1 for a number: write
            counts as two samples, of the label 1 and of the label 0.
        weight: that of the fit.
        offset: that of the fit.
        l2: that of the fit.
        jeffreys: that of the fit.
        bias: that of the fit.
        kind: "fisher" if the model is right, or with jeffreys "augmented"; "HC0" to
            "HC3" if it may be wrong (White, Econometrica 50, 1982; HC1 is HC0 times
            N / (N - k), HC2 and HC3 correct for the leverage: MacKinnon and White, J.
            Econometrics 29, 1985); "cluster" if samples of a cluster are dependent,
            with the factor G / (G - 1) for G clusters (Liang and Zeger, Biometrika 73,
            1986); "jackknife", which leaves each cluster out, or each sample, by one
            Newton step. It takes the memory of m (n + 1)^2 numbers where clusters are
            given.
        clusters: a whole number for the cluster of each sample.
        weights: "frequency" if a weight of k is a sample that occurs k times,
            "probability" if it is the inverse of a probability of being sampled, or
            another measure of how much one sample stands for.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape, or if there are as many features as samples and no penalty.
        ValueError: if a number is out of range, NaN or infinite, if `kind` or
            `weights` is none of these words or does not go with jeffreys, or if the
            fit is not the minimum for these arguments. Where that is traced the
            result is NaN instead.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import covariance
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> model = fit(X, y)
        >>> f"{covariance(model, X, y)[0, 0]:.2f}"
        '0.83'
        >>> f"{covariance(model, X, y, kind='HC3')[0, 0]:.1f}"
        '0.5'
    """
    chosen, labels = check_kind(kind, weights, clusters, check_design("X", X).shape[1])

    def compute(given: Given) -> tuple[Array, Array, Array]:
        check_enough_samples(given)
        check_kind_of_fit(chosen, given)
        return model_covariance(chosen, given, labels)

    rows, penalties = (y, weight, offset), {"l2": l2, "jeffreys": jeffreys}
    found: Array = answer_of(compute, fit, X, *rows, bias=bias, **penalties)
    return found


def standard_errors(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    **options: Any,
) -> Float[Array, "n+1 1"]:
    """Return the standard errors of the estimates, in the order w, then b.

    Shapes: as for `covariance`; result (n + 1, 1), of K problems (K, n + 1, 1): the
    square roots of the diagonal of the covariance. Arguments and errors are those of
    `covariance`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import standard_errors
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> [f"{error:.2f}" for error in standard_errors(fit(X, y), X, y)[:, 0]]
        ['0.91', '2.55']
    """
    matrix = covariance(fit, X, y, **options)
    return jnp.sqrt(jnp.diagonal(matrix, axis1=-2, axis2=-1)[..., None])


def correlation(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    **options: Any,
) -> Float[Array, "n+1 n+1"]:
    """Return the correlations of the estimates, in the order w, then b.

    Shapes: as for `covariance`; result (n + 1, n + 1), of K problems with a leading
    axis, with ones on the diagonal. Arguments and errors are those of `covariance`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import correlation
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> f"{correlation(fit(X, y), X, y)[0, 1]:.2f}"
        '-0.90'
    """
    matrix = covariance(fit, X, y, **options)
    scale = jnp.sqrt(jnp.diagonal(matrix, axis1=-2, axis2=-1))
    return matrix / scale[..., None] / scale[..., None, :]


def check_kind(
    kind: str, weights: str, clusters: Any, m: int
) -> tuple[Kind, Int[Array, " m"] | None]:
    """Return the kind of covariance, and the number of each sample's cluster from 0 up.

    Raises:
        DtypeError, RankError, ShapeError: if clusters has the wrong dtype, rank or
            shape.
        ValueError: if a word is none of those known, or clusters are missing, or given
            where they are not used.
    """
    for name, word, words in (
        ("kind", kind, (*BY_THE_MODEL, *ROBUST)),
        ("weights", weights, MEANINGS),
    ):
        if not isinstance(word, str) or word not in words:
            raise ValueError(f"{name} must be one of {words}, but is {word!r}")
    if clusters is None:
        if kind == "cluster":
            raise ValueError('kind="cluster" needs clusters (1, m), a number a sample')
        return Kind(kind, weights, m), None
    if kind not in ("cluster", "jackknife"):
        raise ValueError(
            f'clusters are not used by kind="{kind}": take "cluster" or "jackknife"'
        )
    labels, count = _numbered(clusters, m)
    return Kind(kind, weights, count), labels


def check_kind_of_fit(kind: Kind, given: Given) -> None:
    """Raise a ValueError unless a kind of covariance goes with the fit's prior."""
    prior, weight = given.problem.jeffreys, given.problem.samples.weight
    if prior is None and kind.name == "augmented":
        raise ValueError('kind="augmented" is for a fit with jeffreys')
    if prior is not None and kind.name not in BY_THE_MODEL:
        raise ValueError(
            f'kind="{kind.name}" is for a fit without jeffreys: take "fisher" or '
            '"augmented"'
        )
    if prior is not None and weight is not None and kind.weights != "frequency":
        raise ValueError('with jeffreys weights are counts: take weights="frequency"')


def _numbered(clusters: Any, m: int) -> tuple[Array, int]:
    """Return the clusters numbered from 0 up, and how many there are at most."""
    if not isinstance(clusters, np.ndarray):
        clusters = check_array("clusters", clusters, floating=False)
    if clusters.ndim != 2:
        raise RankError(
            f"clusters has rank {clusters.ndim}, shape {clusters.shape}, but must have "
            f"rank 2, shape (1, {m}): write clusters.reshape(1, -1) for a row"
        )
    if clusters.shape != (1, m):
        raise ShapeError(
            f"clusters has rank 2, shape {clusters.shape}, but must have shape (1, {m})"
        )
    if clusters.dtype.kind not in "iubUS":
        raise DtypeError(
            f"clusters has dtype {clusters.dtype}, but must hold whole numbers: "
            "convert it with clusters.astype(np.int32)"
        )
    if not is_traced(clusters):
        names, labels = np.unique(np.asarray(clusters)[0], return_inverse=True)
        return as_array(labels.astype(np.int32)), len(names)
    ids = clusters[0].astype(jnp.int32)
    _, labels = jnp.unique(ids, return_inverse=True, size=m)
    return labels.astype(jnp.int32), m


@partial(program, static_argnums=0, inline=True)
def model_covariance(
    kind: Kind, given: Given, labels: Array | None
) -> tuple[Array, Array, Array]:
    """Return the covariance, whether there is one, and the fit's distance from it."""
    fitted = Fitted.of(given)
    reached, distance = is_reached(fitted)
    matrix = covariance_matrix(kind, fitted, labels)
    return jnp.where(reached, matrix, jnp.nan), reached, distance


@partial(program, static_argnums=0, inline=True)
def variances_and_statistics(
    kind: Kind, given: Given, labels: Array | None
) -> tuple[Float[Array, "n+1 1"], Array, FitStatistics]:
    """Return variances, whether the fit is an answer, and its statistics.

    The numbers are 0 where it is none. One program, whose pass over X serves them all.
    """
    fitted = Fitted.of(given)
    reached, _ = is_reached(fitted)
    variances = jnp.diagonal(covariance_matrix(kind, fitted, labels))[:, None]
    statistics = statistics_of(fitted, reached, 0.0)
    return jnp.where(reached, variances, 0.0), reached, statistics


def variance_of_weight(problem: Problem, params: Params, j: int) -> Float[Array, 1]:
    """Return the variance of the estimate of one weight, the inverse information's.

    Shapes: params w (n, 1), b (1, 1); result (1,). Equation (27) of docs/derivation.md,
    by one linear solve with H.
    """
    unit = jnp.zeros((params.w.shape[0] + 1, 1), params.w.dtype).at[j].set(1.0)
    return inverse_hessian(problem, params, unit)[j] / problem.samples.total_weight()
