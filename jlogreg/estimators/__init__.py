"""Edge: scikit-learn's estimators, each fit by the functions of the floors.

Imports the floors, and scikit-learn; nothing above imports it. Here alone a row is a
sample, as scikit-learn has it.
"""

from jlogreg.base.errors import extra

with extra("sklearn"):
    from jlogreg.estimators.logistic_regression import LogisticRegression
    from jlogreg.estimators.logistic_regression_cv import LogisticRegressionCV

__all__ = ["LogisticRegression", "LogisticRegressionCV"]
