"""DeLong's error, by its definition over all pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.inference import auc_delong


def of_pairs(score, y):
    """Return the area and its variance, pair by pair."""
    ones, zeros = score[y == 1], score[y == 0]
    wins = np.where(
        ones[:, None] > zeros[None], 1.0, 0.5 * (ones[:, None] == zeros[None])
    )
    of_ones, of_zeros = wins.mean(axis=1), wins.mean(axis=0)
    variance = of_ones.var(ddof=1) / len(ones) + of_zeros.var(ddof=1) / len(zeros)
    return wins.mean(), variance**0.5


def data(seed, m=60, dtype=np.float64):
    random = np.random.default_rng(seed)
    y = (random.random((1, m)) < 0.4).astype(dtype)
    score = (random.normal(size=(1, m)) + y).round(1).astype(dtype)  # with ties
    return score, y, random


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_that_of_all_pairs(dtype):
    score, y, _ = data(0, dtype=dtype)
    found = auc_delong(score, y)
    area, error = of_pairs(score[0].astype(float), y[0])
    rtol = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(found.roc_auc, area, rtol=rtol)
    np.testing.assert_allclose(found.standard_error, error, rtol=rtol)
    assert found.low == pytest.approx(area - 1.959964 * error, rel=1e-5)
    assert found.roc_auc.dtype == dtype


def test_weights_are_frequencies_and_0_leaves_out():
    score, y, random = data(1)
    weight = random.integers(0, 4, y.shape).astype(float)
    times = weight[0].astype(int)
    often = auc_delong(*(np.repeat(row, times, axis=1) for row in (score, y)))
    score[0, np.flatnonzero(times == 0)[0]] = np.nan
    np.testing.assert_allclose(auc_delong(score, y, weight=weight), often, rtol=1e-12)


def test_it_is_mapped_and_what_is_no_order_is_nan():
    score, y, _ = data(2)
    scores = np.stack([score, -score, score * np.nan, np.zeros_like(score)])
    found = jax.jit(jax.vmap(auc_delong, in_axes=(0, None)))(scores, jnp.asarray(y))
    assert found.roc_auc[0] + found.roc_auc[1] == pytest.approx(1.0)
    assert np.isnan(found.roc_auc[2])
    assert found.roc_auc[3] == 0.5
    assert found.standard_error[3] == 0
    assert np.isnan(auc_delong(score, np.full_like(y, 0.5)).roc_auc)
    assert np.isnan(auc_delong(score, np.ones_like(y)).roc_auc)
    perfect = auc_delong(np.asarray(y), y)
    assert (float(perfect.roc_auc), float(perfect.high)) == (1.0, 1.0)


def test_wrong_arguments_are_refused():
    score, y, _ = data(3)
    with pytest.raises(jl.RankError, match="score has rank 1"):
        auc_delong(score[0], y)
    with pytest.raises(jl.ShapeError, match="y has rank 2"):
        auc_delong(score, y[:, 1:])
    with pytest.raises(ValueError, match=r"y must be in \[0, 1\]"):
        auc_delong(score, y + 1)
    with pytest.raises(ValueError, match="weight must be at least 0"):
        auc_delong(score, y, weight=-y)
