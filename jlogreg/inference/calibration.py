"""Calibration: observed frequencies by predicted probability."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jlogreg.base.checks import AnyArray, check_count, check_matrix

__all__ = ["Calibration", "calibration"]


class Calibration(NamedTuple):
    """Hold how often what was said to have a probability came true.

    Shapes: predicted, observed and count (1, bins): mean probability, share of label 1
    and number of predictions, NaN and 0 where there are none; error (), the expected
    calibration error, the mean of |observed - predicted| over all predictions.
    """

    predicted: Float[Any, "1 bins"]
    observed: Float[Any, "1 bins"]
    count: Int[Any, "1 bins"]
    error: float


def calibration(
    probability: Float[AnyArray, "K m"], y: Float[AnyArray, "K m"], bins: int = 10
) -> Calibration:
    """Return how often what was said to have a probability came true.

    Shapes: probability and y (K, m), all rows together; the bins divide [0, 1] evenly.
    What has a probability of NaN is left out. The error is that of Naeini, Cooper and
    Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, 2015.

    Raises:
        DtypeError, RankError, ShapeError: an argument is no such array.
        ValueError: bins is less than 1.
    """
    bins = check_count("bins", bins, least=1)
    a = np.asarray(check_matrix("probability", probability, ("K", "m")), np.float64)
    y = np.asarray(check_matrix("y", y, a.shape), np.float64)
    known = ~np.isnan(a)
    a, y = a[known], y[known]
    place = np.minimum((a * bins).astype(int), bins - 1)
    count, *sums = (np.bincount(place, of, bins)[None] for of in (None, a, y))
    predicted, observed = (
        np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
        for total in sums
    )
    error = np.abs(sums[1] - sums[0]).sum() / max(1, a.size)
    return Calibration(predicted, observed, count, float(error))
