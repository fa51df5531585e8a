"""The penalty of a fit to a table, and what folds say of it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jlogreg.base.status import Status
from jlogreg.batch.cross_validation import cross_validate
from jlogreg.batch.fit_many import fit_many
from jlogreg.batch.validation import (
    CrossValidation,
    ValidationData,
    held_out_losses,
    held_out_metrics,
    summarize_losses,
)
from jlogreg.data.standardized import Standardized
from jlogreg.objective.jeffreys import FIRTH
from jlogreg.tables.model import Validation
from jlogreg.tables.samples import Samples

__all__ = ["Penalty", "check_penalties", "numbers", "validated"]

METRICS = ("roc_auc", "average_precision", "brier", "accuracy")


class Penalty(NamedTuple):
    """What is added to the mean loss of a fit."""

    l2: float
    l1: float
    firth: bool = False

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `jlogreg.fit`."""
        return {"l2": self.l2, "l1": self.l1, "jeffreys": FIRTH if self.firth else 0.0}


def check_penalties(l2: Any, l1: Any, firth: bool) -> np.ndarray:
    """Return the pairs of l2 and l1 (L, 2).

    Raises:
        ValueError: if they are none.
    """
    columns = []
    for name, given in (("l2", l2), ("l1", l1)):
        column = np.atleast_1d(np.asarray(given))
        number = column.size and column.dtype.kind in "biuf"
        if not number or not (np.isfinite(column) & (column >= 0)).all():
            raise ValueError(
                f"{name} must be a number of at least 0, or several, but is {given!r}"
            )
        columns.append(column.astype(float))
    sizes = {len(column) for column in columns} - {1}
    if len(sizes) > 1:
        raise ValueError(
            f"l2 has {len(columns[0])} penalties, but l1 {len(columns[1])}"
        )
    if firth and any(column.any() or len(column) > 1 for column in columns):
        raise ValueError("firth=True has no penalty beside it: leave l2 and l1 out")
    return np.stack(np.broadcast_arrays(*columns), axis=1)


def validated(
    X: Standardized,
    given: Samples,
    penalties: np.ndarray,
    firth: bool,
    bias: bool,
    folds: int,
    seed: int,
    progress: Any,
) -> tuple[Validation | None, int]:
    """Return what the folds say, if each can have both labels, and the best penalty.

    Shapes: penalties (L, 2), l2 and l1; the best is its row.
    """
    y = given.y
    rows = _folds(y[0], given.clusters, folds, seed)
    if (count := len(rows)) < 2:
        return None, 0
    options: dict[str, Any] = {"bias": bias, "progress": progress}
    options |= given.weight_and_offset
    if firth:
        return _validation(_firth_folds(X, y, rows, options), penalties, 0, count), 0
    l2, l1 = penalties[:, :1], penalties[:, 1:]
    options |= {"l1": l1, "folds": rows, "metrics": METRICS}
    found = cross_validate(X, y, l2, **options)
    row = max(int(found.best[0, 0]), 0)
    return _validation(found, penalties, row, count), row


def _folds(
    y: np.ndarray, clusters: np.ndarray | None, most: int, seed: int
) -> np.ndarray:
    """Return rows of weights (F, m): 0 where a fold holds a sample out.

    Shapes: y (m,), clusters (1, m). The folds have about the same share of both labels,
    and the rows of a cluster are in one of them. There are fewer than asked for if a
    label has fewer samples, or clusters.
    """
    of_label = [np.flatnonzero(y == value) for value in (0, 1)]
    if clusters is not None and most:
        of_label = [np.unique(clusters[0, own]) for own in of_label]
    count = min(most, *map(len, of_label))
    if count < 2:
        return np.zeros((0, len(y)))
    rng = np.random.default_rng(seed)
    place = (
        _dealt(y, count, rng)
        if clusters is None
        else _dealt_whole(y, clusters[0], count, rng)
    )
    return (place != np.arange(count)[:, None]).astype(float)


def _dealt(y: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each sample."""
    place = np.empty(len(y), int)
    for value in (0.0, 1.0):
        own = rng.permutation(np.flatnonzero(y == value))
        place[own] = np.arange(len(own)) % count
    return place


def _dealt_whole(
    y: np.ndarray, clusters: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the fold of each sample, the same for all of a cluster.

    The largest clusters come first, each to the fold that has least of its labels.
    """
    _, cluster = np.unique(clusters, return_inverse=True)
    counts = np.stack([np.bincount(cluster, 1 - y), np.bincount(cluster, y)], axis=1)
    shares = counts / counts.sum(axis=0)
    order = rng.permutation(len(shares))
    filled, fold = np.zeros((count, 2)), np.empty(len(shares), int)
    for each in order[np.argsort(-shares[order].max(axis=1), kind="stable")]:
        fold[each] = np.argmin(filled @ shares[each])
        filled[fold[each]] += shares[each]
    return fold[cluster]


class _HeldOut(NamedTuple):
    """What the folds say of L penalties, as in a CrossValidation.

    Shapes: loss and standard_error (1, L); metrics, by name, and status (1, L, F).
    """

    loss: Any
    standard_error: Any
    metrics: dict[str, Any]
    status: Any


def _validation(
    found: CrossValidation | _HeldOut, penalties: np.ndarray, row: int, count: int
) -> Validation:
    scores = {"log_loss": float(found.loss[0, row])}
    for name in METRICS:
        scores[name] = float(np.mean(np.asarray(found.metrics[name])[0, row]))
    status = np.asarray(found.status)[0, row]
    return Validation(
        count,
        tuple(penalties[:, 0].tolist()),
        numbers(found.loss[0]),
        numbers(found.standard_error[0]),
        {name: _number(value) for name, value in scores.items()},
        _failed(status),
        tuple(penalties[:, 1].tolist()) if penalties[:, 1].any() else (),
    )


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def numbers(values: Any) -> tuple[float | None, ...]:
    """Return numbers as Python's own, None for what is not finite."""
    return tuple(_number(value) for value in np.asarray(values, float).tolist())


def _firth_folds(
    X: Standardized, y: np.ndarray, folds: np.ndarray, options: dict[str, Any]
) -> _HeldOut:
    """Return what the folds say of Firth's estimate, as of one penalty."""
    weight, offset = options.pop("weight"), options["offset"]
    own = folds if weight is None else folds * weight
    found = fit_many(X, y, weight=own, jeffreys=FIRTH, **options)
    fits = jax.tree.map(lambda leaf: leaf[None, None], found)
    given = ValidationData.of(
        Y=jnp.asarray(y),
        l2=jnp.zeros((1, 1)),
        weight=None if weight is None else jnp.asarray(weight),
        offset=None if offset is None else jnp.asarray(offset),
        folds=jnp.asarray(folds),
    )
    losses = summarize_losses(held_out_losses(X, given, fits), given)
    return _HeldOut(*losses, held_out_metrics(METRICS, X, given, fits), fits.status)


def _failed(status: np.ndarray) -> tuple[str, ...]:
    return tuple(Status(int(code)).name for code in status if code != Status.CONVERGED)
