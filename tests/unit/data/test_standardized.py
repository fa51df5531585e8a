"""With weights the mean and deviation are NumPy's, and those of repeated samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.experimental.sparse import BCOO

import jlogreg as jl
from jlogreg import standardize
from tests.helpers import EPS, assert_close, same_bits, seeds

N, M = 4, 6
COUNTS = [0, 1, 1, 2, 3, 5]
HAZARDS = [np.nan, np.inf, -np.inf, 1e300, 0.0]
DESIGNS = {
    "array": jnp.asarray,
    "stacked": lambda X: jl.Stacked(jnp.asarray(X[:2]), jl.Dense(jnp.asarray(X[2:]))),
    "sparse": lambda X: BCOO.fromdense(jnp.asarray(X)),
    "stacked sparse": lambda X: jl.Stacked(
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

    A design that cannot be centered takes the variance as a difference of squares, and
    loses the digits of those.
    """
    assert_close(made.mean, mean, samples * EPS * (np.abs(mean) + scale))
    lost = 2 * samples * EPS * (np.abs(mean) / scale + 1)
    if not centered:
        lost = np.maximum(lost, 4 * samples * EPS * (mean**2 / scale**2 + 1))
    lost = np.where(scale == 1.0, 0.0, lost)  # exact for constants
    assert (lost < 1e-4).all()
    assert_close(made.scale, scale, lost * scale)


def assert_same_moments(made, usual):
    assert same_bits((made.mean, made.scale), (usual.mean, usual.scale))


@given(
    seed=seeds,
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


@pytest.mark.parametrize("kind", DESIGNS)
@pytest.mark.parametrize(
    "by", [standardize, by_jit, by_vmap], ids=["eager", "jit", "vmap"]
)
def test_moments_are_those_of_numpy_whatever_a_sample_of_weight_0_contains(by, kind):
    X, weight = features(1, m=12), weights(2, m=12)
    usual = by(DESIGNS[kind](X), jnp.asarray(weight))
    assert_standardizes(usual, *moments(X, weight), 12, kind in CENTERED)
    for hazard in HAZARDS:
        if kind not in CENTERED and np.isfinite(hazard):
            hazard = 1e100  # its square must be a number
        other = DESIGNS[kind](np.where(weight == 0, hazard, X))
        assert_same_moments(by(other, jnp.asarray(weight)), usual)


@pytest.mark.parametrize("kind", DESIGNS)
def test_without_weights_all_count_alike_and_logits_have_an_original_scale(kind):
    X, random = features(3, m=50), np.random.default_rng(3)
    made = by_jit(DESIGNS[kind](X))
    assert_standardizes(made, *moments(X, np.ones((1, 50))), 50, kind in CENTERED)
    params = jl.Params(
        w=random.standard_normal((N, 2)), b=random.standard_normal((2, 1))
    )
    expected = params.w.T @ ((X - made.mean) / made.scale) + params.b
    size = (np.abs(X) + np.abs(made.mean)) / made.scale
    within = 8 * (N + 4) * EPS * (np.abs(params.w).T @ size + np.abs(params.b))
    assert_close(jl.logits(params, made), expected, within)
    original = made.to_original_scale(params)
    assert_close(jl.logits(original, X), expected, within)
    each = jl.Params(w=params.w.T[..., None], b=params.b[..., None])  # as of fit_many
    found = made.to_original_scale(each)
    np.testing.assert_allclose(found.w[..., 0], original.w.T, rtol=1e-12)
    np.testing.assert_allclose(found.b[..., 0], original.b, rtol=1e-12)


@pytest.mark.parametrize("size", [2.0**-1000, 2.0**1021])
def test_only_the_ratios_of_weights_matter(size):
    X, weight = features(5), np.array([COUNTS], float)
    assert_same_moments(standardize(X, size * weight), standardize(X, weight))


def test_constants_of_many_samples_are_noticed():
    m = 100_000
    X = np.full((3, m), 3.3, np.float32)
    weight = np.random.default_rng(6).uniform(size=(1, m)).astype(np.float32)
    made = standardize(X, weight)
    np.testing.assert_array_equal(made.scale, np.ones((3, 1)))
    assert_close(made.mean, X[:, :1], 4 * np.finfo(np.float32).eps * X[:, :1])


@pytest.mark.parametrize("kind", DESIGNS)
def test_a_feature_that_is_not_finite_is_an_error_or_nan(kind):
    X = features(8)
    X[0, 0] = np.inf
    X, weight = DESIGNS[kind](X), jnp.asarray(weights(9))
    with pytest.raises(ValueError, match="must be finite"):
        standardize(X, weight)
    made = by_jit(X, weight)
    assert np.isnan(made.mean[0]).all()
    assert np.isnan(made.scale[0]).all()
