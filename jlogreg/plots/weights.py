"""Figures of weights and images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Num
from matplotlib.figure import Figure

from jlogreg.base.checks import AnyArray, check_array, check_matrix
from jlogreg.base.errors import RankError, ShapeError
from jlogreg.plots.style import bare, plain

__all__ = ["image_grid", "weights_bars", "weights_image"]


def weights_image(w: Float[AnyArray, "n 1"], shape: Sequence[int]) -> Figure:
    """Draw the weights as an image: positive weights red, negative ones blue.

    Shapes: w (n, 1), with n = h * w * c; shape (h, w) or (h, w, c), one panel for each
    of the c color channels.

    Raises:
        DtypeError, RankError, ShapeError: if w has the wrong type, dtype, rank or
            shape, or does not fit the shape of the image.

    Examples:
        >>> import numpy as np
        >>> from jlogreg.plots import weights_image
        >>> w = np.array([[0.5], [-1.0], [0.0], [0.25], [1.0], [0.0]])
        >>> figure = weights_image(w, (2, 3))
        >>> figure.axes[0].images[0].get_array().shape
        (2, 3)
    """
    column = np.asarray(check_matrix("w", w, ("n", 1)))
    if column.size != np.prod(shape) or len(shape) not in (2, 3):
        raise ShapeError(f"w has {column.size} weights, but the image is {shape}")
    height, width = shape[:2]
    panels = column.reshape(height, width, -1)
    count = panels.shape[2]
    names = {3: ("red", "green", "blue")}.get(count, ("weight",) * count)
    figure = Figure(figsize=(1.2 + 3.6 * count, 3.6), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    limit = float(np.abs(panels).max()) or 1.0
    for channel in range(count):
        image = axes[channel].imshow(
            panels[:, :, channel], cmap="RdBu_r", vmin=-limit, vmax=limit
        )
        bare(axes[channel], names[channel] if count > 1 else "")
    figure.colorbar(image, ax=axes.tolist(), label="weight w (log-odds per unit)")
    return figure


def weights_bars(
    w: Float[AnyArray, "n 1"],
    names: Sequence[str] | None = None,
    most: int = 20,
    *,
    per: str = "unit",
) -> Figure:
    """Draw the largest weights as bars, the largest at the top.

    Shapes: w (n, 1); names has length n. per: what a weight is per, such as "standard
    deviation" for standardised features.

    Raises:
        DtypeError, RankError, ShapeError: if w has the wrong type, dtype, rank
            or shape.

    Examples:
        >>> import numpy as np
        >>> from jlogreg.plots import weights_bars
        >>> figure = weights_bars(np.array([[0.5], [-1.0]]), ["age", "dose"])
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['age', 'dose']
    """
    column = np.asarray(check_matrix("w", w, ("n", 1))).ravel()
    order = np.argsort(-np.abs(column))[:most][::-1]
    labels = [f"feature {j}" if names is None else plain(names[j]) for j in order]
    figure = Figure(figsize=(7, 0.8 + 0.27 * len(order)), layout="constrained")
    axes = figure.add_subplot()
    colors = ["#b2182b" if column[j] > 0 else "#2166ac" for j in order]
    axes.barh(labels, column[order], color=colors)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(f"weight w (log-odds per {per})")
    return figure


def image_grid(
    images: Num[Any, "m ..."], titles: Sequence[str], columns: int = 4
) -> Figure:
    """Draw images in a grid, each under its title.

    Shapes: images (m, h, w) or (m, h, w, c), in [0, 1] or uint8; c of 3 or 4 is shown
    in color, any other as its mean in gray.

    Raises:
        DtypeError, RankError: if images has the wrong type, dtype or rank.

    Examples:
        >>> import numpy as np
        >>> from jlogreg.plots import image_grid
        >>> figure = image_grid(np.zeros((2, 3, 3)), ["face", "no face"])
        >>> [axes.get_title() for axes in figure.axes[:2]]
        ['face', 'no face']
    """
    pictures = np.asarray(check_array("images", images, floating=False))
    if pictures.ndim not in (3, 4):
        raise RankError(
            f"images has shape {pictures.shape}, but must be (m, h, w, ...)"
        )
    if pictures.ndim == 4 and pictures.shape[3] not in (3, 4):
        pictures = pictures.mean(axis=3)
    rows = max(1, -(-len(pictures) // columns))
    figure = Figure(figsize=(2.1 * columns, 2.5 * rows), layout="constrained")
    for axes in figure.subplots(rows, columns, squeeze=False).ravel():
        axes.set_axis_off()
    for axes, picture, title in zip(figure.axes, pictures, titles, strict=False):
        axes.imshow(picture, cmap="gray")
        axes.set_title(title, fontsize=10)
    return figure
