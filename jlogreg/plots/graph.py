"""A computation graph as a figure."""

from __future__ import annotations

import statistics
from typing import NamedTuple, TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from jlogreg.graph.graph import COLORS, Graph
from jlogreg.plots.style import plain

__all__ = ["graph_diagram"]

# Inches: the width of a letter, the height of a line and of a box, the margin in a box,
# the space between columns, and the space between the boxes of a column.
LETTER, LINE, HEIGHT, MARGIN, GAP, SPACE = 0.078, 0.19, 0.67, 0.1, 0.5, 0.2


# An entry of a column: a node, by number, or an edge that passes through.
_Item: TypeAlias = int | tuple[int, int, int]


class _Box(NamedTuple):
    left: float
    right: float
    y: float


def graph_diagram(graph: Graph) -> Figure:
    """Draw a computation graph from left to right: values blue, d-values red.

    Shapes: nodes of any shape; the box of a large array shows its range.

    Examples:
        >>> from jlogreg import computation_graph
        >>> from jlogreg.plots import graph_diagram
        >>> figure = graph_diagram(computation_graph(lambda a: 3 * a, 5))
        >>> [text.get_text() for text in figure.axes[0].texts][:3]
        ['a', '5', 'da = 3']
    """
    columns, links = _layers(graph)
    labels = [node.label for node in graph.nodes]
    boxes: dict[_Item, _Box] = {}
    left = 0.0
    for column in columns:
        letters = max(len(line) for item in column for line in _lines(labels, item))
        width = LETTER * letters + 2 * MARGIN
        for row, item in enumerate(column):
            y = ((len(column) - 1) / 2 - row) * (HEIGHT + SPACE)
            boxes[item] = _Box(left, left + width, y)
        left += width + GAP
    right, top = left - GAP + MARGIN, max(map(len, columns)) * (HEIGHT + SPACE) / 2
    figure = Figure(figsize=(right + MARGIN, 2 * top))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-MARGIN, right), ylim=(-top, top))
    axes.set_axis_off()
    for start, end in links:
        _connect(axes, boxes[start], boxes[end], head=isinstance(end, int))
    for item, box in boxes.items():
        _draw(axes, box, _lines(labels, item))
    return figure


def _lines(labels: list[tuple[str, str, str]], item: _Item) -> tuple[str, ...]:
    return labels[item] if isinstance(item, int) else ("",)


def _layers(
    graph: Graph,
) -> tuple[list[list[_Item]], list[tuple[_Item, _Item]]]:
    """Return the entries of each column, and the links from column to column.

    A node is as near to the result as the nodes that read it allow. An edge that passes
    a column has an entry of its own there, so that it crosses no box.
    """
    edges = list(graph.edges())
    depth = [0] * len(graph.nodes)
    for start, end in reversed(edges):  # sorted by end: later depths are final
        depth[start] = max(depth[start], depth[end] + 1)
    columns: list[list[_Item]] = [[] for _ in range(max(depth) + 1)]
    for number, level in enumerate(depth):
        columns[-1 - level].append(number)
    links: list[tuple[_Item, _Item]] = []
    for start, end in edges:
        before: _Item = start
        for level in range(depth[start] - 1, depth[end], -1):
            passing = (start, end, level)
            columns[-1 - level].append(passing)
            links.append((before, passing))
            before = passing
        links.append((before, end))
    _untangle(columns, links)
    return columns, links


def _untangle(columns: list[list[_Item]], links: list[tuple[_Item, _Item]]) -> None:
    """Sort each column by the mean height of its neighbors, several times.

    This is the barycenter method of Sugiyama, Tagawa and Toda (1981).
    """
    height = {
        item: row - len(column) / 2
        for column in columns
        for row, item in enumerate(column)
    }
    neighbors: tuple[dict[_Item, list[_Item]], ...] = ({}, {})
    for start, end in links:
        neighbors[0].setdefault(start, []).append(end)
        neighbors[1].setdefault(end, []).append(start)
    for sweep in range(8):  # by right neighbors, from the right; then by left ones
        near = neighbors[sweep % 2]
        for column in columns if sweep % 2 else columns[::-1]:
            means = {
                item: statistics.fmean(
                    height[other] for other in near.get(item, [item])
                )
                for item in column
            }
            column.sort(key=means.__getitem__)
            for row, item in enumerate(column):
                height[item] = row - len(column) / 2


def _connect(axes: Axes, start: _Box, end: _Box, head: bool) -> None:
    arrow = FancyArrowPatch(
        (start.right, start.y),
        (end.left, end.y),
        arrowstyle="-|>" if head else "-",
        mutation_scale=9,
        shrinkA=0,
        shrinkB=0,
        color="#555555",
    )
    axes.add_patch(arrow)


def _draw(axes: Axes, box: _Box, lines: tuple[str, ...]) -> None:
    """Draw a box around lines of text, or the line of a passing edge."""
    width = box.right - box.left
    if len(lines) == 1:
        axes.plot((box.left, box.right), (box.y, box.y), color="#555555", linewidth=1)
        return
    corner = (box.left, box.y - HEIGHT / 2)
    frame = FancyBboxPatch(
        corner,
        width,
        HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor="#f7f7f7",
        edgecolor="#555555",
    )
    axes.add_patch(frame)
    for row, (text, color) in enumerate(zip(lines, ("black", *COLORS), strict=True)):
        y = box.y + (1 - row) * LINE
        axes.text(
            box.left + width / 2,
            y,
            plain(text),
            color=color,
            ha="center",
            va="center",
            family="monospace",
            fontsize=9,
        )
