"""The model of a table, by `jlogreg.fit`, `cross_validate` and `summary`."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jlogreg.base.status import Status
from jlogreg.batch.cross_validation import CrossValidation, cross_validate
from jlogreg.batch.scheduler import Progress
from jlogreg.data.standardized import Standardized, standardize
from jlogreg.fitting.fit import Fit
from jlogreg.fitting.fit import fit as fit_samples
from jlogreg.inference.summary import summary
from jlogreg.tables.hints import explained
from jlogreg.tables.model import Model, Validation
from jlogreg.tables.reading.read import Table
from jlogreg.tables.samples import Samples
from jlogreg.tables.schema import Schema

__all__ = ["fit"]

METRICS = ("roc_auc", "average_precision", "brier", "accuracy")


def fit(
    table: Table,
    schema: Schema,
    *,
    l2: float | Sequence[float] = 0.0,
    folds: int = 5,
    seed: int = 0,
    level: float = 0.95,
    progress: Callable[[Progress], None] | None = None,
) -> Model:
    """Return the model that is fitted to a table; host only.

    The features are standardised, so that the penalty treats all units alike, and the
    result has the units of the table. It is computed in float64 by `jlogreg.fit`, the
    held-out scores by `jlogreg.cross_validate`, and the table of coefficients by
    `jlogreg.summary`. The scale of a feature, and the mean that fills missing cells,
    are those of all rows, in the folds too.

    Args:
        table: as it was read.
        schema: what its columns become; what it leaves open is decided.
        l2: the penalty, or several, of which cross-validation chooses the one with the
            smallest held-out loss.
        folds: of the cross-validation; 0 for none.
        seed: of the generator that deals the rows to the folds.
        level: of the confidence intervals.
        progress: as for `cross_validate`.

    Raises:
        TableError: with all that is wrong with the table.
        FitError: if there is no answer, with what may be the cause.
        ValueError: if a penalty is out of range, or there are several and no folds.

    Examples:
        >>> import numpy as np, pandas
        >>> from jlogreg import tables
        >>> rng = np.random.default_rng(0)
        >>> dose = rng.normal(size=60)
        >>> alive = np.where(dose + rng.logistic(size=60) > 0, "yes", "no")
        >>> table = tables.read(pandas.DataFrame({"dose": dose, "alive": alive}))
        >>> model = tables.fit(table, tables.Schema("alive", "yes"), l2=[0.01, 0.1])
        >>> model.l2, model.names, f"{model.validation.scores['roc_auc']:.2f}"
        (0.1, ('dose',), '0.77')
    """
    penalties = np.atleast_1d(np.asarray(l2, float))[:, None]
    if not (np.isfinite(penalties) & (penalties >= 0)).all() or not penalties.size:
        raise ValueError(
            f"l2 must be a number of at least 0, or several, but is {l2!r}"
        )
    if len(penalties) > 1 and not folds:
        raise ValueError("l2 has several penalties: folds must be at least 2 to choose")
    if folds < 0 or folds == 1:
        raise ValueError(f"folds must be 0, or at least 2, but is {folds}")
    complete = schema if schema.decided is not None else schema.decide(table)
    given = complete.samples(table)
    with jax.enable_x64(True):
        scaled, bias, validation = (
            _standardized(given, complete.bias),
            complete.bias,
            None,
        )
        chosen, several = float(penalties[0, 0]), len(penalties) > 1
        if several:
            validation, chosen = _validated(
                scaled, given, penalties, bias, folds, seed, progress
            )
        found = fit_samples(scaled, given.y, l2=chosen, bias=bias)
        explained(found, given)
        if folds and not several:  # after the fit: there may be no answer to validate
            validation, _ = _validated(
                scaled, given, penalties, bias, folds, seed, progress
            )
        return _model(table, complete, given, scaled, found, chosen, validation, level)


def _standardized(given: Samples, bias: bool) -> Standardized:
    """Return the features with standard deviation 1, and mean 0 if there is a bias."""
    X = jnp.asarray(given.X)
    scaled = standardize(X)
    return (
        scaled if bias else Standardized(X, jnp.zeros_like(scaled.mean), scaled.scale)
    )


def _validated(
    X: Standardized,
    given: Samples,
    penalties: np.ndarray,
    bias: bool,
    folds: int,
    seed: int,
    progress: Any,
) -> tuple[Validation | None, float]:
    """Return what the folds say, if each can have both labels, and the best penalty."""
    y = given.y
    count = min(folds, int(min(y.sum(), (1 - y).sum())))
    if count < 2:
        return None, float(penalties[0, 0])
    rows = _stratified(y[0], count, seed)
    options: dict[str, Any] = {"bias": bias, "metrics": METRICS, "progress": progress}
    found = cross_validate(X, y, penalties, folds=rows, **options)
    row = max(int(found.best[0, 0]), 0)
    return _validation(found, penalties, row, count), float(penalties[row, 0])


def _stratified(y: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return rows of weights (F, m): 0 where a fold holds a sample out."""
    rng, place = np.random.default_rng(seed), np.empty(len(y), int)
    for value in (0.0, 1.0):
        own = rng.permutation(np.flatnonzero(y == value))
        place[own] = np.arange(len(own)) % count
    return (place != np.arange(count)[:, None]).astype(float)


def _validation(
    found: CrossValidation, penalties: np.ndarray, row: int, count: int
) -> Validation:
    scores = {"log_loss": float(found.loss[0, row])}
    for name in METRICS:
        scores[name] = float(np.mean(np.asarray(found.metrics[name])[0, row]))
    status = np.asarray(found.status)[0, row]
    return Validation(
        count,
        tuple(penalties[:, 0].tolist()),
        _numbers(found.loss[0]),
        _numbers(found.standard_error[0]),
        {name: _number(value) for name, value in scores.items()},
        tuple(Status(int(code)).name for code in status if code != Status.CONVERGED),
    )


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _numbers(values: Any) -> tuple[float | None, ...]:
    return tuple(_number(value) for value in np.asarray(values, float).tolist())


def _model(
    table: Table,
    schema: Schema,
    given: Samples,
    scaled: Standardized,
    found: Fit,
    l2: float,
    validation: Validation | None,
    level: float,
) -> Model:
    """Return the model in the units of the table, with its summary."""
    params = scaled.to_original_scale(found.params)
    # The penalty of w / scale: half of l2 times (w scale)^2.
    own = l2 * jnp.square(scaled.scale) if l2 else 0.0
    options: dict[str, Any] = {"l2": own, "bias": schema.bias, "level": level}
    told = summary(
        found._replace(params=params),
        jnp.asarray(given.X),
        given.y,
        given.names,
        **options,
    )
    w, b = (np.asarray(leaf, float) for leaf in params)
    return Model(
        schema=schema,
        names=given.names,
        w=tuple(w[:, 0].tolist()),
        b=float(b[0, 0]),
        l2=l2,
        scale=tuple(np.asarray(scaled.scale)[:, 0].tolist()),
        status=Status(int(found.status)).name,
        steps=int(found.steps),
        cost=float(found.cost),
        source=table.source,
        rows=given.y.size,
        positives=int(given.y.sum()),
        told=(*table.notes, given.told, *str(schema).splitlines()),
        table={name: _numbers(column) for name, column in told.columns.items()},
        level=told.level,
        heading=told.heading,
        statistics=told.statistics,
        remarks=told.notes,
        validation=validation,
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("jlogreg", "jax", "numpy", "pyarrow")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }
