"""The figures of a model and a table, as SVG."""

from __future__ import annotations

import io

import jax
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from jlogreg import plots
from jlogreg.tables.model import Model, Validation
from jlogreg.tables.scores import Score

__all__ = ["forest", "path", "reliability", "roc", "svg"]


def roc(found: Score) -> Figure:
    """Return the ROC curve of a table."""
    with jax.enable_x64(True):
        return plots.roc_curve(found.z, found.y, weight=found.weight)


def reliability(found: Score) -> Figure:
    """Return the reliability diagram of a table."""
    with jax.enable_x64(True):
        a = np.asarray(jax.nn.sigmoid(found.z))
        return plots.reliability_diagram(a, found.y, weight=found.weight)


def forest(model: Model) -> Figure | None:
    """Return the weights per standard deviation with intervals, if they have any."""
    columns = model.summary().columns
    if "std_error" not in columns:
        return None
    n, scale = len(model.names), np.array(model.scale)
    w = columns["weight"][:n] * scale
    ends = np.stack(
        [np.log(columns[end][:n]) * scale for end in ("low", "high")], axis=1
    )
    with jax.enable_x64(True):
        return plots.interval_forest(
            w[:, None], ends, names=model.names, unit="standard deviation"
        )


def path(model: Model, validation: Validation) -> Figure:
    """Return the held-out loss by penalty."""
    loss, error = (
        np.array([[np.nan if x is None else x for x in row]])
        for row in (validation.loss, validation.standard_error)
    )
    # The one that varies: cross-validation of a table compares those of one kind.
    varies = "l1" if len({*validation.l1}) > 1 else "l2"
    with jax.enable_x64(True):
        return plots.penalty_path(
            np.array(getattr(validation, varies))[:, None],
            loss,
            error,
            best=np.array([[getattr(model, varies)]]),
            labels=["mean of the folds"],
            penalty=varies,
        )


def svg(figure: Figure) -> bytes:
    """Return a figure as SVG on a transparent ground, the same bytes each time."""
    content = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "jlogreg"}):
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    return content.getvalue()
