"""Scores of probabilities: as scikit-learn has them, and by hand."""

import jax
import numpy as np
import pytest
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as their_log_loss

from jlogreg import metrics
from jlogreg.diagnostics.calibration import calibration
from tests.helpers import EPS

M = 200


def problem(seed=0):
    random = np.random.default_rng(seed)
    z = 2 * random.normal(size=(1, M))
    y = (random.random((1, M)) < 1 / (1 + np.exp(-z))) * 1.0
    return z, 1 / (1 + np.exp(-z)), y, random.integers(0, 4, (1, M)) * 1.0


@pytest.mark.parametrize("weighted", [False, True])
def test_they_are_those_of_scikit_learn(weighted):
    z, a, y, weight = problem()
    rows = {"weight": weight} if weighted else {}
    given = {"sample_weight": weight[0]} if weighted else {}
    expected = their_log_loss(y[0], a[0], **given)
    assert abs(metrics.log_loss(z, y, **rows) - expected) <= 1e-12
    expected = brier_score_loss(y[0], a[0], **given)
    assert abs(metrics.brier(a, y, **rows) - expected) <= 1e-12


def test_the_log_loss_is_finite_where_a_probability_is_rounded_to_0():
    z, y = np.array([[-1000.0, 3.0]]), np.array([[1.0, 1.0]])
    assert metrics.log_loss(z, y) == pytest.approx(500 + np.log1p(np.exp(-3)) / 2)
    # Without a weight not even an infinite one counts.
    z = np.array([[-np.inf, 0.0]])
    found = metrics.log_loss(z, y, weight=np.array([[0.0, 2.0]]))
    assert found == pytest.approx(np.log(2), rel=1e-15)
    assert metrics.log_loss(z, y) == np.inf


@pytest.mark.parametrize("bins", [1, 2, 7, 10])
@pytest.mark.parametrize("soft", [False, True])
def test_the_parts_add_up_in_any_bins(bins, soft):
    _, a, y, weight = problem()
    y = (y + a) / 2 if soft else y
    parts = metrics.brier_decomposition(a, y, weight=weight, bins=bins)
    total = parts.reliability - parts.resolution + parts.uncertainty
    total += parts.within_bins
    assert abs(total - metrics.brier(a, y, weight=weight)) <= 4 * M * EPS
    rate = (weight * y).sum() / weight.sum()
    variance = (weight * (y - rate) ** 2).sum() / weight.sum()
    assert abs(parts.uncertainty - variance) <= 4 * M * EPS


def test_the_parts_by_hand():
    a = np.array([[0.25, 0.25, 0.75, 0.75, 0.75, 1.0]])
    y = np.array([[0.0, 1.0, 0.0, 1.0, 1.0, 1.0]])
    parts = metrics.brier_decomposition(a, y, bins=4)
    # Bins of two and of four samples: 1.0 is in the last.
    mean = (3 * 0.75 + 1) / 4
    assert parts.reliability == pytest.approx(
        (2 * 0.25**2 + 4 * (mean - 0.75) ** 2) / 6
    )
    rate = 4 / 6
    resolution = (2 * (0.5 - rate) ** 2 + 4 * (0.75 - rate) ** 2) / 6
    assert parts.resolution == pytest.approx(resolution)
    assert parts.uncertainty == pytest.approx(rate * (1 - rate))
    # Where all probabilities of a bin are equal, nothing is within.
    parts = metrics.brier_decomposition(a[:, :5], y[:, :5], bins=4)
    assert parts.within_bins == pytest.approx(0, abs=4 * EPS)


@pytest.mark.parametrize("bins", [1, 3, 10])
def test_the_calibration_error_is_that_of_the_reliability_diagram(bins):
    _, a, y, weight = problem()
    a[0, :2] = 0.0, 1.0
    found = metrics.calibration_error(a, y, weight=weight, bins=bins)
    expected = calibration(a, y, bins, weight=weight).error
    assert abs(found - expected) <= 4 * M * EPS


def test_a_probability_that_is_nan_makes_nan_of_its_row_alone():
    _, a, y, weight = problem()
    many = np.vstack([a, a])
    many[1, 3] = np.nan
    weight[0, 3] = 2.0
    for name in ("brier", "calibration_error", "brier_decomposition"):
        function = getattr(metrics, name)
        for leaf, alone in zip(
            jax.tree.leaves(function(many, y, weight=weight)),
            jax.tree.leaves(function(a, y, weight=weight)),
            strict=True,
        ):
            assert abs(leaf[0] - alone) <= 4 * EPS
            assert np.isnan(leaf[1])
    weight[0, 3] = 0.0
    left_out = np.where(weight > 0, a, 7.0)  # out of range, and not seen
    for values in (left_out, np.where(weight > 0, a, np.nan)):
        assert metrics.brier(values, y, weight=weight) == metrics.brier(
            a, y, weight=weight
        )


@pytest.mark.parametrize(
    "name", ["log_loss", "brier", "calibration_error", "accuracy", "roc_auc"]
)
def test_without_a_weight_there_is_no_metric(name):
    _, a, y, weight = problem()
    assert np.isnan(getattr(metrics, name)(a, y, weight=0 * weight))
