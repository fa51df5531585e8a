"""Figures of confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from jlogreg.base.checks import AnyArray, check_matrix
from jlogreg.plots.style import plain

__all__ = ["interval_forest"]


def interval_forest(
    estimate: Float[AnyArray, "n 1"],
    wald: Float[AnyArray, "n 2"],
    bootstrap: Float[AnyArray, "n 2"] | None = None,
    names: Sequence[str] | None = None,
    most: int = 40,
    unit: str = "unit",
) -> Figure:
    """Draw the largest estimates, each with a Wald and perhaps a bootstrap interval.

    Shapes: estimate (n, 1); wald and bootstrap (n, 2), low and high; names has length
    n. unit is what the weights are for, as a noun.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.

    Examples:
        >>> import numpy as np
        >>> from jlogreg.plots import interval_forest
        >>> w, half = np.array([[1.0], [-2.0]]), np.array([[-0.5, 0.5]])
        >>> figure = interval_forest(w, w + half, w + 1.2 * half)
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['feature 1', 'feature 0']
    """
    column = np.asarray(check_matrix("estimate", estimate, ("n", 1)))[:, 0]
    n = column.size
    shift = 0.0 if bootstrap is None else 0.15
    intervals = {"Wald": (check_matrix("wald", wald, (n, 2)), "#2166ac", shift)}
    if bootstrap is not None:
        ends = check_matrix("bootstrap", bootstrap, (n, 2))
        intervals["bootstrap"] = (ends, "#d6604d", -shift)
    picked = np.argsort(-np.abs(column))[:most]
    picked = picked[np.argsort(column[picked])]
    labels = [f"feature {j}" if names is None else names[j] for j in picked]
    figure = Figure(figsize=(7.5, 1.2 + 0.27 * len(picked)), layout="constrained")
    axes = figure.add_subplot()
    place = np.arange(len(picked))
    for label, (ends, color, shift) in intervals.items():
        low, high = np.asarray(ends)[picked].T
        axes.hlines(place + shift, low, high, color=color, label=label, linewidth=2)
    axes.plot(column[picked], place, "k.", markersize=5, label="estimate")
    axes.set_yticks(place, [plain(label) for label in labels])
    axes.set_ylim(-0.7, len(picked) - 0.3)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.grid(alpha=0.3, axis="x")
    axes.set_xlabel(f"weight w (log-odds per {unit})")
    axes.legend(loc="lower right")
    return figure
