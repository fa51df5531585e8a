"""Floor 7: what a fit means, the public namespace `jlogreg.inference`.

Imports `certification`, `diagnostics`, `batch` and the floors below them.
"""

from jlogreg.diagnostics.tails import HypothesisTest
from jlogreg.inference.covariance import correlation, covariance, standard_errors
from jlogreg.inference.intervals import Interval, confidence_interval
from jlogreg.inference.nested_models import likelihood_ratio_test, score_test
from jlogreg.inference.wald import wald_test

__all__ = [
    "HypothesisTest",
    "Interval",
    "confidence_interval",
    "correlation",
    "covariance",
    "likelihood_ratio_test",
    "score_test",
    "standard_errors",
    "wald_test",
]
