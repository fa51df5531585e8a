"""The common style of the figures."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

__all__ = ["bare", "line_colors", "plain"]


def plain(text: str) -> str:
    """Return the text with its dollars escaped: matplotlib would read mathematics."""
    return text.replace("$", r"\$")


def line_colors(count: int, ordered: bool = True) -> list[Any]:
    """Return a color for each of several lines: from dark to light if ordered."""
    if not ordered and count <= 10:
        return list(mpl.colormaps["tab10"](np.arange(count)))
    if ordered and count == 1:
        return ["#2166ac"]
    return list(mpl.colormaps["viridis"](np.linspace(0, 0.92, count)))


def bare(axes: Axes, title: str) -> None:
    """Draw the title, and remove the ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title)
