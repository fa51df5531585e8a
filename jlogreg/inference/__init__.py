"""Floor 7: what a fit means, the public namespace `jlogreg.inference`.

Imports `certification`, `diagnostics`, `batch` and the floors below them.
"""

from jlogreg.diagnostics.calibration import (
    CalibrationLine,
    calibration_line,
    hosmer_lemeshow,
)
from jlogreg.diagnostics.discrimination import Auc, auc_delong
from jlogreg.diagnostics.fit_statistics import FitStatistics, fit_statistics
from jlogreg.diagnostics.residuals import Diagnostics, diagnostics
from jlogreg.diagnostics.tails import HypothesisTest
from jlogreg.inference.covariance import correlation, covariance, standard_errors
from jlogreg.inference.effects import Effects, marginal_effects
from jlogreg.inference.intervals import Interval, confidence_interval
from jlogreg.inference.nested_models import likelihood_ratio_test, score_test
from jlogreg.inference.predictions import Prediction, predict_interval
from jlogreg.inference.wald import wald_test

__all__ = [
    "Auc",
    "CalibrationLine",
    "Diagnostics",
    "Effects",
    "FitStatistics",
    "HypothesisTest",
    "Interval",
    "Prediction",
    "auc_delong",
    "calibration_line",
    "confidence_interval",
    "correlation",
    "covariance",
    "diagnostics",
    "fit_statistics",
    "hosmer_lemeshow",
    "likelihood_ratio_test",
    "marginal_effects",
    "predict_interval",
    "score_test",
    "standard_errors",
    "wald_test",
]
