"""Random problems against statsmodels, and Firth's estimates against firthmodels."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import Status, inference

N, M, BATCH = 3, 60, 10
# Twenty batches at night, one of them in the suite.
BATCHES = [0, *(pytest.param(k, marks=pytest.mark.nightly) for k in range(1, 20))]


@jax.jit
@jax.vmap
def everything(X, y, clusters):
    """Return what statsmodels has, too."""
    found, without = jl.fit(X, y), jl.fit(X[:-1], y)
    groups = {"kind": "cluster", "clusters": clusters}
    last = jnp.eye(1, N + 1, N - 1, dtype=X.dtype)
    return {
        "status": found.status,
        "estimate": jnp.concatenate(found.params),
        "fisher": inference.standard_errors(found, X, y),
        "HC0": inference.standard_errors(found, X, y, kind="HC0"),
        "cluster": inference.standard_errors(found, X, y, **groups),
        "ends": jnp.hstack(inference.confidence_interval(found, X, y)[1:3]),
        "wald": inference.wald_test(found, X, y, last).statistic,
        "score": inference.score_test(without, X[:-1], y, X[-1:]).statistic,
        "ratio": inference.likelihood_ratio_test(found, X, y, [N - 1]).statistic,
    }


def draw(seed, scale=1.0):
    """Return features of several sizes, labels, and ids of clusters."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((N, M)) * [[1.0], [10.0], [0.1]] + [[0.0], [3.0], [0.5]]
    z = scale * random.standard_normal(N) @ (X / X.std(axis=1, keepdims=True))
    y = (random.random(M) < 1 / (1 + np.exp(z.mean() - z))) * 1.0
    return X, y[None], (np.arange(M) // 6)[None]


def by_statsmodels(models, X, y, clusters):
    table, labels = np.vstack([X, np.ones(M)]).T, y[0]
    model = models.Logit(labels, table)
    options = {"disp": 0, "method": "newton", "tol": 1e-13, "maxiter": 100}
    found = model.fit(**options)
    without = models.Logit(labels, np.delete(table, N - 1, axis=1)).fit(**options)
    # statsmodels multiplies by a factor for small samples of its own.
    groups = {"groups": clusters[0], "use_correction": False}
    by_cluster = model.fit(**options, cov_type="cluster", cov_kwds=groups)
    G = len(np.unique(clusters))
    null = models.GLM(labels, np.delete(table, N - 1, axis=1), _binomial(models))
    null = null.fit(tol=1e-14, maxiter=100)
    return {
        "estimate": found.params,
        "fisher": found.bse,
        "HC0": model.fit(**options, cov_type="HC0").bse,
        "cluster": by_cluster.bse * (G / (G - 1)) ** 0.5,
        "ends": found.conf_int(),
        "wald": found.tvalues[N - 1] ** 2,
        "score": null.score_test(exog_extra=table[:, N - 1 : N])[0],
        "ratio": 2 * (found.llf - without.llf),
    }


def _binomial(models):
    return models.families.Binomial()


@pytest.mark.parametrize("batch", BATCHES)
def test_statsmodels_has_the_same_numbers(batch):
    models = pytest.importorskip("statsmodels.api")
    rows = [draw(seed) for seed in range(batch * BATCH, (batch + 1) * BATCH)]
    found = jax.tree.map(
        np.asarray, everything(*map(np.stack, zip(*rows, strict=True)))
    )
    assert (found["status"] == Status.CONVERGED).all()
    for k, row in enumerate(rows):
        for name, expected in by_statsmodels(models, *row).items():
            own = found[name][k].reshape(np.shape(expected))
            size = np.abs(expected).max()
            np.testing.assert_allclose(own, expected, 1e-8, 1e-8 * size, err_msg=name)


@jax.jit
@jax.vmap
def firth(X, y):
    found = jl.fit(X, y, jeffreys=0.5)
    options = {"jeffreys": 0.5, "kind": "augmented"}
    errors = inference.standard_errors(found, X, y, **options)
    return found.status, jnp.concatenate(found.params), errors, found.cost


@pytest.mark.parametrize("batch", BATCHES)
def test_firthmodels_has_the_same_estimates(batch):
    """Every second problem is separated by a plane; where minima differ ours is lower.

    firthmodels looks for one maximum of the penalised likelihood, and says how high it
    is.
    """
    package = pytest.importorskip("firthmodels")
    rows = []
    for k in range(BATCH):
        X, y, _ = draw(1000 + batch * BATCH + k)
        plane = X[0] + X[1] / 10
        rows.append((X, (plane > plane.mean())[None] * 1.0) if k % 2 else (X, y))
    found = firth(*map(np.stack, zip(*rows, strict=True)))
    status, theta, errors, cost = jax.tree.map(np.asarray, found)
    assert (status == Status.CONVERGED).all()
    for k, (X, y) in enumerate(rows):
        options = {"max_iter": 2000, "gtol": 1e-9, "xtol": 1e-9}
        model = package.FirthLogisticRegression(backend="numpy", **options)
        with warnings.catch_warnings():  # of its last step, which only rounds
            warnings.simplefilter("ignore")
            model.fit(X.T, y[0])
        assert -M * cost[k] >= model.loglik_ - 1e-9
        expected = np.append(model.coef_, model.intercept_)
        size = np.abs(expected).max()
        np.testing.assert_allclose(theta[k, :, 0], expected, 1e-6, 1e-6 * size)
        np.testing.assert_allclose(errors[k, :, 0], model.bse_, 1e-6)
