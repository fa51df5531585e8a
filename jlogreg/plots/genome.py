"""Figures of a genome-wide scan: p-values by position, and by rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from jlogreg.base.checks import AnyArray, check_matrix
from jlogreg.base.errors import ShapeError
from jlogreg.plots.style import plain

__all__ = ["manhattan", "qq"]

# Of the points in one cell of a grid of this size, only one is drawn.
CELLS = (2000, 1000)
# The space between two chromosomes, and at both ends, as a fraction of the axis.
GAP = 0.01
COLORS = ("#2166ac", "#8c96a3")


def manhattan(
    position: Float[AnyArray, "V 1"],
    log10_p: Float[AnyArray, "V 1"],
    chromosome: Sequence[str],
    names: Sequence[str] | None = None,
    line: float = 5e-8,
    most: int = 10,
) -> Figure:
    """Draw -log10 p along the genome, the chromosomes in alternating colors.

    Shapes: position (V, 1), in base pairs; log10_p (V, 1), NaN for a variant without a
    p-value; chromosome and names have length V, chromosomes in the order of the axis.

    Args:
        position: the position of each variant on its chromosome.
        log10_p: as returned by `scan_features`.
        chromosome: the chromosome of each variant.
        names: names of the variants; peaks that reach the line are labeled.
        line: the p-value of the horizontal line.
        most: the largest number of labels.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.

    Examples:
        >>> import numpy as np
        >>> from jlogreg.plots import manhattan
        >>> position = np.array([[5.0], [9.0], [2.0]])
        >>> log10_p = np.array([[-1.0], [-9.0], [-2.0]])
        >>> figure = manhattan(position, log10_p, ["1", "1", "2"], ["a", "b", "c"])
        >>> [text.get_text() for text in figure.axes[0].texts]  # the labeled peaks
        ['b']
    """
    V = len(chromosome)
    place = np.asarray(check_matrix("position", position, (V, 1)), np.float64)[:, 0]
    height = -np.asarray(check_matrix("log10_p", log10_p, (V, 1)), np.float64)[:, 0]
    if names is not None and len(names) != V:
        raise ShapeError(f"names has length {len(names)}, but there are {V} variants")
    order = {name: k for k, name in enumerate(dict.fromkeys(chromosome))}
    number = np.array([order[name] for name in chromosome])
    spans = [
        (at.min(), np.ptp(at)) for k in order.values() for at in [place[number == k]]
    ]
    first, lengths = np.array(spans).T
    ends = np.cumsum(lengths + GAP * max(1, lengths.sum()))
    x = place + (ends - lengths - first)[number]
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for parity in (0, 1):
        shown = (number % 2 == parity) & np.isfinite(height)
        _points(axes, x[shown], height[shown], COLORS[parity])
    axes.axhline(-np.log10(line), color="#b2182b", linewidth=0.9, linestyle="--")
    if names is not None:
        for j in _peaks(x, height, -np.log10(line), most):
            axes.annotate(
                plain(names[j]), (x[j], height[j]),
                xytext=(0, 4), textcoords="offset points", ha="center", fontsize=9,
            )  # fmt: skip
    axes.set_xticks(ends - lengths / 2, list(order))
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(ends[0] - lengths[0] - GAP * ends[-1], (1 + GAP) * ends[-1])
    axes.set_ylim(0, 1.12 * max(np.nanmax(height, initial=0), -np.log10(line)))
    axes.set_xlabel("chromosome")
    axes.set_ylabel("−log10 p")
    return figure


def qq(log10_p: Float[AnyArray, "V 1"], inflation: float | None = None) -> Figure:
    """Draw the sorted -log10 p against their expectation if no variant has an effect.

    Shapes: log10_p (V, 1), NaN for a variant without a p-value.

    Args:
        log10_p: as returned by `scan_features`.
        inflation: the genomic inflation factor, for the title.

    Raises:
        DtypeError, RankError, ShapeError: if log10_p has the wrong type, dtype, rank
            or shape.

    Examples:
        >>> import numpy as np
        >>> from jlogreg.plots import qq
        >>> figure = qq(np.array([[-0.1], [-0.5], [-3.0]]), inflation=1.02)
        >>> figure.axes[0].get_title()
        '3 variants, inflation λ = 1.020'
    """
    column = np.asarray(check_matrix("log10_p", log10_p, ("V", 1)), np.float64)
    observed = np.sort(-column[np.isfinite(column)])[::-1]
    expected = -np.log10((np.arange(observed.size) + 0.5) / max(1, observed.size))
    figure = Figure(figsize=(4.8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    _points(axes, expected, observed, COLORS[0])
    top = 1.05 * expected.max(initial=1)
    axes.plot([0, top], [0, top], color="#b2182b", linewidth=0.9)
    axes.set_xlim(0, top)
    axes.set_ylim(0, 1.05 * max(top, observed.max(initial=0)))
    axes.set_xlabel("expected −log10 p")
    axes.set_ylabel("observed −log10 p")
    title = "" if inflation is None else f", inflation λ = {inflation:.3f}"
    axes.set_title(f"{observed.size} variants{title}", fontsize=11)
    axes.grid(alpha=0.3)
    return figure


def _points(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], c: str) -> None:
    """Draw points, but only one of those that would cover each other."""
    if not x.size:
        return
    cells = [
        ((v - v.min()) / (np.ptp(v) or 1) * count).astype(np.int64)
        for v, count in zip((x, y), CELLS, strict=True)
    ]
    _, kept = np.unique(cells[0] * (CELLS[1] + 1) + cells[1], return_index=True)
    axes.plot(x[kept], y[kept], ".", color=c, markersize=3, clip_on=False)


def _peaks(
    x: NDArray[np.float64], height: NDArray[np.float64], least: float, most: int
) -> list[int]:
    """Return the highest points, none of them close to a higher one."""
    peaks: list[int] = []
    high = np.flatnonzero(height >= least)
    for j in high[np.argsort(-height[high], kind="stable")]:
        if all(abs(x[j] - x[k]) > 0.04 * np.ptp(x) for k in peaks):
            peaks.append(int(j))
    return peaks[:most]
