"""How close probabilities are to labels: proper scores and calibration."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import as_array
from jlogreg.base.checks import AnyArray, check_count
from jlogreg.losses import elementwise as losses
from jlogreg.losses.arithmetic import EXACT
from jlogreg.metrics.rows import Metric, by_row, check_rows, shares

__all__ = [
    "BINS",
    "BrierParts",
    "brier",
    "brier_decomposition",
    "calibration_error",
    "expected_calibration_error",
    "log_loss",
    "mean_log_loss",
    "mean_squared_error",
]

BINS = 10


def log_loss(
    z: Float[AnyArray, "K m"],
    y: Float[AnyArray, "K m"],
    *,
    weight: Float[AnyArray, "K m"] | None = None,
) -> Float[Array, "*K"]:
    """Return the mean log loss of logits.

    It is the weighted mean of `jlogreg.log_loss`, equation (6) of docs/derivation.md,
    in nats, and finite wherever z is. log 2 is the loss of a probability of 1/2.

    Shapes: each (1, m), result (); or with rows (K, m), beside rows (1, m) for all,
    result (K,). NaN where a logit that counts is NaN, or no sample has a weight.

    Args:
        z: logits, not probabilities, so that the tails keep their digits.
        y: labels.
        weight: at least 0; a weight of 0 excludes a sample, whatever it contains.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a label or weight is out of range; a traced one gives NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.metrics import log_loss
        >>> z, y = jnp.array([[0.0, -100.0]]), jnp.array([[1.0, 1.0]])
        >>> print(f"{log_loss(z, y):.3f}")  # the mean of log 2 and 100
        50.347
    """
    return by_row(Metric(mean_log_loss), *check_rows("z", z, y, weight))


def brier(
    a: Float[AnyArray, "K m"],
    y: Float[AnyArray, "K m"],
    *,
    weight: Float[AnyArray, "K m"] | None = None,
) -> Float[Array, "*K"]:
    """Return the Brier score, the mean of (a - y)^2.

    Brier, Monthly Weather Review 78, 1950, for one of two classes; equation (32) of
    docs/derivation.md. 1/4 is the score of a probability of 1/2, 0 the best.

    Shapes: each (1, m), result (); or with rows (K, m), beside rows (1, m) for all,
    result (K,), in [0, 1]. NaN where a probability that counts is NaN, or no sample has
    a weight.

    Args:
        a: probabilities of the label 1.
        y: labels.
        weight: at least 0; a weight of 0 excludes a sample, whatever it contains.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of range; a traced one gives NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.metrics import brier
        >>> float(brier(jnp.array([[0.5, 1.0]]), jnp.array([[0.0, 1.0]])))
        0.125
    """
    return by_row(Metric(mean_squared_error), *check_rows("a", a, y, weight, True))


class BrierParts(NamedTuple):
    """The Brier score as a sum: reliability - resolution + uncertainty + within_bins.

    Shapes: each (), or (K,) for rows. reliability: how far the mean probability of a
    bin is from the frequency of label 1 there, squared; resolution: how far those
    frequencies are from that of all samples, squared; uncertainty: the variance of the
    labels; within_bins: the rest, which is 0 if all probabilities of a bin are equal.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.metrics import brier_decomposition
        >>> y = jnp.array([[0.0, 1.0, 1.0, 1.0]])
        >>> parts = brier_decomposition(jnp.full((1, 4), 0.5), y)
        >>> float(parts.reliability), float(parts.resolution), float(parts.uncertainty)
        (0.0625, 0.0, 0.1875)
    """

    reliability: Float[Array, "*K"]
    resolution: Float[Array, "*K"]
    uncertainty: Float[Array, "*K"]
    within_bins: Float[Array, "*K"]


def brier_decomposition(
    a: Float[AnyArray, "K m"],
    y: Float[AnyArray, "K m"],
    *,
    weight: Float[AnyArray, "K m"] | None = None,
    bins: int = BINS,
) -> BrierParts:
    """Return the parts of the Brier score, from bins of probability of equal width.

    Murphy, J. Appl. Meteorology 12, 1973, with what varies within the bins (Stephenson,
    Coelho and Jolliffe, Weather and Forecasting 23, 2008): equation (33) of
    docs/derivation.md. The parts add up to `brier` in any bins.

    Shapes: each (1, m), parts (); or with rows (K, m), beside rows (1, m) for all,
    parts (K,).

    Args:
        a: probabilities of the label 1.
        y: labels.
        weight: at least 0; a weight of 0 excludes a sample, whatever it contains.
        bins: how many.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of range; a traced one gives NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.metrics import brier, brier_decomposition
        >>> a, y = jnp.array([[0.1, 0.2, 0.7, 0.8]]), jnp.array([[0.0, 1.0, 1.0, 1.0]])
        >>> parts = brier_decomposition(a, y, bins=2)
        >>> total = parts.reliability - parts.resolution + parts.uncertainty
        >>> print(f"{total + parts.within_bins:.4f} {brier(a, y):.4f}")
        0.1950 0.1950
    """
    edges = _bins(bins)
    rows = check_rows("a", a, y, weight, True)
    found: BrierParts = by_row(
        Metric(_brier_parts), *rows, as_array(edges, rows[0].dtype)
    )
    return found


def calibration_error(
    a: Float[AnyArray, "K m"],
    y: Float[AnyArray, "K m"],
    *,
    weight: Float[AnyArray, "K m"] | None = None,
    bins: int = BINS,
) -> Float[Array, "*K"]:
    """Return the expected calibration error, from bins of equal width.

    It is the mean over all samples of |mean probability - frequency of label 1| of
    their bin (Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities
    using Bayesian binning, 2015): equation (34) of docs/derivation.md.

    Shapes: each (1, m), result (); or with rows (K, m), beside rows (1, m) for all,
    result (K,), in [0, 1]. NaN where a probability that counts is NaN, or no sample has
    a weight.

    Args:
        a: probabilities of the label 1.
        y: labels.
        weight: at least 0; a weight of 0 excludes a sample, whatever it contains.
        bins: how many.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of range; a traced one gives NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.metrics import calibration_error
        >>> a = jnp.array([[0.25, 0.25, 0.75, 0.75]])
        >>> float(calibration_error(a, jnp.array([[0.0, 0.0, 1.0, 1.0]])))
        0.25
    """
    edges = _bins(bins)
    rows = check_rows("a", a, y, weight, True)
    return by_row(
        Metric(expected_calibration_error), *rows, as_array(edges, rows[0].dtype)
    )


def _bins(bins: Any) -> np.ndarray:
    """Return the numbers of the bins (bins, 1)."""
    return np.arange(float(check_count("bins", bins, least=1)))[:, None]


def mean_log_loss(z: Array, y: Array, weight: Array) -> Float[Array, ""]:
    """Return the mean log loss of one row (m,), without checks."""
    v = shares(weight)
    return jnp.where(v == 0, 0.0, v * losses.log_loss(EXACT, z, y)).sum()


def mean_squared_error(a: Array, y: Array, weight: Array) -> Float[Array, ""]:
    """Return the Brier score of one row (m,), without checks."""
    return (shares(weight) * jnp.square(a - y)).sum()


def expected_calibration_error(
    a: Array, y: Array, weight: Array, numbers: Array
) -> Float[Array, ""]:
    """Return the calibration error of one row (m,), without checks."""
    v, inside = shares(weight), _inside(a, numbers)
    # Equation (34): |sum of v (a - y)| of each bin.
    return jnp.abs(_sums(inside, v * (a - y))).sum()


def _inside(a: Array, numbers: Array) -> Bool[Array, "bins m"]:
    """Return which sample is in which bin; a probability of 1 is in the last."""
    last = len(numbers) - 1
    place = jnp.floor(a * (last + 1))[None]
    return (place == numbers) | ((place > numbers) & (numbers == last))


def _sums(inside: Array, row: Array) -> Float[Array, " bins"]:
    """Return the sum of a row (m,) over each bin."""
    return jnp.where(inside, row[None], 0.0).sum(axis=1)


def _brier_parts(a: Array, y: Array, weight: Array, numbers: Array) -> BrierParts:
    """Return the parts of the Brier score of one row (m,), without checks."""
    v, inside = shares(weight), _inside(a, numbers)
    share = _sums(inside, v)
    held = jnp.where(share > 0, share, 1.0)
    a_mean, y_mean = (_sums(inside, v * row) / held for row in (a, y))
    rate = (v * y).sum()
    # Equation (33); its last part by the deviations from the means of the bins.
    alpha, eta = (
        row - jnp.where(inside, mean[:, None], 0.0).sum(axis=0)
        for row, mean in ((a, a_mean), (y, y_mean))
    )
    return BrierParts(
        reliability=(share * jnp.square(a_mean - y_mean)).sum(),
        resolution=(share * jnp.square(y_mean - rate)).sum(),
        uncertainty=(v * jnp.square(y - rate)).sum(),
        within_bins=(v * alpha * (alpha - 2 * eta)).sum(),
    )
