"""A model of a table: what it holds, and what it predicts for another table."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from jlogreg.base.params import Params
from jlogreg.inference.summary import Summary
from jlogreg.objective.prediction import logits
from jlogreg.tables.reading.faults import Fault, TableError, listed
from jlogreg.tables.reading.read import Table
from jlogreg.tables.samples import Unseen
from jlogreg.tables.schema import Schema

__all__ = ["FORMAT", "Model", "Predictions", "Validation"]

# The form of a file; another one is refused.
FORMAT = 2


class Validation(msgspec.Struct, frozen=True):
    """What cross-validation says: losses by penalty, and scores of the chosen one.

    Attributes: folds, how many; l2, loss and standard_error, one for each penalty,
    None where a fit failed; l1, likewise, empty where there is no such penalty; scores,
    the mean over the folds of held-out scores, by name, None where a fit failed;
    failed, the statuses of such fits at the chosen penalty. Each fold has the same
    share of both labels. Scores of a penalty that the same folds have chosen among
    several are slightly optimistic.

    Examples:
        >>> from jlogreg.tables import Validation
        >>> Validation(5, (0.1,), (0.4,), (0.02,), {"roc_auc": 0.9}).scores["roc_auc"]
        0.9
    """

    folds: int
    l2: tuple[float, ...]
    loss: tuple[float | None, ...]
    standard_error: tuple[float | None, ...]
    scores: dict[str, float | None]
    failed: tuple[str, ...] = ()
    l1: tuple[float, ...] = ()


class Predictions(NamedTuple):
    """Logits and probabilities of the positive label for each row of a table.

    Shapes: z and probability (1, M), NaN for a row that lacks a cell; lacking: how many
    rows lack a cell that they need, by column.
    """

    z: np.ndarray
    probability: np.ndarray
    lacking: dict[str, int]


class Model(msgspec.Struct, frozen=True):
    """A fitted model of a table, with all that a new table needs.

    Attributes: schema, what each column becomes; names of the n features; w (n numbers)
    and b, in the units of the table; l2 and l1, the penalties of the standardised
    features, and scale, their n standard deviations; firth, whether it is Firth's
    estimate; status, steps and cost of the fit; source, the name of the table, rows and
    positives, how many are used, and how many of them have the positive label; share,
    that of the positive label by weight; told, the lines on what was decided for the
    table; table, heading, statistics and remarks of the summary; validation, or None;
    versions of packages.

    Examples:
        >>> import numpy as np, pandas
        >>> from jlogreg import tables
        >>> rng = np.random.default_rng(0)
        >>> dose = rng.normal(size=60)
        >>> alive = np.where(dose + rng.logistic(size=60) > 0, "yes", "no")
        >>> table = tables.read(pandas.DataFrame({"dose": dose, "alive": alive}))
        >>> model = tables.fit(table, tables.Schema("alive", "yes"))
        >>> new = tables.read(pandas.DataFrame({"dose": [-1.0, 1.0]}))
        >>> model.predict(new).probability.round(2).tolist()
        [[0.31, 0.81]]
    """

    schema: Schema
    names: tuple[str, ...]
    w: tuple[float, ...]
    b: float
    l2: float
    scale: tuple[float, ...]
    status: str
    steps: int
    cost: float
    source: str
    rows: int
    positives: int
    told: tuple[str, ...]
    table: dict[str, tuple[float | None, ...]]
    level: float
    heading: tuple[str, ...]
    statistics: tuple[str, ...]
    remarks: tuple[str, ...]
    validation: Validation | None
    versions: dict[str, str]
    l1: float = 0.0
    firth: bool = False
    share: float = math.nan
    format: int = FORMAT

    @property
    def params(self) -> Params:
        """The parameters w (n, 1) and b (1, 1), for features in the table's units.

        In float64 under `jax.enable_x64`.
        """
        w, b = np.array(self.w)[:, None], np.array([[self.b]])
        return Params(jnp.asarray(w), jnp.asarray(b))

    def __str__(self) -> str:
        """Return the summary as lines of text."""
        return str(self.summary())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def summary(self) -> Summary:
        """Return the summary that was computed with the fit."""
        columns = {
            name: np.array([math.nan if x is None else x for x in column])
            for name, column in self.table.items()
        }
        names = (*self.names, *(["bias"] if self.schema.bias else []))
        text = self.heading, self.statistics, self.remarks
        return Summary(names, columns, self.level, *text)

    def predict(self, table: Table, unseen: Unseen = "refuse") -> Predictions:
        """Return the probabilities of the positive label for the rows of a table.

        A row that lacks a cell has NaN, unless the schema fills it.

        Args:
            table: with the columns of the model, the offset among them, but without
                need of the label, the weights and the clusters; it may have others.
            unseen: what happens to a word that the model has not seen: "refuse" is an
                error, "missing" treats it as a missing cell.

        Raises:
            TableError: with all that is wrong with the table.
        """
        found = self.schema.features(table, unseen)
        if found.names != self.names:
            what = f"has the features {listed(found.names)}, not those of the model"
            raise TableError(table.source, [Fault(what)])
        z = np.full((1, len(table)), np.nan)
        with jax.enable_x64(True):
            own = logits(self.params, jnp.asarray(found.X), offset=found.offset)
            z[0, found.usable] = np.asarray(own)[0]
            a = np.asarray(jax.nn.sigmoid(jnp.asarray(z)))
        return Predictions(z, a, found.lacking)
