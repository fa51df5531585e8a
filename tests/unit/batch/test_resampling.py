"""Folds hold every sample out once; bootstrap replicates are draws of all samples."""

from functools import partial

import jax
import numpy as np
import pytest

from jlogreg import bootstrap_weights, fold_weights

# m and folds: as even as may be, one sample a fold, and the least there is.
DEALS = [(11, 4), (6, 6), (2, 2)]
M, REPLICATES = 12, 600  # more replicates than are drawn side by side
COUNT = {fold_weights: {"folds": 3}, bootstrap_weights: {"replicates": 3}}


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(5), 300)


@pytest.fixture(scope="module", params=DEALS, ids=str)
def dealt(request, keys):
    """Return m, folds and the rows of every key (keys, folds, m)."""
    m, folds = request.param
    rows = jax.jit(jax.vmap(partial(fold_weights, m=m, folds=folds)))(keys)
    return m, folds, np.asarray(rows)


def test_folds_hold_every_sample_out_once(dealt):
    """Each sample once, by folds of nearly one size."""
    m, folds, rows = dealt
    assert rows.shape[1:] == (folds, m)
    assert set(rows.flat) == {0.0, 1.0}
    assert ((rows == 0).sum(axis=1) == 1).all()
    sizes = (rows == 0).sum(axis=2)
    assert (sizes.max(axis=1) - sizes.min(axis=1) <= 1).all()


def far_from_even(rows):
    """Return how often each fold held out each sample, in standard deviations."""
    part = (rows == 0).mean(axis=(0, 2))[:, None]  # a fold's size over m
    often = (rows == 0).mean(axis=0)
    return np.abs(often - part) / np.sqrt(part * (1 - part) / len(rows))


def test_every_sample_is_as_often_in_one_fold_as_in_another(dealt):
    _, _, rows = dealt
    assert far_from_even(rows).max() < 5  # of 48 numbers: by chance once in 10^5
    undealt = np.repeat(rows[:1], len(rows), axis=0)
    assert far_from_even(undealt).max() > 5


@pytest.mark.parametrize("dtype", [np.float32, np.float64, None])
@pytest.mark.parametrize("function", COUNT)
def test_the_dtype_is_the_one_asked_for(function, dtype, keys):
    function = partial(function, m=M, dtype=dtype, **COUNT[function])
    result = jax.eval_shape(function, keys[0])
    assert result.dtype == (dtype or np.float64)
    assert result.shape == (3, M)
    with jax.enable_x64(False):
        assert jax.eval_shape(function, keys[0]).dtype == np.float32


@pytest.fixture(scope="module")
def drawn(keys):
    draw = partial(bootstrap_weights, m=M, replicates=REPLICATES)
    return np.asarray(jax.jit(draw)(keys[0]))


def far_from_multinomial(rows):
    """Return moments over replicates less what they are due, in standard deviations.

    A count is binomial, of m draws with the probability 1 / m: its mean is 1, its
    variance v = 1 - 1 / m, its fourth moment about the mean v (1 + 3 (m - 2) v / m);
    two counts have the covariance -1 / m, whose products have a second moment of at
    most the fourth (Cauchy and Schwarz). A mean over R replicates has an R-th of the
    variance.
    """
    R, m = rows.shape
    v, off = 1 - 1 / m, rows - 1
    fourth = v * (1 + 3 * (m - 2) * v / m)
    none = (1 - 1 / m) ** m  # the probability that a sample is not drawn
    covariance = off.T @ off / R + 1 / m
    pairs = covariance[np.tril_indices(m, -1)] / np.sqrt(fourth)
    return {
        "mean": np.abs(off.mean(axis=0)).max() * np.sqrt(R / v),
        "variance": np.abs((off**2).mean(axis=0) - v).max()
        * np.sqrt(R / (fourth - v**2)),
        "covariance": np.abs(pairs).max() * np.sqrt(R),
        "never": np.abs((rows == 0).mean(axis=0) - none).max()
        * np.sqrt(R / (none * (1 - none))),
    }


def test_replicates_have_the_moments_of_draws_with_replacement(drawn):
    assert drawn.shape == (REPLICATES, M)
    np.testing.assert_array_equal(drawn.sum(axis=1), np.full(REPLICATES, M))
    np.testing.assert_array_equal(drawn, np.floor(drawn))
    assert drawn.min() >= 0
    assert max(far_from_multinomial(drawn).values()) < 5  # of 102: once in 10^4
    assert len(np.unique(drawn, axis=0)) > REPLICATES - 9
