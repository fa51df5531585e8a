"""The model of a table, by `jlogreg.fit`, `cross_validate` and `summary`."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jlogreg.base.errors import ShapeError
from jlogreg.base.status import Status
from jlogreg.batch.scheduling.results import Progress
from jlogreg.data.standardized import Standardized, standardize
from jlogreg.fitting.fit import Fit
from jlogreg.fitting.fit import fit as fit_samples
from jlogreg.inference.summary import summary
from jlogreg.objective.jeffreys import check_parameters
from jlogreg.tables.hints import explained
from jlogreg.tables.model import Model, Validation
from jlogreg.tables.reading.faults import Fault, TableError
from jlogreg.tables.reading.read import Table
from jlogreg.tables.samples import Samples
from jlogreg.tables.schema import Schema
from jlogreg.tables.validating import Penalty, check_penalties, numbers, validated

__all__ = ["fit"]


def fit(
    table: Table,
    schema: Schema,
    *,
    l2: float | Sequence[float] = 0.0,
    l1: float | Sequence[float] = 0.0,
    firth: bool = False,
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
        l1: the penalty of the sizes, which makes weights exactly 0, likewise; of
            several, row by row with those of l2, or with one of l2. With it there are
            no standard errors and intervals.
        firth: whether the estimate is Firth's, which is finite where a plane separates
            the labels, with profile intervals. Without penalties.
        folds: of the cross-validation; 0 for none.
        seed: of the generator that deals the rows to the folds.
        level: of the confidence intervals.
        progress: as for `cross_validate`.

    Raises:
        TableError: with all that is wrong with the table.
        FitError: if there is no answer, with what may be the cause.
        ValueError: if a penalty is out of range, there are several and no folds, l2 and
            l1 have not as many, or there is one beside firth.

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
    penalties = check_penalties(l2, l1, firth)
    if len(penalties) > 1 and not folds:
        raise ValueError("of several penalties folds must choose: give at least 2")
    if folds < 0 or folds == 1:
        raise ValueError(f"folds must be 0, or at least 2, but is {folds}")
    complete = schema if schema.decided is not None else schema.decide(table)
    given = complete.samples(table)
    with jax.enable_x64(True):
        bias, several = complete.bias, len(penalties) > 1
        scaled = _standardized(given, bias)
        if firth:
            _check_firth(table, complete, scaled)

        def look() -> tuple[Validation | None, int]:
            fits = scaled, given, penalties, firth, bias
            return validated(*fits, folds, seed, progress)

        validation, row = look() if several else (None, 0)
        of_l2, of_l1 = penalties[row].tolist()
        chosen = Penalty(of_l2, of_l1, firth)
        options = {**chosen.arguments(), **given.weight_and_offset}
        found = fit_samples(scaled, given.y, bias=bias, **options)
        explained(found, given)
        if not several:  # after the fit: there may be no answer to validate
            validation, _ = look()
        return _model(table, complete, given, scaled, found, chosen, validation, level)


def _standardized(given: Samples, bias: bool) -> Standardized:
    """Return the features with standard deviation 1, and mean 0 if there is a bias."""
    # Nothing else writes to X, so that it need not be copied.
    scaled = standardize(jax.device_put(given.X, may_alias=True), given.weight)
    if bias:
        return scaled
    return Standardized(scaled.X, jnp.zeros_like(scaled.mean), scaled.scale)


def _check_firth(table: Table, schema: Schema, scaled: Standardized) -> None:
    """Raise a TableError if Firth's estimate is not for such samples."""
    if schema.clusters or schema.weights == "probability":
        what = "Firth's estimate has no robust errors"
        cure = "leave the clusters out, and weights that are no frequencies"
        raise TableError(table.source, [Fault(what, cure=cure)])
    try:
        check_parameters(schema.bias, scaled.X)
    except ShapeError as error:
        raise TableError(table.source, [Fault(f"Firth's estimate: {error}")]) from error


def _model(
    table: Table,
    schema: Schema,
    given: Samples,
    scaled: Standardized,
    found: Fit,
    chosen: Penalty,
    validation: Validation | None,
    level: float,
) -> Model:
    """Return the model in the units of the table, with its summary."""
    params = scaled.to_original_scale(found.params)
    # The penalties of w / scale: half of l2 times (w scale)^2, and l1 times |w scale|.
    options: dict[str, Any] = {
        **chosen.arguments(), "bias": schema.bias, "level": level,
        "interval": "profile" if chosen.firth else "wald", **given.weight_and_offset,
        **_covariance(schema, given),
    }  # fmt: skip
    for name, size in (("l2", jnp.square(scaled.scale)), ("l1", scaled.scale)):
        options[name] = options[name] * size if options[name] else 0.0
    fitted = found._replace(params=params)
    told = summary(fitted, scaled.X, given.y, given.names, **options)
    w, b = (np.asarray(leaf, float) for leaf in params)
    return Model(
        schema=schema,
        names=given.names,
        w=tuple(w[:, 0].tolist()),
        b=float(b[0, 0]),
        l2=chosen.l2,
        l1=chosen.l1,
        firth=chosen.firth,
        scale=tuple(np.asarray(scaled.scale)[:, 0].tolist()),
        status=Status(int(found.status)).name,
        steps=int(found.steps),
        cost=float(found.cost),
        source=table.source,
        rows=given.y.size,
        positives=int(given.y.sum()),
        share=float(np.average(given.y, weights=given.weight)),
        told=(*table.notes, given.told, *str(schema).splitlines()),
        table={name: numbers(column) for name, column in told.columns.items()},
        level=told.level,
        heading=told.heading,
        statistics=told.statistics,
        remarks=told.notes,
        validation=validation,
        versions=_versions(),
    )


def _covariance(schema: Schema, given: Samples) -> dict[str, Any]:
    """Return the arguments of the summary on the kind of the standard errors."""
    if given.clusters is not None:
        kind: dict[str, Any] = {"covariance": "cluster", "clusters": given.clusters}
    else:
        robust = schema.weights == "probability"
        kind = {"covariance": "HC1" if robust else "fisher"}
    return kind | ({"weights": schema.weights} if schema.weights else {})


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("jlogreg", "jax", "numpy", "pyarrow")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }
