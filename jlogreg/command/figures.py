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
        [columns[f"weight_{end}"][:n] * scale for end in ("low", "high")], axis=1
    )
    with jax.enable_x64(True):
        return plots.interval_forest(
            w[:, None], ends, names=model.names, unit="standard deviation"
        )


def path(model: Model, validation: Validation) -> Figure:
    """Return the held-out loss by penalty; of a grid by l1, a curve for each l2."""
    loss, error = (
        np.array([np.nan if x is None else x for x in row])
        for row in (validation.loss, validation.standard_error)
    )
    l2 = np.array(validation.l2)
    l1 = np.array(validation.l1) if validation.l1 else np.zeros_like(l2)
    kinds, several = len(np.unique(l1)), len(np.unique(l2))
    varies, size = ("l1", model.l1) if kinds > 1 else ("l2", model.l2)
    curves = several if kinds > 1 and kinds * several == len(loss) else 1
    order = np.lexsort((l1, l2)) if curves > 1 else np.arange(len(loss))
    across, loss, error, of_l2 = (
        row[order].reshape(curves, -1)
        for row in (l1 if varies == "l1" else l2, loss, error, l2)
    )
    here = (of_l2[:, :1] == model.l2) | (curves == 1)
    with jax.enable_x64(True):
        return plots.penalty_path(
            across[0][:, None],
            loss,
            error if curves == 1 else None,
            best=np.where(here, size, np.nan),
            labels=[f"l2 = {each:.2g}" for each in of_l2[:, 0]]
            if curves > 1
            else ["mean of the folds"],
            penalty=varies,
        )


def svg(figure: Figure) -> bytes:
    """Return a figure as SVG on a transparent ground, the same bytes each time."""
    content = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "jlogreg"}):
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    return content.getvalue()
