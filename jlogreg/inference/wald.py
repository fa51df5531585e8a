"""Wald's test of linear hypotheses about the parameters; equation (38)."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jlogreg.base.arrays import as_array
from jlogreg.base.checks import AnyArray, check_matrix
from jlogreg.base.errors import ShapeError
from jlogreg.base.programs import program
from jlogreg.data.design import Design, check_design, matmul
from jlogreg.diagnostics.fitted import (
    Given,
    answer_of,
    check_enough_samples,
    reached_status,
)
from jlogreg.diagnostics.sandwich import Kind
from jlogreg.diagnostics.tails import HypothesisTest, chi2_test, quadratic_form
from jlogreg.fitting.fit import Fit
from jlogreg.formulations.problem import to_vector
from jlogreg.inference.covariance import (
    check_kind,
    check_kind_of_fit,
    model_covariance,
)

__all__ = ["wald_test"]


def wald_test(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    hypothesis: str | Float[AnyArray, "q n+1"] = "each",
    value: Float[AnyArray, "q 1"] | None = None,
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    jeffreys: Any = 0.0,
    bias: bool = True,
    covariance: str = "fisher",
    clusters: Any = None,
    weights: str = "frequency",
) -> HypothesisTest:
    """Return Wald's test of linear hypotheses R theta = r, by their covariance.

    Shapes: fit, X, y, weight, offset, l2 and clusters as for `covariance`; hypothesis R
    (q, n + 1) and value r (q, 1), of w above b; result of (), or (n + 1, 1) for "each".
    Equation (38) of docs/derivation.md (Wald, Trans. Am. Math. Soc. 54, 1943). NaN if
    rows of R depend on each other.

    Args:
        fit: the result of `fit` or `fit_many`.
        X: the features.
        y: the labels.
        hypothesis: "each" tests each unknown by itself, "all" that all weights, but not
            the bias, are 0; or R.
        value: r; by default 0.
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
        ValueError: as for `covariance`, or if hypothesis is another word.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import wald_test
        >>> X = jnp.array([[0.0, 1, 2, 3, 4, 5, 6, 7], [1.0, 0, 1, 0, 0, 1, 0, 1]])
        >>> y = jnp.array([[0.0, 0, 1, 0, 1, 1, 0, 1]])
        >>> equal = jnp.array([[1.0, -1.0, 0.0]])  # w_0 = w_1
        >>> print(f"p = {wald_test(fit(X, y), X, y, equal).p:.2f}")
        p = 0.24
    """
    (n, m), dtype = (design := check_design("X", X)).shape, design.dtype
    kind, labels = check_kind(covariance, weights, clusters, m)
    R, r = _check_hypothesis(hypothesis, value, n, dtype)

    def compute(given: Given) -> tuple[HypothesisTest, Array, Array]:
        check_enough_samples(given)
        check_kind_of_fit(kind, given)
        return _wald(kind, given, labels, R, r)

    rows, penalties = (y, weight, offset), {"l2": l2, "jeffreys": jeffreys}
    found: HypothesisTest = answer_of(compute, fit, X, *rows, bias=bias, **penalties)
    return found


def _check_hypothesis(
    hypothesis: Any, value: Any, n: int, dtype: Any
) -> tuple[Array | None, Array]:
    """Return R (q, n + 1), None for each unknown by itself, and r (q, 1)."""
    R = None
    if not isinstance(hypothesis, str):
        R = check_matrix("hypothesis", hypothesis, ("q", n + 1), dtype)
    elif hypothesis == "all":
        R = as_array(np.eye(n, n + 1), dtype)
    elif hypothesis != "each":
        raise ValueError(
            'hypothesis must be "each", "all" or a matrix (q, n + 1), but is '
            f"{hypothesis!r}"
        )
    q = n + 1 if R is None else len(R)
    if q == 0:
        raise ShapeError("there are no weights to test: X has no features")
    if value is None:
        return R, as_array(np.zeros((q, 1)), dtype)
    return R, check_matrix("value", value, (q, 1), dtype)


@partial(program, static_argnums=0, inline=True)
def _wald(
    kind: Kind, given: Given, labels: Array | None, R: Array | None, r: Array
) -> tuple[HypothesisTest, Array, Array]:
    matrix, reached, distance = model_covariance(kind, given, labels)
    theta, status = to_vector(given.params), reached_status(given.status, reached)
    if R is None:
        variance = jnp.diagonal(matrix)[:, None]
        statistic, df = jnp.square(theta - r) / variance, 1
    else:
        difference = matmul(R, theta) - r
        statistic = quadratic_form(difference, matmul(matmul(R, matrix), R.T))
        df = len(R)
    return chi2_test(statistic, df, status, reached), reached, distance
