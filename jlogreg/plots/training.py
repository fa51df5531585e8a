"""Figures of training: costs by step, the cost surface, and times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from jlogreg.base.checks import AnyArray, check_matrix
from jlogreg.plots.style import line_colors

__all__ = ["cost_curves", "cost_surface", "time_bars"]


def cost_curves(
    costs: Float[AnyArray, "K steps"],
    labels: Sequence[str] | None = None,
    ceiling: float | None = None,
) -> Figure:
    """Draw the cost J against the step, one curve per row of costs.

    Shapes: costs (K, steps), in nats.

    Args:
        costs: as returned by `gradient_descent`, one row per run.
        labels: names of the rows.
        ceiling: the largest J to show, which makes the axis logarithmic; curves that
            leave through the top diverged.

    Raises:
        DtypeError, RankError, ShapeError: if costs has the wrong type, dtype, rank
            or shape.

    Examples:
        >>> import numpy as np
        >>> from jlogreg.plots import cost_curves
        >>> figure = cost_curves(np.array([[0.7, 0.4, 0.3], [0.7, 0.6, 0.5]]))
        >>> len(figure.axes[0].lines), figure.axes[0].get_xlabel()
        (2, 'step of gradient descent')
    """
    rows = np.asarray(check_matrix("costs", costs, ("K", "steps")))
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    colors = line_colors(len(rows))
    for k, row in enumerate(rows):
        label = None if labels is None else labels[k]
        axes.plot(np.arange(row.size), row, color=colors[k], label=label, linewidth=1.5)
    axes.set_xlabel("step of gradient descent")
    axes.set_ylabel("cost J (nats per sample)")
    axes.set_xlim(0, max(1, rows.shape[1] - 1))
    if ceiling is None:
        axes.set_ylim(bottom=0)
    else:
        axes.set_yscale("log")
        axes.set_ylim(top=ceiling)
    axes.grid(alpha=0.3)
    if labels is not None:
        axes.legend(
            title="learning rate", loc="center left", bbox_to_anchor=(1.01, 0.5)
        )
    return figure


def cost_surface(
    w: Float[AnyArray, "1 p"],
    b: Float[AnyArray, "q 1"],
    J: Float[AnyArray, "q p"],
    path: Float[AnyArray, "2 steps"] | None = None,
    title: str = "cost",
    label: str = "J (nats per sample)",
) -> Figure:
    """Draw J as a function of (w, b): a surface in space, and contours.

    Shapes: w (1, p), b (q, 1), J (q, p): a row and a column that broadcast to the grid;
    path (2, steps), the w and b of gradient descent.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.

    Examples:
        >>> import numpy as np
        >>> from jlogreg.plots import cost_surface
        >>> w, b = np.array([[-1.0, 0.0, 1.0]]), np.array([[-2.0], [0.0], [2.0]])
        >>> figure = cost_surface(w, b, w**2 + b**2)
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
        ('weight w', 'bias b')
    """
    w = np.asarray(check_matrix("w", w, (1, "p")))
    b = np.asarray(check_matrix("b", b, ("q", 1)))
    J = np.asarray(check_matrix("J", J, (b.shape[0], w.shape[1])))
    grid_w, grid_b = np.broadcast_arrays(w, b)
    layout = ConstrainedLayoutEngine(wspace=0.1)  # room between the labels of the two
    figure = Figure(figsize=(12, 4.6), layout=layout)
    space: Any = figure.add_subplot(1, 2, 1, projection="3d")
    space.plot_surface(grid_w, grid_b, J, cmap="viridis", alpha=0.9, linewidth=0)
    space.set_zlabel(label)
    plane = figure.add_subplot(1, 2, 2)
    filled = plane.contourf(grid_w, grid_b, J, levels=24, cmap="viridis")
    plane.contour(grid_w, grid_b, J, levels=24, colors="white", linewidths=0.3)
    figure.colorbar(filled, ax=plane, label=label)
    if path is not None:
        steps = np.asarray(check_matrix("path", path, (2, "steps")))
        plane.plot(*steps, color="#ff5a36", marker="o", markersize=2.5, linewidth=1.2)
        plane.plot(*steps[:, :1], color="white", marker="o", label="start")
        plane.plot(
            *steps[:, -1:], color="#ff5a36", marker="*", markersize=14, label="end"
        )
        plane.legend()
    for axes in (space, plane):
        axes.set_xlabel("weight w")
        axes.set_ylabel("bias b")
    figure.suptitle(title)
    return figure


def time_bars(
    times: Float[AnyArray, "works ways"], ways: Sequence[str], works: Sequence[str]
) -> Figure:
    """Draw the times of several methods (ways) for several tasks (works) as bars.

    Shapes: times (works, ways), in seconds.

    Raises:
        DtypeError, RankError, ShapeError: if times has the wrong type, dtype, rank
            or shape.

    Examples:
        >>> import numpy as np
        >>> from jlogreg.plots import time_bars
        >>> times = np.array([[0.25, 0.005]])
        >>> figure = time_bars(times, ["loops", "arrays"], ["gradient"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['250 ms', '5 ms']
    """
    table = np.asarray(check_matrix("times", times, (len(works), len(ways)))) * 1e3
    size = (6.6, (0.5 * len(ways) + 1) * len(works))
    figure = Figure(figsize=size, layout="constrained")
    for axes, row, work in zip(
        figure.subplots(len(works), 1, squeeze=False)[:, 0], table, works, strict=True
    ):
        bars = axes.barh(ways, row, color="#4393c3")
        texts = [f"{float(f'{value:.2g}'):g} ms" for value in row]
        axes.bar_label(bars, texts, padding=3)
        axes.set_xscale("log")
        axes.set_xlim(row.min() / 3, row.max() * 5)
        axes.set_xlabel("time (ms, logarithmic)")
        axes.set_title(work)
        axes.invert_yaxis()
    return figure
