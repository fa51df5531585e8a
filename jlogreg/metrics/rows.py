"""Scores, labels and weights as rows, checked, and a metric mapped over the rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jlogreg.base.arrays import as_array, is_traced
from jlogreg.base.checks import check_matrix, check_range
from jlogreg.base.errors import ShapeError
from jlogreg.base.programs import program
from jlogreg.base.shapes import as_labels
from jlogreg.data.devices.spread import gather
from jlogreg.data.samples import check_weight, scale_weights

__all__ = ["Metric", "by_row", "check_rows", "shares"]

# Numbers of the rows that are mapped at a time, so that they stay in the cache.
ENTRIES = 2**17


class Metric(NamedTuple):
    """A metric of one row, in two steps.

    evaluate: a function of what prepare made of the scores, of labels and weights (m,),
    and of settings; prepare: None leaves the scores as they are. It does not depend on
    the labels, so what it does is done once for all rows that share their scores.
    """

    evaluate: Callable[..., Any]
    prepare: Callable[[Array], Any] | None = None


def check_rows(
    name: str, scores: Any, y: Any, weight: Any, probability: bool = False
) -> tuple[Array, Array, Array]:
    """Return scores, labels and weights as arrays (K, m) or (1, m).

    Args:
        name: of the scores in messages.
        scores: NaN stays, and makes the result of its row NaN.
        y: labels. Those of excluded samples may be invalid.
        weight: None for ones.
        probability: whether scores must be in [0, 1].

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number that counts is out of range.
    """
    scores, y, weight = gather((scores, y, weight))  # ranks are of all samples
    scores = check_matrix(name, scores, ("K", "m"))
    m, dtype = scores.shape[1], scores.dtype
    y = check_matrix("y", as_labels(y, dtype), ("K", m), dtype)
    if weight is None:
        weight = as_array(np.ones((1, m)), dtype)
    else:
        weight = check_weight(check_matrix("weight", weight, ("K", m), dtype))
    _check_sizes({name: len(scores), "y": len(y), "weight": len(weight)})
    y = _check_unit("y", y, weight)
    if probability:
        scores = _check_unit(name, scores, weight, nan=True)
    return scores, y, weight


def _check_unit(name: str, row: Array, weight: Array, nan: bool = False) -> Array:
    """Return numbers in [0, 1], NaN in place of others.

    Raises:
        ValueError: if one that counts is another, and known; NaN may be allowed.
    """
    if not is_traced(row) and not is_traced(weight):
        with jax.ensure_compile_time_eval():
            counts = weight > 0
            counts = counts.any(axis=0, keepdims=True) if len(row) == 1 else counts
            counts = counts & ~jnp.isnan(row) if nan else counts
            try:
                check_range(name, jnp.where(counts, row, 0.0), 0.0, 1.0)
            except ValueError as error:
                hint = f": for logits, write sigmoid({name})" if nan else ""
                raise ValueError(f"{error}{hint}") from None
    return _unit(row)


@partial(program, inline=True)
def _unit(row: Array) -> Array:
    return jnp.where((row >= 0) & (row <= 1), row, jnp.nan)


def _check_sizes(sizes: dict[str, int]) -> None:
    """Raise a ShapeError unless each argument has one row, or as many as the others."""
    largest = max(sizes, key=lambda name: sizes[name])
    for name, size in sizes.items():
        if size not in (1, sizes[largest]):
            raise ShapeError(
                f"{name} has {size} rows, but {largest} has {sizes[largest]}: give one "
                "row for each, or one for all"
            )


@partial(program, static_argnums=0, inline=True)
def by_row(metric: Metric, scores: Array, y: Array, weight: Array, *more: Array) -> Any:
    """Return a metric of each row, NaN where a number that counts is NaN.

    Shapes: the first three (K, m) or (1, m), the others any. The result is that of the
    metric if each has one row, and has a leading axis K otherwise.

    Args:
        metric: of one row.
        scores: of the samples.
        y: labels.
        weight: of the samples.
        more: settings that all rows share.
    """

    def prepared(scores: Array) -> tuple[Array, Any]:
        unknown = jnp.isnan(scores)
        # The order of other scores is not that of NaN, which a sort may lose.
        scores = jnp.where(unknown, 0.0, scores)
        return unknown, scores if metric.prepare is None else metric.prepare(scores)

    def evaluated(scores: tuple[Array, Any], y: Array, weight: Array) -> Any:
        invalid = ((scores[0] | jnp.isnan(y)) & (weight > 0)) | jnp.isnan(weight)
        y = jnp.where(jnp.isnan(y), 0.0, y)
        found = metric.evaluate(scores[1], y, weight, *more)
        return jax.tree.map(lambda leaf: jnp.where(invalid.any(), jnp.nan, leaf), found)

    # What one row holds for all stays outside of the map.
    rows: dict[str, Any] = {"scores": scores, "y": y, "weight": weight}
    own = {name: row for name, row in rows.items() if len(row) > 1}
    common = {name: row[0] for name, row in rows.items() if len(row) == 1}
    if "scores" in common:
        common["scores"] = prepared(common["scores"])

    def one(own: dict[str, Any]) -> Any:
        if "scores" in own:
            own = own | {"scores": prepared(own["scores"])}
        return evaluated(**common, **own)

    width = ENTRIES // y.shape[1] + 1
    if not own or len(next(iter(own.values()))) <= width:
        return jax.vmap(one)(own) if own else one(own)
    return lax.map(one, own, batch_size=width)


def shares(weight: Float[Array, " m"]) -> Float[Array, " m"]:
    """Return the weights divided by their sum; NaN where all are 0."""
    weight = scale_weights(weight)
    return weight / weight.sum()
