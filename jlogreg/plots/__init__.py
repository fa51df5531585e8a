"""Edge: matplotlib figures of data, fits and computation graphs.

Imports the floors, and matplotlib; nothing above imports it.
"""

from jlogreg.base.errors import extra

with extra("plots"):
    from jlogreg.plots.genome import manhattan, qq
    from jlogreg.plots.graph import graph_diagram
    from jlogreg.plots.intervals import interval_forest
    from jlogreg.plots.model_selection import (
        penalty_path,
        reliability_diagram,
        roc_curve,
    )
    from jlogreg.plots.training import cost_curves, cost_surface, time_bars
    from jlogreg.plots.weights import image_grid, weights_bars, weights_image

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
    "roc_curve",
    "time_bars",
    "weights_bars",
    "weights_image",
]
