"""Calibration by hand, and the arguments that it refuses."""

import jax
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.diagnostics.calibration import calibration


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
