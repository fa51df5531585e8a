"""Calibration by hand, and the arguments that it refuses."""

import jax
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.diagnostics.calibration import calibration
from jlogreg.inference import calibration_line, hosmer_lemeshow


def test_calibration_by_hand():
    a = np.array([[0.0, 0.2, 0.3], [0.9, 1.0, np.nan]])
    y = np.array([[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    result = calibration(a, y, bins=4)
    np.testing.assert_array_equal(result.count, [[2, 1, 0, 2]])
    np.testing.assert_allclose(result.predicted, [[0.1, 0.3, np.nan, 0.95]])
    np.testing.assert_allclose(result.observed, [[0.5, 0, np.nan, 1]])
    assert result.error == pytest.approx((2 * 0.4 + 0.3 + 2 * 0.05) / 5)


def test_a_weight_of_k_is_a_prediction_that_occurs_k_times():
    rng = np.random.default_rng(0)
    a, y, weight = rng.random((1, 30)), rng.random((1, 30)), rng.integers(0, 4, (1, 30))
    weighted = calibration(a, y, bins=4, weight=weight.astype(float))
    copies = [np.repeat(array, weight[0], axis=1) for array in (a, y)]
    jax.tree.map(np.testing.assert_allclose, weighted, calibration(*copies, bins=4))
    with pytest.raises(ValueError, match=r"^weight must be at least 0"):
        calibration(a, y, weight=-np.ones_like(a))


@pytest.mark.parametrize("bins", [0, -1])
def test_calibration_needs_a_bin(bins):
    with pytest.raises(ValueError, match=r"^bins must be at least 1"):
        calibration(np.ones((1, 2)), np.ones((1, 2)), bins)
    with pytest.raises(jl.RankError, match=r"^probability has rank 1"):
        calibration(np.ones(2), np.ones((1, 2)))


def test_calibration_of_nothing_is_no_error():
    result = calibration(np.full((1, 2), np.nan), np.ones((1, 2)))
    assert result.error == 0
    assert np.isnan(result.predicted).all()


def hosmer_lemeshow_of(a, y, groups):
    """Return the statistic as R's `hoslem.test` computes it."""
    cuts = np.quantile(a, np.arange(groups + 1) / groups)
    group = np.clip(np.searchsorted(cuts, a, side="left") - 1, 0, groups - 1)
    total = 0.0
    for k in range(groups):
        inside = group == k
        N, E, O = inside.sum(), a[inside].sum(), y[inside].sum()  # noqa: E741
        total += (O - E) ** 2 / E + (O - E) ** 2 / (N - E)
    return total


@pytest.mark.parametrize("groups", [5, 10])
def test_hosmer_and_lemeshow(groups):
    random = np.random.default_rng(groups)
    a = random.uniform(0.02, 0.98, (1, 200)).round(3)
    y = (random.random((1, 200)) < a**1.3).astype(float)
    found = hosmer_lemeshow(a, y, groups=groups)
    statistic = hosmer_lemeshow_of(a[0], y[0], groups)
    assert found.statistic == pytest.approx(statistic, rel=1e-10)
    assert int(found.df) == groups - 2
    weight = random.integers(1, 4, a.shape).astype(float)
    times = weight[0].astype(int)
    often = [np.repeat(row, times, axis=1) for row in (a, y)]
    weighted = hosmer_lemeshow(a, y, groups=groups, weight=weight)
    expected = hosmer_lemeshow(*often, groups=groups)
    assert weighted.statistic == pytest.approx(float(expected.statistic), rel=1e-10)
    few = np.where(a > 0.5, 0.7, 0.2)
    assert np.isnan(hosmer_lemeshow(few, y, groups=groups).statistic)
    with pytest.raises(ValueError, match="groups must be at least 3"):
        hosmer_lemeshow(a, y, groups=2)


def test_the_line_is_that_of_two_fits():
    random = np.random.default_rng(0)
    z = random.normal(size=(1, 80))
    y = (random.random((1, 80)) < 1 / (1 + np.exp(-0.5 * z))).astype(float)
    found = calibration_line(z, y)
    slope = jl.fit(z, y)
    assert found.slope == pytest.approx(float(slope.params.w[0, 0]), rel=1e-10)
    intercept = jl.fit(np.zeros((0, 80)), y, offset=z)
    assert found.intercept == pytest.approx(float(intercept.params.b[0, 0]), rel=1e-10)
    a = np.asarray(jl.sigmoid(z + np.asarray(intercept.params.b)))
    error = (a * (1 - a)).sum() ** -0.5
    assert found.intercept_error == pytest.approx(error, rel=1e-9)
    shifted, scaled = calibration_line(z - 1, y), calibration_line(2 * z, y)
    assert shifted.intercept == pytest.approx(float(found.intercept) + 1, rel=1e-9)
    assert scaled.slope == pytest.approx(float(found.slope) / 2, rel=1e-9)
    assert scaled.slope_error == pytest.approx(float(found.slope_error) / 2, rel=1e-9)
    apart = calibration_line(z, (z > 0).astype(float))
    assert np.isnan(apart.slope)
    assert np.isnan(apart.slope_error)
    assert apart.status != 0
