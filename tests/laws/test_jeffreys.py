"""What must hold of Firth's estimate, whatever the data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import jlogreg as jl
from tests.helpers import assert_close, seeds
from tests.oracles.numpy_firth import numpy_firth, penalized_likelihood

N, M = 3, 24
strengths = st.sampled_from([0.5, 0.1, 2.0])


@jax.jit
def fitted(X, y, weight, offset, l2, jeffreys):
    rows = {"weight": weight, "offset": offset, "l2": l2}
    return jl.fit(X, y, jeffreys=jeffreys, **rows)


@jax.jit
def derivative(X, y, weight, offset, l2, jeffreys, change):
    """Return the change of w and b along a change of all the data."""

    def params(*data):
        return fitted(*data).params

    data = (X, y, weight, offset, l2, jeffreys)
    return jax.jvp(params, data, change)[1]


def draw(seed):
    """Return a random problem; half of them are separated."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, M))
    if rng.random() < 0.3:
        X[0] = rng.random(M) < 0.2
    z = (rng.normal(size=N) / np.abs(X).max(axis=1)) @ X * 3
    by_plane = rng.random() < 0.5
    y = z > np.median(z) if by_plane else rng.random(M) < 1 / (1 + np.exp(-z))
    weight = rng.integers(0, 4, size=(1, M)).astype(float)
    offset = rng.normal(size=(1, M)) * (not by_plane)
    # Features that vary among the samples with a weight.
    x = np.vstack([X / np.abs(X).max(axis=1, keepdims=True), np.ones(M)])
    well_posed = np.linalg.cond(x[:, weight[0] > 0]) < 100
    return well_posed, (X, y[None].astype(float), weight, offset)


def some(seed):
    """Return a random problem whose features vary, with units of about 1."""
    well_posed, (X, *rows) = draw(seed)
    assume(well_posed)
    return X / np.abs(X).max(axis=1, keepdims=True), *rows


def vector(found):
    return np.append(found.params.w, found.params.b)


@given(seeds, strengths, st.sampled_from([0.0, 0.1]))
def test_the_estimate_is_that_of_numpy(seed, tau, l2):
    X, y, weight, offset = some(seed)
    found = fitted(X, y, weight, offset, l2, tau)
    assert found.status == jl.Status.CONVERGED
    x = np.vstack([X, np.ones(M)])
    ridge = weight.sum() * np.append(np.full(N, l2), 0.0)
    # NumPy's steps do not leave it.
    data = (x, y[0], weight[0], offset[0], tau, ridge)
    theta, value = numpy_firth(*data, start=vector(found))
    assert_close(-found.cost * weight.sum(), value, 1e-11 * (1 + abs(value)))
    assert np.abs((theta - vector(found)) @ x).max() <= 1e-6


@given(seeds)
def test_a_linear_map_of_the_features_changes_the_estimate_as_it_must(seed):
    X, y, weight, offset = some(seed)
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(N, N)) + 3 * np.eye(N)
    assume(np.linalg.cond(A) < 30)
    one = fitted(X, y, weight, offset, 0.0, 0.5)
    other = fitted(A @ X + 5, y, weight, offset, 0.0, 0.5)
    assume(not one.several and not other.several)
    assert_close(A.T @ other.params.w, one.params.w, 1e-6 + 1e-6 * np.abs(one.params.w))


@given(seeds)
def test_repeated_samples_count_as_weights(seed):
    X, y, weight, offset = some(seed)
    once = fitted(X, y, weight, offset, 0.0, 0.5)
    twice = (np.hstack([row, row]) for row in (X, y, weight / 2, offset))
    assert_close(fitted(*twice, 0.0, 0.5).params.w, once.params.w, 1e-7)


@given(seeds)
def test_derivatives_are_those_of_the_score(seed):
    X, y, weight, offset = some(seed)
    weight = weight + 1
    rng = np.random.default_rng(seed)
    data = (X, y * 0.9 + 0.05, weight, offset, np.float64(0.2), np.float64(0.5))
    change = tuple(rng.normal(size=np.shape(part)) for part in data)
    found = fitted(*data)
    step = np.append(*derivative(*map(jnp.asarray, (*data,)), change))
    # The score at the moved data and the moved estimate is 0 to second order.
    size, theta = 1e-5, vector(found)

    def score(t):
        X, y, v, o, l2, tau = (a + t * b for a, b in zip(data, change, strict=True))
        x, at = np.vstack([X, np.ones(M)]), theta + t * step
        _, U, *_ = penalized_likelihood(at, x, y[0], v[0], o[0], tau)
        return U - v.sum() * np.append(np.full(N, l2), 0.0) * at

    slope = (score(size) - score(-size)) / (2 * size)
    terms = np.abs(step).max() + 1
    assert np.abs(slope).max() <= 1e-6 * terms**3 * weight.sum()


@pytest.mark.parametrize("bias", [True, False])
def test_float32_is_near_float64(bias):
    _, (X, y, weight, offset) = draw(3)
    X = X / np.abs(X).max(axis=1, keepdims=True)
    rows = {"weight": weight, "offset": offset}
    exact = jl.fit(X, y, jeffreys=0.5, bias=bias, **rows)
    single = {name: row.astype(np.float32) for name, row in rows.items()}
    found = jl.fit(
        X.astype(np.float32), y.astype(np.float32), jeffreys=0.5, bias=bias, **single
    )
    assert found.status == exact.status == jl.Status.CONVERGED
    assert_close(found.params.w, exact.params.w, 1e-4)
