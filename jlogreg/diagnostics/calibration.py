"""Calibration: observed frequencies by predicted probability."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jlogreg.base.checks import AnyArray, check_count, check_matrix, check_range

__all__ = ["Calibration", "calibration"]


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
    y = np.asarray(check_matrix("y", y, a.shape), np.float64)
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
