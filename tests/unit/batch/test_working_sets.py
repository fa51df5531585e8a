"""Many fits with an L1 penalty of many features: each is the fit alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.sparse import BCOO

import jlogreg as jl
from jlogreg import Status
from jlogreg.batch.scheduling.working_sets import MAX_FEATURES
from tests.helpers import entry
from tests.oracles.coordinate_descent import optimality

N, M, K = 150, 60, 8
RANDOM = np.random.default_rng(4)
X = RANDOM.standard_normal((N, M)) + np.arange(N)[:, None] % 7
Z = 2 * (X[:1] - X[7:8]) + X[14:15] - 2 + RANDOM.logistic(size=(K, M))
Y = (Z > 0) * 1.0
WEIGHT = RANDOM.choice([0.0, 0.5, 1.0, 2.0], (K, M))
# Of a few features, of many, of all, of none, and of no number.
L1 = np.array([[0.05], [0.005], [0.0], [0.5], [-1.0], [0.02], [0.02], [np.nan]])
# The same without sets of many: each width is compiled, and the widest take longest.
SMALL = np.where((L1 >= 0) & (L1 < 0.02), 0.05, L1)
L2 = np.full((K, 1), 0.01)
assert MAX_FEATURES < N


def assert_same(found, expected):
    """Assert that two fits ended alike, at one minimum."""
    assert found.status == expected.status
    np.testing.assert_allclose(found.cost, expected.cost, rtol=1e-12)
    for one, other in zip(found.params, expected.params, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)
    np.testing.assert_array_equal(found.params.w == 0, expected.params.w == 0)


def options(k, l1=L1, bias=True):
    return {"weight": WEIGHT[k : k + 1], "l1": l1[k, 0], "l2": 0.01, "bias": bias}


alone = jax.jit(partial(jl.fit, X), static_argnames="bias")


@pytest.mark.parametrize("bias", [True, False])
def test_each_of_many_is_the_fit_alone(bias):
    labels, features = Y.copy(), X.copy()
    labels[6] = 1
    features[:, WEIGHT.sum(axis=0) == 0] = np.nan
    l1 = L1 if bias else SMALL
    given = {"bias": bias, "weight": WEIGHT, "l2": L2, "l1": l1}
    found = jl.fit_many(features, labels, **given)
    due = np.array([Status.CONVERGED] * K)
    due[[4, 7]], due[6] = Status.BAD_INPUT, Status.SEPARATED if bias else due[6]
    np.testing.assert_array_equal(found.status, due)
    for k in (0, 1, 2, 3, 5) if bias else (0, 3):
        one = entry(found, k)
        assert_same(one, alone(labels[k : k + 1], **options(k, l1, bias)))
        theta = np.append(one.params.w, one.params.b)
        miss = optimality(theta, X, labels[k], l1[k, 0], 0.01, WEIGHT[k])
        assert miss[: N + bias].max() < 1e-13
    assert not (bias and found.params.w[3].any())
    assert np.isnan(found.params.w[4]).all()


def test_what_has_ended_is_not_fitted_again():
    valid = np.where(SMALL > 0, SMALL, 0.05)  # what is not has sets of all features
    given = {"weight": WEIGHT, "l2": L2, "l1": valid}
    seen = []

    def interrupt(progress):
        seen.append((progress, int(progress.finished.sum())))
        if 0 < seen[-1][1] < K:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jl.fit_many(X, Y, progress=interrupt, **given)
    told = []
    whole = jl.fit_many(X, Y, progress=told.append, **given)
    assert told[-1].finished.all()
    resumed = jl.fit_many(X, Y, resume=seen[-1][0], **given)
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)


def test_a_path_of_folds_is_the_fits_alone():
    l1 = np.array([[0.05], [0.1], [0.02]])
    found = jl.cross_validate(X, Y[:2], l1=l1, l2=0.01, folds=2)
    folds = jl.fold_weights(jax.random.key(0), M, 2, dtype=np.float64)
    for k, i, f in ((0, 0, 1), (1, 2, 0)):
        one = {"weight": folds[f : f + 1], "l1": l1[i, 0], "l2": 0.01, "bias": True}
        at = entry(entry(entry(found.fold_fits, k), i), f)
        assert_same(at, alone(Y[k : k + 1], **one))


def test_features_of_other_designs_are_taken():
    few = jl.fit_many(X, Y[:2], l1=0.02, l2=0.01)
    sparse = BCOO.fromdense(jnp.asarray(X))
    for design in (sparse, jl.Stacked(jl.Dense(X[:3]), jl.Dense(X[3:]))):
        found = jl.fit_many(design, Y[:2], l1=0.02, l2=0.01)
        np.testing.assert_allclose(found.params.w, few.params.w, atol=1e-9)


@pytest.mark.parametrize("n", [20, N])
def test_relaxed_fits_are_those_of_a_path(n):
    l1 = np.array([[0.05], [0.1], [0.5]])
    given = {"l1": l1, "l2": 0.01, "relaxed": True}
    found = jl.cross_validate(X[:n], Y[:2], folds=2, **given)
    seen = jl.fold_weights(jax.random.key(0), M, 2, dtype=np.float64)[:1]
    for k in range(2):
        path = jl.regularization_path(X[:n], Y[k : k + 1], weight=seen, **given)
        for i in range(3):
            at = entry(entry(entry(found.fold_fits, k), i), 0)
            assert_same(at, entry(path, i))
    assert (found.n_selected[:, 1] < n).all()
    with pytest.raises(ValueError, match="relaxed is about the features that l1"):
        jl.cross_validate(X[:n], Y[:2], 0.1 + l1, relaxed=True)
