"""Fits with an L1 penalty of more features than a Hessian is formed for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.sparse import BCOO

import jlogreg as jl
from jlogreg import Status
from jlogreg.data.features import take_features
from jlogreg.fitting.options import MAX_FEATURES
from tests.oracles.coordinate_descent import lasso_cost, optimality

N, M = 600, 40
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((N, M)) * (RANDOM.random((N, M)) < 0.3)
Y = (2 * X[:1] - 2 * X[1:2] + RANDOM.logistic(size=(1, M)) > 0) * 1.0
assert MAX_FEATURES < N


def theta_of(found):
    return np.append(np.ravel(found.params.w), np.ravel(found.params.b))


@pytest.fixture(scope="module")
def most():
    return float(jl.l1_max(X, Y))


@pytest.mark.parametrize("kind", ["dense", "sparse", "free", "elastic"])
def test_no_feature_outside_could_have_a_weight(kind, most):
    l1, l2 = 0.1 * most, 0.01 if kind == "elastic" else 0.0
    if kind == "free":
        l1 = l1 * (np.arange(N) > 2)[:, None]
    design = BCOO.fromdense(jnp.asarray(X)) if kind == "sparse" else X
    found = jl.fit(design, Y, l1=l1, l2=l2)
    assert found.status == Status.CONVERGED
    assert found.params.w.shape == (N, 1)
    assert 0 < (np.asarray(found.params.w) != 0).sum() < N / 2
    theta = theta_of(found)
    assert optimality(theta, X, Y, l1, l2).max() < 1e-14
    np.testing.assert_allclose(found.cost, lasso_cost(theta, X, Y, l1, l2), rtol=1e-14)
    assert found.gap < 1e-15
    again = jl.fit(design, Y, l1=l1, l2=l2, init=found.params)
    assert again.steps < found.steps
    np.testing.assert_allclose(theta_of(again), theta, atol=1e-12)


def test_a_path_is_the_fits_alone(most):
    l1 = most * np.array([[0.1], [0.5], [0.0], [0.3]])
    l2 = np.array([[0.0], [0.0], [0.1], [0.0]])
    path = jl.regularization_path(X, Y, l2, l1=l1)
    assert (path.status == Status.CONVERGED).all()
    for k in range(3):
        found = jl.fit(X, Y, l1=l1[k, 0], l2=l2[k, 0])
        np.testing.assert_allclose(path.params.w[k], found.params.w, atol=1e-9)
        assert (path.gap[k] < 1e-14) & (path.params.b.shape == (4, 1, 1))
    assert jl.regularization_path(X, Y, 0.1, l1=l1[:1]).steps[0] > 0


def test_a_twin_anywhere_is_seen(most):
    alone = jl.fit(X, Y, l1=0.1 * most)
    chosen = np.flatnonzero(alone.params.w)[:1]
    found = jl.fit(np.concatenate([X, X[chosen]]), Y, l1=0.1 * most)
    assert found.status == Status.SINGULAR
    np.testing.assert_allclose(found.cost, alone.cost, rtol=1e-14)


def test_nothing_is_left_and_nothing_is_possible(most):
    found = jl.fit(X, Y, l1=1.01 * most)
    assert found.status == Status.CONVERGED
    assert not found.params.w.any()
    assert jl.fit(X, np.ones_like(Y), l1=most).status == Status.SEPARATED


def test_some_features_of_every_design():
    rows = np.array([3, 0, 5, 9], np.int32)  # 5 stands for none, 9 too
    features, zeros = X[:5], np.zeros((2, M))
    due = np.concatenate([features[[3, 0]], zeros])
    standardized = jl.standardize(features)
    scaled = np.concatenate([standardized.dense()[np.array([3, 0])], zeros])
    sparse = BCOO.fromdense(jnp.asarray(features), nse=features.size)
    designs = {
        "dense": (jl.Dense(jnp.asarray(features)), due),
        "sparse": (jl.Sparse(sparse), due),
        "stacked": (jl.Stacked(jl.Dense(features[:2]), jl.Dense(features[2:])), due),
        "standardized": (standardized, scaled),
    }
    for design, expected in designs.values():
        found = jax.jit(take_features)(design, rows)
        np.testing.assert_allclose(found, expected, atol=1e-15)
