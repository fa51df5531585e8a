"""Floor 3: how well scores and probabilities agree with labels.

Imports base, losses and data. What needs a fit or an interval is above: `auc_delong`,
`calibration_line` and `hosmer_lemeshow` are in `jlogreg.inference`.
"""

from jlogreg.metrics.decisions import Confusion, accuracy, confusion
from jlogreg.metrics.probability import (
    BrierParts,
    brier,
    brier_decomposition,
    calibration_error,
    log_loss,
)
from jlogreg.metrics.ranking import average_precision, roc_auc

__all__ = [
    "BrierParts",
    "Confusion",
    "accuracy",
    "average_precision",
    "brier",
    "brier_decomposition",
    "calibration_error",
    "confusion",
    "log_loss",
    "roc_auc",
]
