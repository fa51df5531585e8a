"""Calibration: do predicted probabilities hold?"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jlogreg.base.checks import AnyArray, check_count, check_matrix, check_range
from jlogreg.base.programs import program
from jlogreg.base.shapes import as_labels
from jlogreg.base.status import Status
from jlogreg.data.devices.spread import gather
from jlogreg.diagnostics.discrimination import check_predictions
from jlogreg.diagnostics.fitted import Fitted, Given, prepare_fit
from jlogreg.diagnostics.sandwich import Kind, covariance_matrix
from jlogreg.diagnostics.tails import HypothesisTest, chi2_test
from jlogreg.fitting.fit import fit

__all__ = [
    "Calibration",
    "CalibrationLine",
    "calibration",
    "calibration_line",
    "hosmer_lemeshow",
]


class Calibration(NamedTuple):
    """Observed frequency of label 1 by predicted probability.

    Shapes: predicted, observed and count (1, bins): mean probability and frequency of
    label 1 (both NaN in an empty bin), and number of predictions, or the sum of their
    weights. error: the expected
    calibration error, the mean of |observed - predicted| over all predictions, in
    [0, 1].
    """

    predicted: Float[Any, "1 bins"]
    observed: Float[Any, "1 bins"]
    count: Float[Any, "1 bins"]
    error: float


def calibration(
    probability: Float[AnyArray, "K m"],
    y: Float[AnyArray, "K m"],
    bins: int = 10,
    *,
    weight: Float[AnyArray, "K m"] | None = None,
) -> Calibration:
    """Return the observed frequency of label 1 in bins of predicted probability.

    Shapes: probability, y and weight (K, m), probability and y in [0, 1], all rows
    together. The bins have equal widths. Probabilities that are NaN are left out. A
    weight of k is a prediction that occurs k times. The error is that of Naeini, Cooper
    and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning,
    2015.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if bins is less than 1, or a weight less than 0.
    """
    bins = check_count("bins", bins, least=1)
    a = np.asarray(check_matrix("probability", probability, ("K", "m")), np.float64)
    y = np.asarray(check_matrix("y", as_labels(y, a.dtype), a.shape), np.float64)
    v = np.ones_like(a)
    if weight is not None:
        checked = check_range("weight", check_matrix("weight", weight, a.shape), 0.0)
        v = np.asarray(checked, np.float64)
    valid = ~np.isnan(a)
    a, y, v = a[valid], y[valid], v[valid]
    # The bin of each prediction; a probability of 1 is in the last.
    place = np.minimum((a * bins).astype(int), bins - 1)
    count, *sums = (np.bincount(place, of, bins)[None] for of in (v, v * a, v * y))
    predicted, observed = (
        np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
        for total in sums
    )
    # sum over bins of count |observed - predicted|, over all predictions.
    total = count.sum()
    error = np.abs(sums[1] - sums[0]).sum() / total if total else 0.0
    return Calibration(predicted, observed, count, float(error))


class CalibrationLine(NamedTuple):
    """Intercept and slope of observed against predicted log-odds.

    Shapes: all (). slope is 1 if predictions are as extreme as they should be, less if
    they are too extreme; intercept, with the slope held at 1, is 0 if they are right on
    average, more if they are too low. Where a fit has not converged they are NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.inference import calibration_line
        >>> z = jnp.array([[-3.0, -1.0, 1.0, -1.0, 1.0, 3.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 1.0, 0.0, 1.0]])
        >>> found = calibration_line(z, y)
        >>> f"{found.intercept:.2f}", f"{found.slope:.2f}"
        ('0.00', '0.69')
    """

    intercept: Float[Array, ""]
    intercept_error: Float[Array, ""]
    slope: Float[Array, ""]
    slope_error: Float[Array, ""]
    status: Int[Array, ""]


def calibration_line(
    z: Float[AnyArray, "1 m"],
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
) -> CalibrationLine:
    """Return intercept and slope of the labels against predicted logits.

    Shapes: z, the predicted logits of samples that were not in the fit, y and weight
    (1, m); result CalibrationLine of (). The slope is that of a fit with z as its only
    feature, the intercept that of a fit with z as its offset (Cox, Biometrika 45,
    1958). The errors are those of the Fisher information, the weights frequencies. For
    many predictions, map with jax.vmap.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of range, NaN or infinite.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.inference import calibration_line
        >>> z = jnp.array([[-3.0, -1.0, 1.0, -1.0, 1.0, 3.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 1.0, 0.0, 1.0]])
        >>> f"{calibration_line(z - 1, y).intercept:.2f}"
        '1.00'
    """
    weight = gather(weight)
    z, y, _ = check_predictions("z", z, y, weight)
    line = fit(z, y, weight=weight)
    shift = fit(z[:0], y, weight=weight, offset=z)
    given = (
        prepare_fit(line, z, y, weight, None, 0.0, True),
        prepare_fit(shift, z[:0], y, weight, z, 0.0, True),
    )
    errors = _first_error(given[0]), _first_error(given[1])
    answered = line.status == Status.CONVERGED
    status = jnp.where(answered, shift.status, line.status).astype(jnp.int32)
    slope, intercept = (
        jnp.where(each.status == Status.CONVERGED, value, jnp.nan)
        for each, value in ((line, line.params.w[0, 0]), (shift, shift.params.b[0, 0]))
    )
    return CalibrationLine(intercept, errors[1], slope, errors[0], status)


@partial(program, inline=True)
def _first_error(given: Given) -> Float[Array, ""]:
    """Return the standard error of the first unknown, NaN without an answer."""
    kind = Kind("fisher", "frequency", 0)
    error = jnp.sqrt(covariance_matrix(kind, Fitted.of(given), None)[0, 0])
    return jnp.where(given.status == Status.CONVERGED, error, jnp.nan)


def hosmer_lemeshow(
    probability: Float[AnyArray, "1 m"],
    y: Float[AnyArray, "1 m"],
    *,
    groups: int = 10,
    weight: Float[AnyArray, "1 m"] | None = None,
) -> HypothesisTest:
    """Return the test of Hosmer and Lemeshow that probabilities are right.

    Shapes: probability, y and weight (1, m); result HypothesisTest of (). The samples
    are put into groups of about equal sizes by their probability, at its quantiles.
    With O labels 1 among N samples of a group, and the sum E of their probabilities,
    the statistic is the sum of (O - E)^2 / (E (1 - E / N)), with groups - 2 degrees of
    freedom for probabilities of the fit to the same samples (Hosmer and Lemeshow,
    Commun. Statist. 9, 1980). Weights are frequencies. NaN if a group is empty: there
    are too few different probabilities. For many fits, map with jax.vmap.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of range, NaN or infinite, or groups less than 3.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.inference import hosmer_lemeshow
        >>> a = jnp.linspace(0.05, 0.95, 40)[None]
        >>> y = jnp.where(jnp.arange(40) % 3 == 0, 1.0, 0.0)[None]
        >>> found = hosmer_lemeshow(a, y, groups=4)
        >>> int(found.df), bool(found.p < 0.01)
        (2, True)
    """
    groups = check_count("groups", groups, least=3)
    a, y, v = check_predictions("probability", probability, y, weight)
    a = check_range("probability", a, 0.0, 1.0)
    return _hosmer_lemeshow(groups, a[0], y[0], v[0])


@partial(program, static_argnums=0, inline=True)
def _hosmer_lemeshow(groups: int, a: Array, y: Array, v: Array) -> HypothesisTest:
    valid = jnp.isfinite(a + y + v).all()
    a = jnp.where(jnp.isfinite(a), a, 0.0)
    # The quantiles of the samples, each written as often as its weight says.
    order = jnp.argsort(a)
    ordered, written = a[order], jnp.cumsum(v[order])
    levels = jnp.arange(1, groups, dtype=a.dtype) / groups
    places = levels * (written[-1] - 1)
    below = jnp.floor(places)

    def at(place: Array) -> Array:
        return ordered[jnp.searchsorted(written, place, side="right")]

    low, high = at(below), at(below + 1)
    cuts = low + (places - below) * (high - low)
    group = jnp.searchsorted(cuts, a, side="left")

    def sums(terms: Array) -> Array:
        return jax.ops.segment_sum(terms, group, groups)

    size, expected, observed = sums(v), sums(v * a), sums(v * y)
    variance = expected * (1 - expected / size)
    parts = jnp.square(observed - expected) / variance
    answered = valid & (size > 0).all()
    status = jnp.where(answered, Status.CONVERGED, Status.BAD_INPUT).astype(jnp.int32)
    return chi2_test(parts.sum(), groups - 2, status, answered)
