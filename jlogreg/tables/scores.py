"""How well a model predicts the labels of a table."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jlogreg import metrics
from jlogreg.base.formatting import align
from jlogreg.diagnostics.calibration import calibration_line
from jlogreg.diagnostics.discrimination import auc_delong
from jlogreg.objective.prediction import logits
from jlogreg.tables.model import Model
from jlogreg.tables.reading.read import Table
from jlogreg.tables.samples import Unseen

__all__ = ["Score", "remarks_on", "score"]

BELOW = (
    "The accuracy is below the share of the larger class: always to predict that class "
    "would be right more often."
)


def remarks_on(accuracy: float, larger: float) -> list[str]:
    """Return what to beware of in an accuracy, given the share of the larger class."""
    return [BELOW] if round(accuracy, 4) < round(larger, 4) else []


class Score(NamedTuple):
    """How well a model predicts the rows of a table that have a label.

    Shapes: z and y (1, m), logits and labels; the others are numbers, NaN where they
    are not defined. roc_auc_low and roc_auc_high are the ends of DeLong's interval of
    95 %; larger is the share of the larger class, which a constant prediction gets
    right; confusion counts at the probability 1/2: true and false positives, false and
    true negatives; slope and intercept are those of `calibration_line`, 1 and 0 if
    probabilities are right. told says which rows are used. weight (1, m), if the model
    has weights, is that of the rows in all numbers, or None.

    Examples:
        >>> import numpy as np, pandas
        >>> from jlogreg import tables
        >>> rng = np.random.default_rng(0)
        >>> dose = rng.normal(size=90).round(2)
        >>> alive = dose + rng.normal(size=90) > 0
        >>> frame = pandas.DataFrame({"dose": dose, "alive": alive})
        >>> model = tables.fit(tables.read(frame[:60]), tables.Schema("alive"))
        >>> found = tables.score(model, tables.read(frame[60:]))
        >>> f"{found.roc_auc:.2f}", f"{found.larger:.2f}"
        ('0.92', '0.50')
    """

    z: np.ndarray
    y: np.ndarray
    roc_auc: float
    roc_auc_low: float
    roc_auc_high: float
    average_precision: float
    brier: float
    log_loss: float
    accuracy: float
    larger: float
    confusion: tuple[float, float, float, float]
    calibration_error: float
    slope: float
    intercept: float
    told: str
    weight: np.ndarray | None = None

    @property
    def remarks(self) -> list[str]:
        """What to beware of, as sentences."""
        return remarks_on(self.accuracy, self.larger)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers by name, without the arrays; None where not defined."""
        numbers = self._asdict()
        z, told = numbers.pop("z"), numbers.pop("told")
        del numbers["y"], numbers["weight"]
        counts = numbers.pop("confusion")
        plain = {
            name: value if np.isfinite(value) else None
            for name, value in numbers.items()
        }
        kinds = ("true_positive", "false_positive", "false_negative", "true_negative")
        confusion = dict(zip(kinds, counts, strict=True))
        words = {"told": told, "remarks": self.remarks}
        return {"rows": z.shape[1], **plain, "confusion": confusion, **words}

    def rows(self) -> list[list[str]]:
        """Return the numbers with their names, as text."""
        larger = self.larger
        return [
            ["score", "value"],
            ["area under the ROC curve", f"{self.roc_auc:.4f}"],
            [
                "its 95% interval (DeLong)",
                f"{self.roc_auc_low:.4f} to {self.roc_auc_high:.4f}",
            ],
            ["average precision", f"{self.average_precision:.4f}"],
            ["by chance", f"{np.average(self.y, weights=self.weight):.4f}"],
            ["Brier score", f"{self.brier:.4f}"],
            ["always the base rate", f"{larger * (1 - larger):.4f}"],
            ["log loss (nats)", f"{self.log_loss:.4f}"],
            ["accuracy", f"{self.accuracy:.4f}"],
            ["always the larger class", f"{larger:.4f}"],
            ["calibration error", f"{self.calibration_error:.4f}"],
            ["calibration slope", f"{self.slope:.3f}"],
            ["calibration intercept", f"{round(self.intercept, 3) + 0.0:.3f}"],
        ]

    def counts(self) -> list[list[str]]:
        """Return the confusion table at the probability 1/2, as text."""
        hit, false, missed, rest = (f"{count:.15g}" for count in self.confusion)
        head = ["", "predicted 1", "predicted 0"]
        return [head, ["label 1", hit, missed], ["label 0", false, rest]]

    def __str__(self) -> str:
        """Return the numbers as lines of text."""
        numbers, counts = (
            align(rows, left=1) for rows in (self.rows()[1:], self.counts())
        )
        parts = [self.told, numbers, counts, "\n".join(self.remarks)]
        return "\n\n".join(part for part in parts if part)


def score(model: Model, table: Table, unseen: Unseen = "refuse") -> Score:
    """Return how well a model predicts the labels of a table; host only.

    Shapes: a table has a row for each sample.

    On the table that the model was fitted to this is too good; `Model.validation` has
    the numbers of held-out rows.

    Args:
        model: fitted or loaded.
        table: with the columns of the model, the label, and the weights and the offset
            if the model has them, which hold in all numbers.
        unseen: as for `Model.predict`.

    Raises:
        TableError: with all that is wrong with the table.

    Examples:
        >>> import numpy as np, pandas
        >>> from jlogreg import tables
        >>> rng = np.random.default_rng(0)
        >>> dose = rng.normal(size=90).round(2)
        >>> alive = dose + rng.normal(size=90) > 0
        >>> frame = pandas.DataFrame({"dose": dose, "alive": alive})
        >>> model = tables.fit(tables.read(frame[:60]), tables.Schema("alive"))
        >>> print(str(tables.score(model, tables.read(frame[60:]))).splitlines()[0])
        30 of 30 rows are used
    """
    given = model.schema.samples(table, unseen, ["weight", "offset"])
    y, weight = given.y, given.weight
    own: dict[str, Any] = {"weight": weight}
    share = np.average(y, weights=weight)
    with jax.enable_x64(True):
        X = jnp.asarray(given.X)
        z = jnp.asarray(logits(model.params, X, offset=given.offset))
        a = jax.nn.sigmoid(z)
        area, line = auc_delong(z, y, **own), calibration_line(z, y, **own)
        counts = metrics.confusion(a, y, **own)
        return Score(
            z=np.asarray(z),
            y=y,
            roc_auc=float(metrics.roc_auc(z, y, **own)),
            roc_auc_low=float(area.low),
            roc_auc_high=float(area.high),
            average_precision=float(metrics.average_precision(z, y, **own)),
            brier=float(metrics.brier(a, y, **own)),
            log_loss=float(metrics.log_loss(z, y, **own)),
            accuracy=float(metrics.accuracy(a, y, **own)),
            larger=float(max(share, 1 - share)),
            confusion=tuple(_count(count, weight) for count in counts),  # type: ignore[arg-type]
            calibration_error=float(metrics.calibration_error(a, y, **own)),
            slope=float(line.slope),
            intercept=float(line.intercept),
            told=given.told,
            weight=weight,
        )


def _count(count: Any, weight: np.ndarray | None) -> float:
    return int(count) if weight is None else float(count)
