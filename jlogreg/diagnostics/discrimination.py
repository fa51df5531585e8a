"""The area under the ROC curve, and its standard error."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.arrays import at_least, at_most
from jlogreg.base.checks import AnyArray, check_matrix
from jlogreg.base.programs import program
from jlogreg.data.devices.spread import gather
from jlogreg.data.samples import check_samples, prepare_rows
from jlogreg.diagnostics.tails import check_level, normal_quantile

__all__ = ["Auc", "auc_delong", "check_predictions"]

SIDES = ("left", "right")  # of a tie


class Auc(NamedTuple):
    """The area under the ROC curve, with its standard error and interval.

    Shapes: all (). roc_auc is the probability that a sample of the label 1 has a larger
    score than one of the label 0, ties counted half.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.inference import auc_delong
        >>> score = jnp.array([[0.1, 0.4, 0.5, 0.6, 0.8, 0.9]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = auc_delong(score, y)
        >>> f"{found.roc_auc:.3f} +- {found.standard_error:.3f}"
        '0.889 +- 0.157'
    """

    roc_auc: Float[Array, ""]
    standard_error: Float[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]


def auc_delong(
    score: Float[AnyArray, "1 m"],
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    level: Any = 0.95,
) -> Auc:
    """Return the area under the ROC curve with DeLong's standard error.

    Shapes: score, such as logits or probabilities, y and weight (1, m), y 0 or 1;
    result Auc of (). Weights are frequencies. Equation (46) of docs/derivation.md
    (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988). The interval is auc -+ z
    standard errors, within [0, 1]. NaN if a label has fewer than two samples, or a
    score is NaN, or a label between 0 and 1. For many scores, map with jax.vmap.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a label, a weight or the level is out of range.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg.inference import auc_delong
        >>> score = jnp.array([[0.1, 0.4, 0.5, 0.6, 0.8, 0.9]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> f"{auc_delong(score, y, level=0.9).low:.3f}"
        '0.630'
    """
    score, y, v = check_predictions("score", score, y, weight)
    return _delong(score[0], y[0], v[0], check_level(level, score.dtype))


def check_predictions(
    name: str, value: Any, y: Any, weight: Any
) -> tuple[Float[Array, "1 m"], Float[Array, "1 m"], Float[Array, "1 m"]]:
    """Return predictions, labels and weights (1, m), checked; by default all 1.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a label or a weight is out of range, or all weights are 0.
    """
    value, y, weight = gather((value, y, weight))  # an order is of all samples
    value = check_matrix(name, value, (1, "m"))
    rows = prepare_rows(check_samples(value, y, weight))
    return value, rows.y, rows.weights()


@partial(program, inline=True)
def _delong(score: Array, y: Array, v: Array, level: Array) -> Auc:
    known = ((y == 0) | (y == 1)) & ~jnp.isnan(score)
    valid = (known | (v == 0)).all()
    # Excluded samples may have any score; NaN has no place in an order.
    score = jnp.where(known, score, 0.0)
    order = jnp.argsort(score)
    ordered = score[order]
    left, right = (jnp.searchsorted(ordered, score, side=side) for side in SIDES)

    # The share of the weights at lower scores, ties counted half.
    def placement(weights: Array) -> Array:
        before = jnp.concatenate([jnp.zeros(1, v.dtype), jnp.cumsum(weights[order])])
        return (before[left] + before[right]) / (2 * before[-1])

    # The share of the other label that each sample exceeds, and its variance; (46).
    ones, zeros = v * y, v * (1 - y)
    of_ones, of_zeros = placement(zeros), 1 - placement(ones)
    auc = (ones * of_ones).sum() / ones.sum()

    def variance(weights: Array, placed: Array) -> Array:
        count = weights.sum()
        squares = (weights * jnp.square(placed - auc)).sum()
        return jnp.where(count > 1, squares / ((count - 1) * count), jnp.nan)

    error = jnp.sqrt(variance(ones, of_ones) + variance(zeros, of_zeros))
    half = normal_quantile(level) * error
    low, high = at_least(auc - half, 0), at_most(auc + half, 1)
    return Auc(*(jnp.where(valid, each, jnp.nan) for each in (auc, error, low, high)))
