"""Marginal effects and predictions: published numbers, statsmodels, differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.inference import covariance, marginal_effects, predict_interval
from tests.helpers import make_problem
from tests.references import datasets

X, Y = map(jnp.asarray, datasets.spector()[:2])


@pytest.fixture(scope="module")
def plain():
    return jl.fit(X, Y)


# Of GPA, TUCE and PSI, by statsmodels and Greene's table.
AVERAGE = (0.3625808316, 0.0122084110, 0.3051777023)
AVERAGE_ERRORS = (0.1094411527, 0.0177941607, 0.0923795694)
MEAN = (0.5338588221, 0.0179754894, 0.4493392768)
MEAN_ERRORS = (0.2370379685, 0.0262369085, 0.1967626397)
DUMMY = (0.3575151636, 0.1420033907)


def test_the_spector_data(plain):
    average = marginal_effects(plain, X, Y)
    np.testing.assert_allclose(average.estimate[:, 0], AVERAGE, rtol=5e-9)
    np.testing.assert_allclose(average.standard_error[:, 0], AVERAGE_ERRORS, rtol=5e-9)
    mean = marginal_effects(plain, X, Y, at="mean")
    np.testing.assert_allclose(mean.estimate[:, 0], MEAN, rtol=5e-9)
    np.testing.assert_allclose(mean.standard_error[:, 0], MEAN_ERRORS, rtol=5e-9)
    dummy = marginal_effects(plain, X, Y, dummies=[2])
    numbers = dummy.estimate[2, 0], dummy.standard_error[2, 0]
    np.testing.assert_allclose(numbers, DUMMY, rtol=5e-9)
    np.testing.assert_array_equal(dummy.estimate[:2], average.estimate[:2])


def numpy_effects(theta, X, v, offset, at, dummy):
    """Return the effects by their definition."""
    x = np.vstack([X, np.ones((1, X.shape[1]))])
    share = v / v.sum()
    if at == "mean":
        x, offset, share = x @ share.T, offset @ share.T, np.ones((1, 1))

    def a(x):
        return 1 / (1 + np.exp(-(theta.T @ x + offset)))

    effects = theta[:-1] * (share * a(x) * (1 - a(x))).sum()
    ones, zeros = x.copy(), x.copy()
    ones[dummy], zeros[dummy] = 1, 0
    effects[dummy] = (share * (a(ones) - a(zeros))).sum()
    return effects


@pytest.mark.parametrize("at", ["average", "mean"])
def test_errors_are_those_of_a_difference_with_any_covariance(at):
    problem = make_problem((3, 32), np.float64, "soft labels", seed=9, l2=0.1)
    options = {"weight": problem.weight, "offset": problem.offset, "l2": 0.1}
    found = jl.fit(problem.X, problem.y, **options)
    result = marginal_effects(
        found, problem.X, problem.y, at=at, dummies=[1], covariance="HC3", **options
    )
    data = map(np.asarray, (problem.X, problem.weight, problem.offset))
    X, v, offset = data
    theta = np.vstack(found.params)
    expected = numpy_effects(theta, X, v, offset, at, 1)
    np.testing.assert_allclose(result.estimate, expected, rtol=1e-10)
    columns = []
    for j in range(4):
        step = 1e-5 * np.eye(4)[:, j : j + 1]
        ends = [numpy_effects(theta + s * step, X, v, offset, at, 1) for s in (1, -1)]
        columns.append((ends[0] - ends[1]) / 2e-5)
    J = np.hstack(columns)
    matrix = covariance(found, problem.X, problem.y, kind="HC3", **options)
    errors = np.sqrt(np.diag(J @ matrix @ J.T))
    np.testing.assert_allclose(result.standard_error[:, 0], errors, rtol=1e-7)
    half = 1.959963984540054 * errors
    np.testing.assert_allclose(result.high - result.low, 2 * half[:, None], rtol=1e-7)


def test_statsmodels_predicts_the_same():
    models = pytest.importorskip("statsmodels.api")
    random = np.random.default_rng(3)
    features = random.standard_normal((3, 32)) + 5
    labels = (random.random((1, 32)) < 0.5).astype(float)
    offset = random.standard_normal((1, 32))
    new, shift = random.standard_normal((3, 4)) + 5, random.standard_normal((1, 4))
    found = jl.fit(features, labels, offset=offset)
    ours = predict_interval(
        found, features, labels, new, sample_offset=shift, offset=offset, level=0.9
    )
    family = models.families.Binomial()
    table, rows = (np.vstack([x, np.ones(x.shape[1])]).T for x in (features, new))
    peer = models.GLM(labels[0], table, family=family, offset=offset[0]).fit(tol=1e-14)
    frame = peer.get_prediction(rows, offset=shift[0]).summary_frame(alpha=0.1)
    np.testing.assert_allclose(ours.probability[0], frame["mean"], rtol=1e-8)
    np.testing.assert_allclose(ours.low[0], frame["mean_ci_lower"], rtol=1e-8)
    np.testing.assert_allclose(ours.high[0], frame["mean_ci_upper"], rtol=1e-8)


def test_features_far_from_zero_and_problems_side_by_side(plain):
    labels = jnp.concatenate([Y, 1 - Y, jnp.asarray(X[:1] > 3.0, X.dtype)])
    many = jl.fit_many(X, labels)
    effects = marginal_effects(many, X, labels, dummies=[2])
    one = marginal_effects(plain, X, Y, dummies=[2])
    np.testing.assert_allclose(effects.estimate[0], one.estimate, rtol=1e-9)
    np.testing.assert_allclose(effects.estimate[1], -one.estimate, rtol=1e-9)
    assert np.isnan(effects.estimate[2]).all()
    predictions = predict_interval(many, X, labels, X)
    probability = jl.predict_proba(plain.params, X)
    np.testing.assert_allclose(predictions.probability[0], probability, rtol=1e-9)
    np.testing.assert_allclose(predictions.low[1], 1 - predictions.high[0], rtol=1e-9)
    assert np.isnan(predictions.low[2]).all()
    far = np.float32(X) + np.float32([[2048.0], [0], [0]])
    near = far - np.float32([[2048.0], [0], [0]])  # exactly
    y = np.float32(Y)
    fits = [(jl.fit(x, y), x) for x in (far, near)]
    errors = [marginal_effects(f, x, y).standard_error for f, x in fits]
    np.testing.assert_allclose(*errors, rtol=1e-3)
    ends = [predict_interval(f, x, y, x).low for f, x in fits]
    np.testing.assert_allclose(*ends, rtol=2e-3)


def test_it_works_under_jit_and_without_a_bias():
    found = jl.fit(X, Y, bias=False)
    effect = marginal_effects(found, X, Y, dummies=[2], bias=False).estimate[2, 0]
    ends = [jl.predict_proba(found.params, X.at[2].set(x)).mean() for x in (1.0, 0.0)]
    np.testing.assert_allclose(effect, ends[0] - ends[1], rtol=1e-12)

    @jax.jit
    def both(fit, X, y):
        effects = marginal_effects(fit, X, y, bias=False)
        return effects.standard_error, predict_interval(fit, X, y, X, bias=False).low

    errors, low = both(found, X, Y)
    assert np.isfinite(errors).all()
    matrix = np.asarray(covariance(found, X, Y, bias=False))[:3, :3]
    z = np.asarray(found.params.w.T @ X)
    half = 1.959963984540054 * np.sqrt(np.sum(X * (matrix @ X), axis=0))
    np.testing.assert_allclose(low, 1 / (1 + np.exp(-(z - half))), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda f: marginal_effects(f, X, Y, at="median"), ValueError, "at must be"),
        (lambda f: marginal_effects(f, X, Y, dummies=[3]), ValueError, "dummies must"),
        (lambda f: marginal_effects(f, X, Y, dummies=2), jl.DtypeError, "a list of"),
        (lambda f: predict_interval(f, X, Y, X[:2]), jl.ShapeError, "2 features, but"),
        (lambda f: predict_interval(f, X, Y, np.float32(X)), jl.DtypeError, "float32"),
        (
            lambda f: predict_interval(f, X, Y, X, sample_offset=Y[:, 1:]),
            jl.ShapeError,
            "sample_offset has",
        ),
        (lambda f: predict_interval(f, X, Y, X, level=2.0), ValueError, "level must"),
        (lambda f: marginal_effects(f, X, Y, l2=1.0), ValueError, "from the minimum"),
    ],
)
def test_wrong_arguments_are_refused(plain, call, error, words):
    with pytest.raises(error, match=words):
        call(plain)
