"""The fit of one feature given covariates, starting from the null model.

A few Newton steps from the null model are enough for most features; their end has to
pass the tests of `fit`, and the features that do not pass are left to `fit` itself.
Section 14 of docs/derivation.md.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from jlogreg.base.arrays import largest
from jlogreg.base.programs import program
from jlogreg.base.status import Status
from jlogreg.data.design import Dense, Design, Stacked
from jlogreg.data.samples import Samples
from jlogreg.diagnostics.fitted import prepare_fit
from jlogreg.diagnostics.sandwich import Kind
from jlogreg.feature_scan.null_model import (
    NewtonStep,
    NullModel,
    fit_covariates,
    newton_step,
)
from jlogreg.feature_scan.results import Scan, result
from jlogreg.fitting.fit import fit
from jlogreg.formulations.centering import feature_center
from jlogreg.formulations.problem import Problem
from jlogreg.inference.covariance import model_covariance, variance_of_weight
from jlogreg.inference.nested_models import likelihood_ratio_test
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss
from jlogreg.objective.jeffreys import FIRTH

__all__ = [
    "Plan",
    "fit_scan",
    "newton_scan",
    "one_feature",
    "rise",
    "start_of",
]


class Plan(NamedTuple):
    """How the features of a call are computed, the same for all.

    width is how many go side by side; missing whether they may miss samples; ratio
    whether the test is that of the likelihood ratio.
    """

    width: int
    missing: bool
    ratio: bool


def _numbers(g: Array, null: NullModel) -> tuple[Array, Array]:
    """Return a feature as floats, 0 where it is missing, and a mask of the missing.

    Floats are centred where there is a bias, which is all that it changes; counts are
    near zero already.
    """
    samples = null.samples
    if jnp.issubdtype(g.dtype, jnp.floating):
        center = jnp.zeros((1, 1), g.dtype)
        if null.free is None:
            center = feature_center(samples._replace(X=Dense(g)))
        return jnp.where(jnp.isnan(g), 0.0, g - center), jnp.isnan(g)
    missing = g == -1
    number = jnp.where(missing, 0, g).astype(samples.y.dtype)
    return jnp.where(number < 0, jnp.inf, number), missing


def one_feature(
    null: NullModel, g: Array, missing: bool, cleaned: bool = True
) -> tuple[Design, Samples, Array]:
    """Return the covariates above a feature, the samples that have it, and its numbers.

    Args:
        null: the null model.
        g: the feature (1, m).
        missing: whether it may miss samples.
        cleaned: whether numbers that are not finite are 0 in samples that do not count;
            where they are not, a fit takes them up.
    """
    number, is_missing = _numbers(g, null)
    samples = null.samples
    if missing:
        weight = jnp.where(is_missing, 0.0, samples.weights())
        samples = samples._replace(weight=weight)
    if cleaned:
        left_out = (samples.weights() == 0) & ~jnp.isfinite(number)
        number = jnp.where(left_out, 0.0, number)
    X: Design = Dense(number)
    return (Stacked(null.rows, X) if len(null.theta) else X), samples, number


def start_of(null: NullModel, number: Array) -> tuple[Array, Array]:
    """Return the null model with a feature of weight 0, and the largest |entries|.

    Shapes: number (1, m), the feature; results (q + 1, 1).
    """
    theta = jnp.append(null.theta, jnp.zeros((1, 1), number.dtype), axis=0)
    return theta, jnp.append(null.row_max, largest(jnp.abs(number)))[:, None]


def rise(samples: Samples, z: Array, best: Array) -> Array:
    """Return the summed losses at logits z less those at others.

    Sample by sample: the digits of the sums themselves are not enough.
    """
    y = samples.y
    return samples.weighted(log_loss(FAST, z, y) - log_loss(FAST, best, y)).sum()


@partial(program, static_argnums=(0, 1))
def newton_scan(plan: Plan, steps: int, null: NullModel, G: Array) -> Scan:
    """Return the results after a few steps: each CONVERGED or MAX_STEPS.

    Equation (18) of docs/derivation.md, from the null model. After none, the results
    are those of the score test, equation (40): the last entry of the first step is the
    score times the variance. They are SINGULAR without a variance, and MAX_STEPS if the
    null model is no minimum.
    """

    def one(g: Array) -> Scan:
        X, samples, number = one_feature(null, g[None], plan.missing, steps == 0)
        theta, row_max = start_of(null, number)

        def advance(now: tuple[Array, NewtonStep], _: None) -> tuple[Any, None]:
            theta, step = now
            theta = theta - step.vector
            z = samples.add_offset(X.forward(theta))
            return (theta, newton_step(X, samples, z)), None

        # The logits of the first step are those of the null model.
        start = (theta, newton_step(X, samples, null.z))
        (theta, step), _ = lax.scan(advance, start, length=steps)
        # The test of `fit`, with a bound of the change of the logits.
        moved = jnp.sum(jnp.abs(step.vector) * row_max)
        decrement = jnp.sqrt(step.predicted_decrease / samples.total_weight())
        small = (moved <= null.tol) & (decrement <= null.tol) & ~step.singular
        theta, drop = theta - step.vector, None
        if plan.ratio:
            without, known = _without(plan, steps, null, samples)
            drop = rise(samples, without, samples.add_offset(X.forward(theta)))
            small &= known
        status = jnp.where(small, Status.CONVERGED, Status.MAX_STEPS)
        if steps == 0:
            status = _score_status(null, samples, number, step)
        return result(theta[-1], step.variance, status, drop)

    # Many batches in one call use the memory of one, again and again.
    return lax.map(one, G, batch_size=plan.width)


def _without(
    plan: Plan, steps: int, null: NullModel, samples: Samples
) -> tuple[Array, Array]:
    """Return the logits of the covariates alone, and whether they are a minimum.

    A feature that misses samples has a null model of its own.
    """
    if not plan.missing:
        return null.z, null.converged
    given = (null.theta, null.row_max, null.tol)
    return fit_covariates(null.rows, samples, *given, steps)[1:]


def _score_status(
    null: NullModel, samples: Samples, number: Array, step: NewtonStep
) -> Array:
    """Return the status of a score test; each line overrules the last."""
    known = jnp.isfinite(step.vector).all() & (step.variance > 0)
    status = jnp.where(known, Status.CONVERGED, Status.NONFINITE)
    status = jnp.where(step.singular, Status.SINGULAR, status)
    status = jnp.where(null.converged, status, Status.MAX_STEPS)
    valid = jnp.isfinite(number).all() & (samples.total_weight() > 0)
    return jnp.where(valid, status, Status.BAD_INPUT)


@partial(program, static_argnums=(0, 1))
def fit_scan(firth: bool, ratio: bool, null: NullModel, G: Array) -> Scan:
    """Return the results of `fit`, or of Firth's, for the features that need it."""

    def one(g: Array) -> Scan:
        number, is_missing = _numbers(g[None], null)
        y, offset = null.samples.y, null.samples.offset
        weight = jnp.where(is_missing, 0.0, null.samples.weights())
        number = jnp.where((weight == 0) & ~jnp.isfinite(number), 0.0, number)
        X: Design = Dense(number)
        bias = null.free is None
        covariates = null.rows.X[:-1] if bias else null.rows.X
        if len(covariates):
            X = Stacked(Dense(covariates), X)
        given: dict[str, Any] = {"weight": weight, "offset": offset, "bias": bias}
        tau = FIRTH if firth else 0.0
        found = fit(X, y, tol=null.tol, jeffreys=tau, **given)
        if firth:
            own = prepare_fit(found, X, y, weight, offset, 0.0, bias, tau)
            kind = Kind("augmented", "frequency", y.shape[1])
            variance = model_covariance(kind, own, None)[0][-2, -2:-1]
        else:
            samples = Samples(X, y, weight, offset)
            problem = Problem(samples, jnp.zeros((), y.dtype), null.free)
            variance = variance_of_weight(problem, found.params, -2)  # above the bias
        status, drop = found.status, None
        if ratio:
            feature, more = [X.shape[0] - 1], {"jeffreys": tau, **given}
            test = likelihood_ratio_test(found, X, y, feature, **more)
            answered = status == Status.CONVERGED
            status = jnp.where(answered, test.status, status)
            drop = test.statistic / 2
        return result(found.params.w[-1], variance, status, drop, firth)

    return jax.vmap(one)(G)
