"""What must hold of every covariance, test and interval, whatever the data."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import jlogreg as jl
from jlogreg.inference import (
    confidence_interval,
    covariance,
    likelihood_ratio_test,
    score_test,
    wald_test,
)
from tests.helpers import seeds

N, M = 2, 24


@jax.jit
def everything(X, y, weight):
    """Return the fit, all tests of the first weight, and all intervals."""
    found = jl.fit(X, y, weight=weight)
    without = jl.fit(X[1:], y, weight=weight)
    given = {"weight": weight}
    first = jnp.eye(1, N + 1, dtype=X.dtype)
    tests = [
        wald_test(found, X, y, first, **given),
        score_test(without, X[1:], y, X[:1], **given),
        likelihood_ratio_test(found, X, y, [0], **given),
    ]
    intervals = [
        confidence_interval(found, X, y, kind=kind, **given)
        for kind in ("wald", "profile")
    ]
    return found, [test.statistic for test in tests], intervals


@jax.jit
def held(X, y, weight, beta):
    """Return V times the least cost with the first weight held."""
    found = jl.fit(X[1:], y, weight=weight, offset=beta * X[:1])
    return found.cost * weight.sum()


@jax.jit
def covariances(X, y, weight, clusters):
    found = jl.fit(X, y, weight=weight)
    given = {"weight": weight}
    kinds = {kind: {"kind": kind} for kind in ("fisher", "HC0", "HC1", "HC3")}
    kinds["cluster"] = {"kind": "cluster", "clusters": clusters}
    frequency, probability = (
        {
            name: covariance(found, X, y, weights=meaning, **options, **given)
            for name, options in kinds.items()
        }
        for meaning in ("frequency", "probability")
    )
    return found.status, frequency, probability


def draw(seed):
    """Return features and labels that overlap, and weights from 1 to 3."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((N, M)) + random.uniform(-3, 3, (N, 1))
    theta = random.uniform(-1, 1, (1, N))
    a = 1 / (1 + np.exp(-theta @ (X - X.mean(axis=1, keepdims=True))))
    y = (random.random((1, M)) < a).astype(float)
    weight = random.integers(1, 4, (1, M)).astype(float)
    return random, X, y, weight


def ends(interval):
    return np.hstack([interval.low, interval.high])


@settings(max_examples=30)
@given(seeds, st.sampled_from([-1e3, 1e-2, 7.0]))
def test_tests_and_intervals_know_no_units_and_no_order(seed, unit):
    random, X, y, weight = draw(seed)
    found, tests, intervals = everything(X, y, weight)
    assume(found.status == jl.Status.CONVERGED)
    order = random.permutation(M)
    units = np.array([[unit], [1.0]])
    other = everything((units * X)[:, order], y[:, order], weight[:, order])
    # As many digits as the condition of the information leaves, of both fits.
    np.testing.assert_allclose(other[1], tests, rtol=1e-6, atol=1e-9)
    for one, another in zip(intervals, other[2], strict=True):
        scaled = ends(another)[:1] * unit
        scaled = scaled if unit > 0 else scaled[:, ::-1]
        size = np.abs(ends(one)).max()
        np.testing.assert_allclose(scaled, ends(one)[:1], rtol=1e-7, atol=1e-8 * size)
        expected = ends(one)[1:]
        np.testing.assert_allclose(ends(another)[1:], expected, rtol=1e-7, atol=1e-8)


@settings(max_examples=30)
@given(seeds)
def test_a_profile_ends_where_the_likelihood_has_fallen_so_far(seed):
    """Twice the drop is the quantile of chi-square; the estimate is between."""
    _, X, y, weight = draw(seed)
    found, _, (_, profile) = everything(X, y, weight)
    assume(found.status == jl.Status.CONVERGED)
    assert (profile.status == jl.Status.CONVERGED).all()
    assert (profile.low < profile.estimate).all()
    assert (profile.estimate < profile.high).all()
    for end in (profile.low, profile.high):
        drop = held(X, y, weight, end[0, 0]) - found.cost * weight.sum()
        np.testing.assert_allclose(2 * drop, 1.959963984540054**2, rtol=1e-9)


@settings(max_examples=30)
@given(seeds)
def test_what_weights_and_clusters_mean(seed):
    _, X, y, weight = draw(seed)
    ids = np.arange(M)[None]
    status, by_frequency, by_probability = covariances(X, y, weight, ids)
    assume(status == jl.Status.CONVERGED)

    def close(one, other):
        np.testing.assert_allclose(
            one, other, rtol=1e-7, atol=1e-9 * np.abs(other).max()
        )

    # A cluster a sample is HC0 of probability weights, up to the factor.
    close(by_probability["cluster"], by_probability["HC0"] * M / (M - 1))
    # Weights times a number: k times as many samples, or nothing.
    _, more, same = covariances(X, y, 4 * weight, ids)
    for kind in ("fisher", "HC0"):
        close(4 * more[kind], by_frequency[kind])
    for kind, matrix in by_probability.items():
        close(same[kind], matrix)
    # All weights 1: both meanings are one.
    _, one, other = covariances(X, y, np.ones_like(weight), ids)
    for kind, matrix in one.items():
        close(other[kind], matrix)


@jax.jit
@jax.vmap
def statistics(X, y, weight):
    """Return the three statistics of a feature."""
    found, null = (jl.fit(x, y, weight=weight) for x in (X, X[:0]))
    given = {"weight": weight}
    return jnp.stack(
        [
            wald_test(found, X, y, "all", **given).statistic,
            score_test(null, X[:0], y, X, **given).statistic,
            likelihood_ratio_test(found, X, y, **given).statistic,
        ]
    )


def test_the_three_tests_agree_as_the_samples_grow():
    """Under a weight of 1.5 / sqrt(m) their differences fall like 1 / m."""
    random = np.random.default_rng(0)
    spreads = []
    for m in (100, 1600):
        X = random.standard_normal((200, 1, 1600))
        a = 1 / (1 + np.exp(-1.5 * X / m**0.5))
        y = (random.random(X.shape) < a).astype(float)
        weight = np.where(np.arange(1600) < m, np.ones_like(y), 0.0)
        each = np.asarray(statistics(X, y, weight))
        assert np.isfinite(each).all()
        spreads.append(np.ptp(each, axis=1).mean() / each.mean())
    assert spreads[0] < 0.2
    assert spreads[1] < spreads[0] / 8


@jax.jit
def of_data(X, y, weight, level):
    """Return numbers whose derivatives go through a fit, a solve, and a search."""
    found, given = jl.fit(X, y, weight=weight), {"weight": weight}
    matrix = covariance(found, X, y, kind="HC3", **given)
    ratio = likelihood_ratio_test(found, X, y, **given)
    ends = confidence_interval(found, X, y, kind="profile", level=level, **given)
    return jnp.log(matrix[0, 0]) + ratio.log10_p + jnp.sin(ends.low).sum()


def test_derivatives_are_exact_in_the_data_and_the_level():
    random = np.random.default_rng(1)
    X, y = random.normal(size=(1, 20)), random.uniform(0.1, 0.9, (1, 20))
    point = (X, y, random.uniform(1, 2, (1, 20)), np.float64(0.9))
    along = [random.normal(size=leaf.shape) * 0.1 for leaf in point]
    slopes = jax.jit(jax.grad(of_data, argnums=(0, 1, 2, 3)))(*point)
    slope = sum(np.vdot(*pair) for pair in zip(slopes, along, strict=True))
    h = 1e-5
    ends = [
        of_data(*(leaf + s * h * d for leaf, d in zip(point, along, strict=True)))
        for s in (1, -1)
    ]
    # The error of the difference is h^2 of the third derivative, and eps / h.
    assert abs(slope - (ends[0] - ends[1]) / (2 * h)) < 1e-8 * (1 + abs(slope))
