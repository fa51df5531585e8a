"""scikit-learn's own checks of an estimator, none of which is expected to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from jlogreg.estimators import LogisticRegression, LogisticRegressionCV


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([LogisticRegression()])
def test_it_is_an_estimator(estimator, check):
    check(estimator)


# Of few samples, so that a fold has each class, and no probability is rounded to 1.
@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([LogisticRegressionCV(Cs=[0.1, 1.0], cv=3)])
def test_that_chooses_its_penalty_too(estimator, check):
    check(estimator)
