"""Decisions by a threshold on the probability: counts, and how many are right."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.checks import AnyArray, check_number, check_range
from jlogreg.metrics.rows import Metric, by_row, check_rows, shares

__all__ = [
    "THRESHOLD",
    "Confusion",
    "accuracy",
    "confusion",
    "counts_of",
    "share_of_right",
]

THRESHOLD = 0.5


class Confusion(NamedTuple):
    """The weights of samples by label and decision.

    Shapes: each (), or (K,) for rows: how many samples, or the sum of their weights,
    of label 1 that were found (true_positive) and missed (false_negative), and of label
    0 that were taken for 1 (false_positive) and not (true_negative).

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.metrics import confusion
        >>> a, y = jnp.array([[0.2, 0.6, 0.7, 0.9]]), jnp.array([[0.0, 0.0, 1.0, 1.0]])
        >>> counts = confusion(a, y)
        >>> found, missed = counts.true_positive, counts.false_negative
        >>> float(found / (found + missed))  # the sensitivity, or recall
        1.0
    """

    true_positive: Float[Array, "*K"]
    false_positive: Float[Array, "*K"]
    false_negative: Float[Array, "*K"]
    true_negative: Float[Array, "*K"]


def confusion(
    a: Float[AnyArray, "K m"],
    y: Float[AnyArray, "K m"],
    *,
    weight: Float[AnyArray, "K m"] | None = None,
    threshold: Any = THRESHOLD,
) -> Confusion:
    """Return how many samples of either label have a probability above a threshold.

    Shapes: each (1, m), counts (); or with rows (K, m), beside rows (1, m) for all,
    counts (K,). A label between 0 and 1 counts for both labels in part. NaN where a
    probability that counts is NaN.

    Args:
        a: probabilities of the label 1.
        y: labels.
        weight: at least 0; a weight of 0 excludes a sample, whatever it contains.
        threshold: a number in [0, 1]; a > threshold is a decision for 1, as in
            `jlogreg.predict`.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of range; a traced one gives NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.metrics import confusion
        >>> a, y = jnp.array([[0.2, 0.6, 0.7, 0.9]]), jnp.array([[0.0, 0.0, 1.0, 1.0]])
        >>> [int(count) for count in confusion(a, y)]
        [2, 1, 0, 1]
    """
    rows = check_rows("a", a, y, weight, True)
    found: Confusion = by_row(
        Metric(counts_of), *rows, _check_threshold(threshold, rows[0])
    )
    return found


def accuracy(
    a: Float[AnyArray, "K m"],
    y: Float[AnyArray, "K m"],
    *,
    weight: Float[AnyArray, "K m"] | None = None,
    threshold: Any = THRESHOLD,
) -> Float[Array, "*K"]:
    """Return the share of samples whose label is predicted.

    Compare it with the share of the larger label, which a constant prediction reaches.

    Shapes: each (1, m), result (); or with rows (K, m), beside rows (1, m) for all,
    result (K,), in [0, 1]. A label between 0 and 1 counts for both labels in part. NaN
    where a probability that counts is NaN, or no sample has a weight.

    Args:
        a: probabilities of the label 1.
        y: labels.
        weight: at least 0; a weight of 0 excludes a sample, whatever it contains.
        threshold: as for `confusion`.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of range; a traced one gives NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.metrics import accuracy
        >>> a, y = jnp.array([[0.2, 0.6, 0.7, 0.9]]), jnp.array([[0.0, 0.0, 1.0, 1.0]])
        >>> float(accuracy(a, y))
        0.75
    """
    rows = check_rows("a", a, y, weight, True)
    return by_row(Metric(share_of_right), *rows, _check_threshold(threshold, rows[0]))


def _check_threshold(threshold: Any, a: Array) -> Array:
    checked = check_number("threshold", threshold, a.dtype)
    return check_range("threshold", checked, 0.0, 1.0)


def counts_of(a: Array, y: Array, weight: Array, threshold: Any) -> Confusion:
    """Return the counts of one row (m,), without checks."""
    above = jnp.where(jnp.isnan(threshold), jnp.nan, (a > threshold).astype(a.dtype))
    return Confusion(
        true_positive=(weight * y * above).sum(),
        false_positive=(weight * (1 - y) * above).sum(),
        false_negative=(weight * y * (1 - above)).sum(),
        true_negative=(weight * (1 - y) * (1 - above)).sum(),
    )


def share_of_right(a: Array, y: Array, weight: Array, threshold: Any) -> Array:
    """Return the accuracy of one row (m,), without checks."""
    counts = counts_of(a, y, shares(weight), threshold)
    right = counts.true_positive + counts.true_negative
    # Of all that is counted, so that it is 1 where nothing is wrong.
    return right / (right + counts.false_positive + counts.false_negative)
