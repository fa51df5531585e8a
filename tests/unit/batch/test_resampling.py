"""Folds hold every sample out once; bootstrap replicates are draws of all samples."""

from functools import partial

import jax
import numpy as np
import pytest

from jlogreg import bootstrap_weights, fit, fold_weights
from tests.helpers import assert_close, make_problem
from tests.oracles.numpy_fit import numpy_minimum, params_slack

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


def assert_dealt(rows, m, folds):
    """Assert that every sample is held out once, by folds of nearly one size."""
    assert rows.shape == (folds, m)
    assert set(rows.flat) <= {0.0, 1.0}
    np.testing.assert_array_equal((rows == 0).sum(axis=0), np.ones(m))
    sizes = (rows == 0).sum(axis=1)
    assert sizes.max() - sizes.min() <= 1, sizes


def test_folds_hold_every_sample_out_once(dealt):
    m, folds, rows = dealt
    for deal in rows:
        assert_dealt(deal, m, folds)


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


WRONG_DEALS = {
    "a sample held out twice": ([1], [0], [0]),
    "a sample never held out": ([0], [0], [1]),
    "uneven": ([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1]),
    "neither 0 nor 1": ([0], [1], [2]),
}


@pytest.mark.parametrize("fault", WRONG_DEALS)
def test_the_comparison_notices_a_wrong_deal(fault):
    rows = (np.arange(M)[None] % 4 != np.arange(4)[:, None]) * 1.0
    assert_dealt(rows, M, 4)
    *place, numbers = WRONG_DEALS[fault]
    rows[tuple(place)] = numbers
    with pytest.raises(AssertionError):
        assert_dealt(rows, M, 4)


@pytest.mark.parametrize("function", COUNT)
def test_a_key_decides_in_every_transformation(function, keys):
    function = partial(function, m=M, **COUNT[function])
    due = np.asarray(function(keys[0]))
    np.testing.assert_array_equal(function(keys[0]), due)
    np.testing.assert_array_equal(jax.jit(function)(keys[0]), due)
    both = jax.vmap(function)(keys[:2])
    np.testing.assert_array_equal(both[0], due)
    assert (np.asarray(both[1]) != due).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, None])
@pytest.mark.parametrize("function", COUNT)
def test_the_dtype_is_the_one_asked_for(function, dtype, keys):
    function = partial(function, m=M, dtype=dtype, **COUNT[function])
    found = jax.eval_shape(function, keys[0])
    assert found.dtype == (dtype or np.float64)
    assert found.shape == (3, M)
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


def draws(random, count=M, of=M, size=REPLICATES):
    """Return how often each sample is drawn, when only the first of them can be."""
    return random.multinomial(count, (np.arange(M) < of) / of, size) * 1.0


OTHER_DRAWS = [
    (lambda _: np.ones((REPLICATES, M)), {"variance", "never"}),
    (lambda random: draws(random, of=M - 1), {"mean", "never"}),
    (
        lambda random: np.repeat(draws(random, size=1), REPLICATES, axis=0),
        {"mean", "variance", "covariance", "never"},
    ),
    # Half of them, each twice.
    (
        lambda random: 2 * draws(random, count=M // 2),
        {"variance", "never"},
    ),
    # The same number for two samples.
    (
        lambda random: np.repeat(random.poisson(1, (REPLICATES, M // 2)), 2, axis=1),
        {"covariance"},
    ),
]


@pytest.mark.parametrize(("draw", "moments"), OTHER_DRAWS)
def test_the_moments_notice_other_draws(draw, moments):
    found = far_from_multinomial(draw(np.random.default_rng(0)))
    assert {name for name, far in found.items() if far > 5} >= moments


@jax.jit
def fitted(X, y, weight):
    return fit(X, y, weight=weight, l2=0.1, tol=2.0**-26)


def test_a_replicate_is_the_fit_of_its_samples(drawn):
    """Of m samples: each as often as its weight says."""
    problem = jax.tree.map(np.asarray, make_problem((3, M), float, l2=0.1))
    X, y, one = problem.X, problem.y, np.ones((1, M))
    problem = problem._replace(offset=0 * one)
    for row in drawn[:8]:
        kept = np.repeat(np.arange(M), row.astype(int))
        again = problem._replace(X=X[:, kept], y=y[:, kept], weight=one)
        due = numpy_minimum(again)
        within = params_slack(again, due)
        for found in (fitted(X, y, row[None]), fitted(again.X, again.y, one)):
            assert found.status == 0
            assert_close(found.params.w, due.w, 2 * within.w)
            assert_close(found.params.b, due.b, 2 * within.b)
        with pytest.raises(AssertionError, match="too far"):
            assert_close(fitted(X, y, one).params.w, due.w, 2 * within.w)
