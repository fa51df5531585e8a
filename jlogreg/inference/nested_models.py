"""Tests of a model nested in another: the score and the likelihood ratio.

Equation (40) of docs/derivation.md; Cox and Hinkley, Theoretical statistics,
1974, 9.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jlogreg.base.arrays import at_least, is_traced
from jlogreg.base.checks import AnyArray, check_count
from jlogreg.base.errors import DtypeError, ShapeError
from jlogreg.base.programs import program
from jlogreg.base.shapes import check_orientation
from jlogreg.base.status import Status
from jlogreg.data.design import Design, check_design, inner_products, matmul
from jlogreg.data.devices.spread import gather
from jlogreg.data.samples import Samples, finite_samples
from jlogreg.diagnostics.fitted import (
    Fitted,
    Given,
    check_reached,
    is_reached,
    over_problems,
    per_sample,
    prepare_fit,
    reached_status,
)
from jlogreg.diagnostics.sandwich import Kind
from jlogreg.diagnostics.tails import HypothesisTest, chi2_test, quadratic_form
from jlogreg.fitting.fit import Fit
from jlogreg.formulations.centering import centered, feature_center
from jlogreg.formulations.problem import to_vector
from jlogreg.inference.covariance import check_kind
from jlogreg.inference.profile import default_limits, fit_with_held

__all__ = ["likelihood_ratio_test", "score_test"]


def score_test(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    added: Float[AnyArray, "q m"] | Design,
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    bias: bool = True,
    robust: bool = False,
    weights: str = "frequency",
) -> HypothesisTest:
    """Return the score test that features added to a fit have no weight.

    Shapes: fit, X, y, weight and offset as for `covariance`; added (q, m); result of
    (). The fit is that without the added features, and no other is needed. Equation
    (40) of docs/derivation.md (Rao, Proc. Camb. Phil. Soc. 44, 1948). For a test of
    each feature by itself, map over them with jax.vmap.

    Args:
        fit: the result of `fit` or `fit_many`, without a penalty.
        X: the features of the fit.
        y: the labels.
        added: features that are not in the fit.
        weight: that of the fit.
        offset: that of the fit.
        bias: that of the fit.
        robust: whether the variance of the score is that of the samples themselves,
            which holds if the model is wrong, or that of the model.
        weights: what weights mean, as for `covariance`.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: as for `covariance`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import score_test
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> print(f"p = {score_test(fit(X[:0], y), X[:0], y, X).p:.3f}")
        p = 0.094
    """
    design = check_design("added", gather(added))
    m, dtype = (fitted_to := check_design("X", X)).shape[1], fitted_to.dtype
    check_orientation("X", fitted_to.shape, "y", y)
    kind, _ = check_kind("HC0" if robust else "fisher", weights, None, m)
    if design.shape[1] != m:
        raise ShapeError(f"added has {design.shape[1]} samples, but X has {m}")
    if design.dtype != dtype:
        raise DtypeError(f"added has dtype {design.dtype}, but X has {dtype}")
    if weight is None:
        design.check_values("added")

    def one(fit: Fit, y: Any, weight: Any, offset: Any, *none: Any) -> HypothesisTest:
        given = prepare_fit(fit, X, y, weight, offset, 0.0, bias)
        _check_added(design, weight)
        result, reached, distance = _score(kind, given, design)
        check_reached(given.status, reached, distance)
        return result

    found: HypothesisTest = over_problems(one, fit, X, y, weight, offset)
    return found


def likelihood_ratio_test(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    features: Sequence[int] | None = None,
    *,
    nested: Fit | None = None,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    jeffreys: Any = 0.0,
    bias: bool = True,
) -> HypothesisTest:
    """Return the likelihood-ratio test that some features have no weight.

    Shapes: fit, X, y, weight and offset as for `covariance`; result of (). The weights
    are frequencies: with others there is no likelihood. Equation (40) of
    docs/derivation.md (Wilks, Ann. Math. Statist. 9, 1938). With jeffreys it is the
    ratio of penalised likelihoods, and the information in both is that of all unknowns
    (Heinze and Schemper, Statist. Med. 21, 2002).

    Args:
        fit: the result of `fit` or `fit_many`, without a penalty l2.
        X: the features of the fit.
        y: the labels.
        features: the numbers of the rows of X that are tested; by default all. The fit
            without them is computed here.
        nested: that fit, if it is there already, of fewer features and the same samples
            and weights; then `features` is left out.
        weight: that of the fit.
        offset: that of the fit.
        jeffreys: that of the fit.
        bias: that of the fit.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: as for `covariance`, if a number is no row of X, or if both
            `features` and `nested` are given, or `nested` with jeffreys.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> from jlogreg.inference import likelihood_ratio_test
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> print(f"p = {likelihood_ratio_test(fit(X, y), X, y).p:.3f}")
        p = 0.067
    """
    n, _ = check_design("X", X).shape
    if nested is not None and features is not None:
        raise ValueError("give features or nested, not both")
    if nested is not None and not _is_zero(jeffreys):
        raise ValueError(
            "with jeffreys give features: the prior of a nested fit is another one"
        )
    rows = _check_rows(features, n) if nested is None else ()
    df = len(rows) if nested is None else n - np.shape(nested.params.w)[-2]
    if df < 1:
        raise ShapeError("nested must have fewer features than the fit")

    def one(
        pair: Any, y: Any, weight: Any, offset: Any, l2: Any, tau: Any
    ) -> HypothesisTest:
        fit, smaller = pair
        given = prepare_fit(fit, X, y, weight, offset, l2, bias, tau)
        costs = None if smaller is None else (smaller.cost, fit.cost, smaller.status)
        result, reached, distance = _likelihood_ratio(rows, df, given, costs)
        check_reached(given.status, reached, distance)
        return result

    pair = _Pair(fit, nested)
    rows_of = (y, weight, offset)
    found: HypothesisTest = over_problems(one, pair, X, *rows_of, jeffreys=jeffreys)
    return found


class _Pair(NamedTuple):
    """A fit, and perhaps one nested in it."""

    fit: Fit
    nested: Fit | None

    @property
    def status(self) -> Any:
        """The status of the first."""
        return self.fit.status


def _is_zero(number: Any) -> bool:
    return not is_traced(number) and not np.asarray(number).any()


def _check_added(added: Design, weight: Any) -> None:
    """Raise a ValueError unless the features are finite where a sample counts.

    Where that is traced the test becomes NaN.
    """
    if weight is None or any(map(is_traced, jax.tree.leaves((added, weight)))):
        return
    with jax.ensure_compile_time_eval():
        finite = np.asarray(finite_samples(added))
    if (~finite & (np.asarray(weight) != 0)).any():
        added.check_values("added")


def _check_rows(features: Any, n: int) -> tuple[int, ...]:
    """Return the tested rows of X, each once."""
    if features is None:
        features = range(n)
    if not isinstance(features, Sequence | np.ndarray) or isinstance(features, str):
        raise DtypeError(
            f"features must be a list of numbers of rows of X, but is {features!r}"
        )
    rows = {check_count("features", row, 0, n) for row in features}
    if not rows:
        raise ShapeError("features is empty: there is nothing to test")
    return tuple(sorted(rows))


@partial(program, static_argnums=0, inline=True)
def _score(
    kind: Kind, given: Given, added: Design
) -> tuple[HypothesisTest, Array, Array]:
    fitted = Fitted.of(given)
    reached, distance = is_reached(fitted)
    samples, parts = fitted.problem.samples, per_sample(fitted)
    # The added features less their projection on those of the fit; (40).
    if fitted.problem.free is None and added.sliceable:
        center = feature_center(Samples(added, samples.y, samples.weight))
        added = centered(added, center)
    v, G = parts.weight, added.dense()
    G = jnp.where(v > 0, G, 0.0)
    shared = inner_products(G * (v * parts.dz2), parts.solved) / parts.total
    G = G - matmul(shared, parts.columns)
    U = inner_products(G, v * parts.dz)
    # Copies of a sample add v, a sample that stands for v others adds v^2.
    own = jnp.ones_like(v) if kind.weights == "frequency" else v
    each = parts.dz2 if kind.name == "fisher" else jnp.square(parts.dz)
    statistic = quadratic_form(U, inner_products(G * (v * own * each), G))
    if kind.weights == "frequency":
        statistic = statistic * fitted.unit
    status = reached_status(given.status, reached)
    return chi2_test(statistic, len(G), status, reached), reached, distance


@partial(program, static_argnums=(0, 1), inline=True)
def _likelihood_ratio(
    rows: tuple[int, ...], df: int, given: Given, costs: Any
) -> tuple[HypothesisTest, Array, Array]:
    fitted = Fitted.of(given)
    reached, distance = is_reached(fitted)
    status = reached_status(given.status, reached)
    if costs is None:
        theta = to_vector(fitted.params)
        free = jnp.ones_like(theta).at[jnp.asarray(rows)].set(0.0)
        limits = default_limits(theta.dtype)
        held = fit_with_held(fitted, jnp.zeros_like(theta), free, theta, limits)
        statistic, of_nested = at_least(2 * held.drop, 0), held.status
    else:
        nested_cost, cost, of_nested = costs
        statistic = 2 * fitted.total() * (nested_cost - cost)
        # A nested fit costs at least as much, but for roundings.
        slack = 64 * float(np.finfo(statistic.dtype).eps) * fitted.total()
        statistic = jnp.where(statistic >= -slack, at_least(statistic, 0), jnp.nan)
    answered = of_nested == Status.CONVERGED
    status = jnp.where(answered, status, of_nested).astype(jnp.int32)
    return chi2_test(statistic, df, status, reached & answered), reached, distance
