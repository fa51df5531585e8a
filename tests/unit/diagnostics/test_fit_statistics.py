"""Statistics and residuals of fits, against statsmodels and definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.inference import diagnostics, fit_statistics
from tests.helpers import make_problem
from tests.references import datasets

X, Y = map(jnp.asarray, datasets.spector()[:2])
DEAD = np.array([[1.0, 4, 9, 13, 18, 20, 0, 2, 6, 10, 12, 16]])
MOTHS = np.array([[1.0] * 6 + [0.0] * 6, [0.0, 1, 2, 3, 4, 5] * 2])


def test_the_spector_data():
    """Log-likelihoods of Greene's table; R2 by R's DescTools, as printed."""
    found = fit_statistics(jl.fit(X, Y), X, Y)
    assert found.log_likelihood == pytest.approx(-12.889634222131, rel=1e-12)
    assert found.null == pytest.approx(-20.5917297, rel=1e-8)
    assert found.mcfadden == pytest.approx(0.3740383, rel=1e-6)
    assert found.deviance == pytest.approx(2 * 12.889634222131, rel=1e-12)
    assert int(found.unknowns) == 4
    assert found.aic == pytest.approx(33.77926844, rel=1e-9)
    assert found.bic == pytest.approx(39.64221206, rel=1e-9)


def test_counts_of_moths_have_the_deviance_that_R_prints():
    y, weight = DEAD / 20, np.full(DEAD.shape, 20.0)
    found = jl.fit(MOTHS, y, weight=weight)
    result = fit_statistics(found, MOTHS, y, weight=weight)
    assert result.deviance == pytest.approx(6.7571, abs=5e-5)
    assert result.null_deviance == pytest.approx(124.8756, abs=5e-5)
    each = diagnostics(found, MOTHS, y, weight=weight)
    np.testing.assert_allclose((each.deviance**2).sum(), result.deviance, rtol=1e-10)
    np.testing.assert_allclose((each.pearson**2).sum(), result.pearson, rtol=1e-10)


def test_statsmodels_agrees():
    models = pytest.importorskip("statsmodels.api")
    random = np.random.default_rng(1)
    features = random.standard_normal((3, 32)) + 10
    labels = (random.random((1, 32)) < 0.4).astype(float)
    offset = random.standard_normal((1, 32))
    found = jl.fit(features, labels, offset=offset)
    ours = fit_statistics(found, features, labels, offset=offset)
    table = np.vstack([features, np.ones(32)]).T
    family = models.families.Binomial()
    peer = models.GLM(labels[0], table, family=family, offset=offset[0]).fit(tol=1e-14)
    for name, theirs in {
        "log_likelihood": peer.llf,
        "null": peer.llnull,
        "deviance": peer.deviance,
        "null_deviance": peer.null_deviance,
        "pearson": peer.pearson_chi2,
        "aic": peer.aic,
        "bic": peer.bic_llf,
        "mcfadden": peer.pseudo_rsquared("mcf"),
        "cox_snell": peer.pseudo_rsquared("cs"),
    }.items():
        np.testing.assert_allclose(getattr(ours, name), theirs, rtol=1e-8)
    influence = peer.get_influence(observed=False)
    each = diagnostics(found, features, labels, offset=offset)
    for name, theirs in {
        "deviance": peer.resid_deviance,
        "pearson": peer.resid_pearson,
        "standardized": influence.resid_studentized,
        "leverage": influence.hat_matrix_diag,
        "cooks_distance": influence.cooks_distance[0],
    }.items():
        np.testing.assert_allclose(getattr(each, name)[0], theirs, rtol=1e-7)


def test_the_rest_by_their_definitions():
    problem = make_problem((3, 32), np.float64, seed=8)
    X, y = problem.X, problem.y
    found = jl.fit(X, y)
    result = fit_statistics(found, X, y)
    a = np.asarray(jl.predict_proba(found.params, X))
    labels = np.asarray(y)
    tjur = a[labels == 1].mean() - a[labels == 0].mean()
    assert result.tjur == pytest.approx(tjur, rel=1e-10)
    most = 1 - np.exp(2 * result.null / 32)
    assert result.nagelkerke * most == pytest.approx(float(result.cox_snell))
    p = labels.mean()
    null = 32 * (p * np.log(p) + (1 - p) * np.log(1 - p))
    assert result.null == pytest.approx(null, rel=1e-10)


@pytest.mark.parametrize("bias", [True, False])
def test_a_penalty_leaves_fewer_unknowns(bias):
    problem = make_problem((3, 32), np.float64, seed=8)
    X, y = problem.X, problem.y
    found = jl.fit(X, y, l2=0.3, bias=bias)
    result = fit_statistics(found, X, y, l2=0.3, bias=bias)
    x = np.vstack([X, np.ones((1, 32))]) if bias else np.asarray(X)
    s = np.asarray(jl.sigmoid(jl.logits(found.params, X)))
    information = (x * s * (1 - s)) @ x.T
    A = information + 32 * np.diag([0.3] * 3 + [0.0] * bias)
    expected = np.trace(np.linalg.solve(A, information))
    assert result.unknowns == pytest.approx(expected, rel=1e-10)
    assert result.unknowns < 3 + bias
    leverage = diagnostics(found, X, y, l2=0.3, bias=bias).leverage
    assert leverage.sum() == pytest.approx(expected, rel=1e-10)
    if not bias:
        assert result.null == pytest.approx(32 * np.log(0.5), rel=1e-12)


def test_frequencies_are_samples_written_so_often():
    problem = make_problem((3, 32), np.float64, seed=6)
    times = 1 + np.arange(32) % 3
    weight = times[None].astype(float)
    X, y = np.asarray(problem.X), np.asarray(problem.y)
    rows = [np.repeat(array, times, axis=1) for array in (X, y)]
    once = fit_statistics(jl.fit(X, y, weight=weight), X, y, weight=weight)
    often = fit_statistics(jl.fit(*rows), *rows)
    np.testing.assert_allclose(once, often, rtol=1e-10)


def test_problems_side_by_side_under_jit_and_failed_ones():
    labels = jnp.concatenate([Y, 1 - Y, jnp.asarray(X[:1] > 3.0, X.dtype)])
    many = jl.fit_many(X, labels)

    @jax.jit
    def both(fit, labels):
        return fit_statistics(fit, X, labels), diagnostics(fit, X, labels)

    statistics, each = both(many, labels)
    alone = fit_statistics(jl.fit(X, Y), X, Y)
    assert statistics.aic[0] == pytest.approx(float(alone.aic), rel=1e-10)
    np.testing.assert_allclose(each.pearson[1], -each.pearson[0], rtol=1e-9)
    assert np.isnan(statistics.aic[2])
    assert np.isnan(each.leverage[2]).all()
    assert statistics.status[2] == jl.Status.SEPARATED


def test_a_sample_alone_has_no_standardised_residual():
    alone = jnp.zeros_like(Y).at[0, 0].set(1.0)
    x, y = jnp.concatenate([X, alone]), Y.at[0, 0].set(0.3)
    each = diagnostics(jl.fit(x, y), x, y)
    assert each.leverage[0, 0] == pytest.approx(1.0)
    assert np.isnan(each.cooks_distance[0, 0])
    assert np.isfinite(each.cooks_distance[0, 1:]).all()
    assert each.deviance[0, 0] == pytest.approx(0.0, abs=1e-7)


def test_another_problem_than_the_fits_is_refused():
    found = jl.fit(X, Y, l2=0.1)
    for function in (diagnostics, fit_statistics):
        with pytest.raises(ValueError, match="from the minimum of the cost"):
            function(found, X, Y)
