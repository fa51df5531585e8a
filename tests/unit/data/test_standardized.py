"""With weights the mean and deviation are NumPy's, and those of repeated samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.experimental.sparse import BCOO

from jlogreg import (
    Dense,
    DtypeError,
    RankError,
    ShapeError,
    Stacked,
    standardize,
)
from tests.helpers import assert_close

EPS = float(np.finfo(float).eps)
N, M = 4, 6
COUNTS = [0, 1, 1, 2, 3, 5]
HAZARDS = [np.nan, np.inf, -np.inf, 1e300, 0.0]
DESIGNS = {
    "array": jnp.asarray,
    "stacked": lambda X: Stacked(jnp.asarray(X[:2]), Dense(jnp.asarray(X[2:]))),
    "sparse": lambda X: BCOO.fromdense(jnp.asarray(X)),
    "stacked sparse": lambda X: Stacked(
        jnp.asarray(X[:2]), BCOO.fromdense(jnp.asarray(X[2:]))
    ),
}
CENTERED = {"array", "stacked"}
by_jit = jax.jit(standardize)


def features(seed, scale=1.0, m=M):
    """Return ordinary features, some of a large mean, constants and zeros."""
    x = np.random.default_rng(seed).standard_normal((2, m))
    rows = [x[:1], x[1:] + 1e4, np.full((1, m), 0.1), np.zeros((1, m))]
    return scale * np.concatenate(rows)


def weights(seed, m=M):
    """Return weights (1, m), a third of them 0."""
    random = np.random.default_rng(seed)
    return random.uniform(0.5, 3, (1, m)) * (np.arange(m) % 3 != 1)


def moments(X, weight):
    """Return the mean and deviation by NumPy, with 1 for a constant's deviation."""
    used = weight[0] > 0
    X, v = X[:, used], weight[0, used]
    mean = np.average(X, axis=1, weights=v)[:, None]
    variance = np.diag(np.cov(X, aweights=v, ddof=0))[:, None]
    constant = np.ptp(X, axis=1, keepdims=True) == 0
    return mean, np.where(constant, 1.0, np.sqrt(variance))


def assert_standardizes(made, mean, scale, samples, centered=True):
    """Check a mean and a scale to the digits that sums over the samples lose.

    A design that cannot be centred takes the variance as a difference of squares, and
    loses the digits of those.
    """
    assert_close(made.mean, mean, samples * EPS * (np.abs(mean) + scale))
    lost = 2 * samples * EPS * (np.abs(mean) / scale + 1)
    if not centered:
        lost = np.maximum(lost, 4 * samples * EPS * (mean**2 / scale**2 + 1))
    lost = np.where(scale == 1.0, 0.0, lost)  # exact for constants
    assert (lost < 1e-4).all()
    assert_close(made.scale, scale, lost * scale)


@given(
    seed=st.integers(0, 2**32 - 1),
    exponent=st.integers(-8, 8),
    counts=st.permutations(COUNTS),
    hazard=st.sampled_from(HAZARDS),
)
def test_integer_weights_repeat_samples(seed, exponent, counts, hazard):
    X, weight = features(seed, 10.0**exponent), np.array([counts], float)
    repeated = by_jit(np.repeat(X, counts, axis=1))
    X[:, weight[0] == 0] = hazard
    made = by_jit(X, weight)
    assert_standardizes(made, repeated.mean, repeated.scale, sum(counts))
    np.testing.assert_array_equal(made.X.dense(), X)  # as they were given


def by_vmap(X, weight):
    """Return the design of the second of two rows of weights."""
    rows = jnp.stack([jnp.ones_like(weight), weight])
    many = jax.vmap(standardize, in_axes=(None, 0))(X, rows)
    return jax.tree.map(lambda leaf: leaf[1], many)


BY = {"eager": standardize, "jit": by_jit, "vmap": by_vmap}


@pytest.mark.parametrize("kind", DESIGNS)
@pytest.mark.parametrize("by", BY.values(), ids=BY)
def test_the_mean_and_deviation_are_those_of_numpy(by, kind):
    X, weight = features(1, m=12), weights(2, m=12)
    made = by(DESIGNS[kind](X), jnp.asarray(weight))
    assert_standardizes(made, *moments(X, weight), 12, kind in CENTERED)


@pytest.mark.parametrize("kind", DESIGNS)
@pytest.mark.parametrize("by", BY.values(), ids=BY)
@pytest.mark.parametrize("hazard", HAZARDS)
def test_a_sample_of_weight_0_is_left_out_whatever_it_contains(hazard, by, kind):
    if kind not in CENTERED and np.isfinite(hazard):
        hazard = 1e100  # its square must be a number
    X, weight = features(3), weights(4)
    other = np.where(weight == 0, hazard, X)
    usual, made = (by(DESIGNS[kind](x), jnp.asarray(weight)) for x in (X, other))
    np.testing.assert_array_equal(made.mean, usual.mean)
    np.testing.assert_array_equal(made.scale, usual.scale)
    assert np.isfinite(made.mean).all()


@pytest.mark.parametrize("size", [2.0**-1000, 2.0**1021])
def test_only_the_ratios_of_weights_matter(size):
    X, weight = features(5), np.array([COUNTS], float)
    usual, made = standardize(X, weight), standardize(X, size * weight)
    np.testing.assert_array_equal(made.mean, usual.mean)
    np.testing.assert_array_equal(made.scale, usual.scale)


def test_constants_of_many_samples_are_noticed():
    m = 100_000
    X = np.full((3, m), 3.3, np.float32)
    weight = np.random.default_rng(6).uniform(size=(1, m)).astype(np.float32)
    made = standardize(X, weight)
    np.testing.assert_array_equal(made.scale, np.ones((3, 1)))
    assert_close(made.mean, X[:, :1], 4 * np.finfo(np.float32).eps * X[:, :1])


@pytest.mark.parametrize(
    ("weight", "error", "text"),
    [
        (np.ones(M), RankError, r"weight has rank 1.*weight\.reshape\(1, -1\)"),
        (np.ones((M, 1)), ShapeError, r"weight has rank 2, shape \(6, 1\)"),
        (np.ones((1, M), np.float32), DtypeError, "weight has dtype float32"),
        (np.ones((1, M), int), DtypeError, "weight has dtype int64"),
        ([[1.0] * M], DtypeError, "weight must be an array"),
        (np.full((1, M), -1.0), ValueError, "weight must be at least 0"),
        (np.full((1, M), np.nan), ValueError, "weight must be at least 0"),
        (np.full((1, M), np.inf), ValueError, "weight must be at least 0"),
        (np.zeros((1, M)), ValueError, "weight is 0 for every sample"),
    ],
)
def test_wrong_weights_are_errors(weight, error, text):
    with pytest.raises(error, match=text):
        standardize(features(7), weight)


@pytest.mark.parametrize("kind", DESIGNS)
@pytest.mark.parametrize("wrong", ["weight", "feature", "no weight"])
def test_numbers_out_of_range_are_errors_or_nan(wrong, kind):
    X, weight = features(8), weights(9)
    if wrong == "weight":
        weight[0, 0] = -1.0
    elif wrong == "feature":
        X[0, 0] = np.inf
    else:
        weight[:] = 0.0
    X, weight = DESIGNS[kind](X), jnp.asarray(weight)
    with pytest.raises(ValueError, match=r"must be|is 0 for every"):
        standardize(X, weight)
    made = by_jit(X, weight)
    assert np.isnan(made.mean[0]).all()
    assert np.isnan(made.scale[0]).all()
