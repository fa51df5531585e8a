"""Figures for model selection: losses by penalty, ranking and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jlogreg.base.checks import AnyArray, check_matrix
from jlogreg.diagnostics.calibration import calibration
from jlogreg.metrics.ranking import roc_auc
from jlogreg.plots.style import line_colors

__all__ = ["penalty_path", "reliability_diagram", "roc_curve"]

# More points than this are not seen.
MOST_POINTS = 2000


def penalty_path(
    l2: Float[AnyArray, "L 1"],
    values: Float[AnyArray, "K L"],
    standard_error: Float[AnyArray, "K L"] | None = None,
    best: Float[AnyArray, "K 1"] | None = None,
    one_standard_error: Float[AnyArray, "K 1"] | None = None,
    labels: Sequence[str] | None = None,
    title: str = "held-out log loss (nats per sample)",
    scale: Literal["linear", "log"] = "linear",
    penalty: str = "l2",
    n_selected: Any = None,
) -> Figure:
    """Draw losses or coefficients against the penalty, one curve per row of values.

    Shapes: l2 (L, 1), positive; values and standard_error (K, L); best and
    one_standard_error (K, 1), entries of l2. For a path of l1 give that, and its name.

    Args:
        l2: the penalties.
        values: held-out losses, or the coefficients of a path.
        standard_error: half the height of the band around each curve.
        best: the penalty of each row to mark with a disk.
        one_standard_error: the penalty of each row to mark with a ring.
        labels: names of the rows.
        title: the name of the values, for the axis.
        scale: of the axis of the values.
        penalty: its name, for the axis.
        n_selected: (K, L) or (1, L), how many features each fit has chosen, drawn
            above, such as that of a CrossValidation.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.

    Examples:
        >>> import numpy as np
        >>> from jlogreg.plots import penalty_path
        >>> l2, loss = np.array([[0.01], [0.1], [1.0]]), np.array([[0.5, 0.4, 0.6]])
        >>> figure = penalty_path(l2, loss, best=np.array([[0.1]]))
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_xscale()
        ('penalty l2', 'log')
        >>> penalty_path(l2, loss, penalty="l1").axes[0].get_xlabel()
        'penalty l1'
    """
    l2 = np.asarray(check_matrix("l2", l2, ("L", 1)))
    values = np.asarray(check_matrix("values", values, ("K", len(l2))))
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale(scale)
    colors = line_colors(len(values), ordered=False)
    names = [None] * len(values) if labels is None else labels
    for row, color, name in zip(values, colors, names, strict=True):
        axes.plot(l2[:, 0], row, color=color, label=name, linewidth=1.5)
    if standard_error is not None:
        error = check_matrix("standard_error", standard_error, values.shape)
        for row, half, color in zip(values, np.asarray(error), colors, strict=True):
            low, high = row - half, row + half
            axes.fill_between(l2[:, 0], low, high, color=color, alpha=0.18, linewidth=0)
    for name, chosen in (("best", best), ("one_standard_error", one_standard_error)):
        if chosen is not None:
            _mark(axes, name, chosen, l2, values)
    axes.set_xlabel(f"penalty {penalty}")
    axes.set_ylabel(title)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    if n_selected is not None:
        counts = np.asarray(n_selected, float)
        check_matrix("n_selected", counts, ("K", len(l2)))
        _draw_counts_above(axes, l2, counts, colors)
    return figure


def _mark(
    axes: Axes, name: str, chosen: Any, l2: np.ndarray, values: np.ndarray
) -> None:
    """Draw a disk, or a ring, at the chosen penalty of each row."""
    at = np.asarray(check_matrix(name, chosen, (len(values), 1)))
    nearest = np.abs(l2 - at.T).argmin(axis=0)
    is_best = name == "best"
    axes.scatter(
        at[:, 0],
        values[np.arange(len(values)), nearest],
        22 if is_best else 70,
        "black" if is_best else "white",
        edgecolors="black",
        zorder=3 if is_best else 2.5,
        label=name.replace("_", " "),
    )


def _draw_counts_above(
    axes: Axes, l2: np.ndarray, counts: np.ndarray, colors: Sequence[Any]
) -> None:
    """Draw numbers (K, L) of features above the axes, which share the penalties."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.set_size_inches(8, 6.4)
    grid = figure.add_gridspec(2, 1, height_ratios=(2, 3))
    axes.set_subplotspec(grid[1])
    above = figure.add_subplot(grid[0], sharex=axes)
    several = len(counts) == len(colors) > 1
    for row, color in zip(counts, colors if several else ["black"], strict=False):
        above.step(l2[:, 0], row, where="mid", color=color, linewidth=1.5)
    above.tick_params(labelbottom=False)
    above.set_ylabel("features chosen")
    above.grid(alpha=0.3)


def roc_curve(
    scores: Float[AnyArray, "1 m"],
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
) -> Figure:
    """Draw the ROC curve: true against false positive rate, for all thresholds.

    Shapes: scores, y and weight (1, m), y 0 or 1. Equal scores are one step, a line
    across. The title has the area, that of `jlogreg.metrics.roc_auc`.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a label or a weight is out of range.

    Examples:
        >>> import numpy as np
        >>> from jlogreg.plots import roc_curve
        >>> z, y = np.array([[-1.0, 0.0, 2.0]]), np.array([[0.0, 1.0, 1.0]])
        >>> figure = roc_curve(z, y)
        >>> figure.axes[0].get_title()
        'area under the ROC curve 1.0000'
    """
    area = float(roc_auc(scores, y, weight=weight))
    z, label = np.asarray(scores, float)[0], np.asarray(y, float)[0]
    v = np.ones_like(z) if weight is None else np.asarray(weight, float)[0]
    order = np.argsort(-z, kind="stable")
    last = np.append(np.flatnonzero(np.diff(z[order])), z.size - 1)
    rates = []
    for each in (v * (1 - label), v * label):
        count = np.append(0.0, np.cumsum(each[order])[last])
        rates.append(count / count[-1] if count[-1] else np.full_like(count, np.nan))
    if last.size > MOST_POINTS:
        seen = np.linspace(0, last.size, MOST_POINTS).astype(int)
        rates = [rate[seen] for rate in rates]
    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#7f7f7f", linestyle="--", label="chance")
    axes.plot(*rates, color="#2166ac", linewidth=1.8, label="model")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.set_title(f"area under the ROC curve {area:.4f}")
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    return figure


def reliability_diagram(
    probability: Float[AnyArray, "K m"],
    y: Float[AnyArray, "K m"],
    bins: int = 10,
    *,
    weight: Float[AnyArray, "K m"] | None = None,
) -> Figure:
    """Draw the observed frequency of label 1 against its probability, with counts.

    Shapes: probability, y and weight (K, m), all rows together, in bins of equal width.
    A weight of k is a prediction that occurs k times.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if bins is less than 1, or a weight less than 0.

    Examples:
        >>> import numpy as np
        >>> from jlogreg.plots import reliability_diagram
        >>> a, y = np.array([[0.25, 0.75]]), np.array([[0.0, 1.0]])
        >>> figure = reliability_diagram(a, y)
        >>> figure.axes[0].get_title()
        'expected calibration error 0.2500'
    """
    result = calibration(probability, y, bins, weight=weight)
    predicted, observed, count = (row[0] for row in result[:3])
    edges = np.linspace(0, 1, bins + 1)
    figure = Figure(figsize=(5.4, 6.4), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color="#7f7f7f", linestyle="--", label="calibrated")
    axes.plot(predicted, observed, color="#2166ac", marker="o", label="observed")
    axes.set_ylabel("observed frequency")
    axes.set_title(f"expected calibration error {result.error:.4f}")
    axes.legend(loc="upper left")
    below.stairs(count, edges, color="#4393c3", fill=True)
    below.set_yscale("log")
    below.set_ylim(0.5)
    below.set_ylabel("predictions")
    below.set_xlabel("predicted probability a")
    for each in (axes, below):
        each.set_xlim(-0.02, 1.02)
        each.grid(alpha=0.3)
    return figure
