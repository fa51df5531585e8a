"""Draw what was learnt, as matplotlib figures made from arrays."""

from jlogreg.plots.genome import manhattan, qq
from jlogreg.plots.graph import graph_diagram
from jlogreg.plots.many import interval_forest, penalty_path, reliability_diagram
from jlogreg.plots.model import (
    cost_curves,
    cost_surface,
    image_grid,
    time_bars,
    weights_bars,
    weights_image,
)

__all__ = [
    "cost_curves",
    "cost_surface",
    "graph_diagram",
    "image_grid",
    "interval_forest",
    "manhattan",
    "penalty_path",
    "qq",
    "reliability_diagram",
    "time_bars",
    "weights_bars",
    "weights_image",
]
