"""How well scores rank samples: the ROC curve and precision over recall, as areas.

Only the order of the scores counts, so logits and probabilities give the same, unless
probabilities are rounded to equal numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jlogreg.base.checks import AnyArray
from jlogreg.metrics.rows import Metric, by_row, check_rows, shares

__all__ = ["AREA_UNDER_ROC", "MEAN_PRECISION", "average_precision", "roc_auc"]


def roc_auc(
    scores: Float[AnyArray, "K m"],
    y: Float[AnyArray, "K m"],
    *,
    weight: Float[AnyArray, "K m"] | None = None,
) -> Float[Array, "*K"]:
    """Return the area under the ROC curve.

    It is the probability that a sample of label 1 has a larger score than one of label
    0, where equal scores count half: equation (30) of docs/derivation.md, and the
    statistic of Mann and Whitney (Ann. Math. Statist. 18, 1947). 1/2 is chance, 1 a
    perfect order. `jlogreg.inference.auc_delong` has its interval.

    Shapes: each (1, m), result (); or with rows (K, m), beside rows (1, m) for all,
    result (K,), in [0, 1]. Rows of weights, such as bootstrap replicates, share one
    sort of the scores. A label between 0 and 1 counts for both labels in part. The
    result is NaN where one label has no weight, or where a score that counts is NaN.

    Args:
        scores: logits or probabilities, larger for the label 1.
        y: labels.
        weight: at least 0; a weight of 0 excludes a sample, whatever it contains.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a label or weight is out of range; a traced one gives NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.metrics import roc_auc
        >>> z = jnp.array([[-1.0, 0.0, 0.0, 2.0]])
        >>> float(roc_auc(z, jnp.array([[0.0, 0.0, 1.0, 1.0]])))  # one tie of 4 pairs
        0.875
    """
    return by_row(AREA_UNDER_ROC, *check_rows("scores", scores, y, weight))


def average_precision(
    scores: Float[AnyArray, "K m"],
    y: Float[AnyArray, "K m"],
    *,
    weight: Float[AnyArray, "K m"] | None = None,
) -> Float[Array, "*K"]:
    """Return the mean precision over the samples of label 1.

    The precision of a sample is the share of label 1 among the samples whose score is
    at least as large: equation (31) of docs/derivation.md. The base rate of label 1 is
    chance, 1 a perfect order.

    Shapes: each (1, m), result (); or with rows (K, m), beside rows (1, m) for all,
    result (K,), in [0, 1]. A label between 0 and 1 counts for both labels in part. The
    result is NaN where label 1 has no weight, or where a score that counts is NaN.

    Args:
        scores: logits or probabilities, larger for the label 1.
        y: labels.
        weight: at least 0; a weight of 0 excludes a sample, whatever it contains.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a label or weight is out of range; a traced one gives NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.metrics import average_precision
        >>> z = jnp.array([[-1.0, 0.0, 1.0, 2.0]])
        >>> float(average_precision(z, jnp.array([[0.0, 1.0, 0.0, 1.0]])))
        0.8333333...
    """
    return by_row(MEAN_PRECISION, *check_rows("scores", scores, y, weight))


class _Order(NamedTuple):
    """The samples by rising score, and the places where equal scores begin and end."""

    samples: Int[Array, " m"]
    first: Int[Array, " m"]
    last: Int[Array, " m"]


def _ordered(scores: Float[Array, " m"]) -> _Order:
    samples = jnp.argsort(scores)
    ranked = scores[samples]
    (m,) = ranked.shape
    place, differs = jnp.arange(m), ranked[1:] != ranked[:-1]
    # Running extremes of whole numbers, among which there is no NaN.
    first = lax.cummax(jnp.where(jnp.append(True, differs), place, 0))
    last = lax.cummin(jnp.where(jnp.append(differs, True), place, m - 1), reverse=True)
    return _Order(samples, first, last)


def _area(order: _Order, y: Array, weight: Array) -> Float[Array, ""]:
    v, y = shares(weight)[order.samples], y[order.samples]
    positive = v * y
    negative = v - positive
    # Equation (30): the weight of label 0 below each sample, and half of its equals'.
    up_to = jnp.cumsum(negative)
    below = (up_to - negative)[order.first]
    pairs = positive * (below + up_to[order.last]) / 2
    return pairs.sum() / (positive.sum() * negative.sum())


def _precision(order: _Order, y: Array, weight: Array) -> Float[Array, ""]:
    v, y = shares(weight)[order.samples], y[order.samples]
    positive = v * y
    # Equation (31): the weight of label 1, and of both, from each score upwards.
    hits, found = (_from_above(each)[order.first] for each in (positive, v))
    precision = jnp.where(positive > 0, hits / jnp.where(found > 0, found, 1.0), 0.0)
    return (positive * precision).sum() / positive.sum()


def _from_above(array: Array) -> Array:
    return jnp.cumsum(array[::-1])[::-1]


AREA_UNDER_ROC = Metric(_area, prepare=_ordered)
MEAN_PRECISION = Metric(_precision, prepare=_ordered)
