"""Tests of hypotheses: R's numbers, statsmodels, and wrong hypotheses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.inference import likelihood_ratio_test, score_test, wald_test
from tests.helpers import make_problem
from tests.references import datasets

X, Y = map(jnp.asarray, datasets.spector()[:2])
PSI = jnp.array([[0.0, 0.0, 1.0, 0.0]])


@pytest.fixture(scope="module")
def plain():
    return jl.fit(X, Y)


@pytest.fixture(scope="module")
def without():
    return jl.fit(X[:2], Y)


def test_the_spector_data(plain, without):
    """Of PSI, by R 4.2.2."""
    wald = wald_test(plain, X, Y, PSI)
    assert wald.statistic == pytest.approx(4.992649501, rel=1e-9)
    assert wald_test(plain, X, Y).statistic[2, 0] == pytest.approx(wald.statistic)
    score = score_test(without, X[:2], Y, X[2:])
    assert score.statistic == pytest.approx(6.023497564, rel=1e-9)
    for ratio in (
        likelihood_ratio_test(plain, X, Y, [2]),
        likelihood_ratio_test(plain, X, Y, nested=without),
    ):
        assert ratio.statistic == pytest.approx(6.203697622, rel=1e-9)
        assert int(ratio.df) == 1
        assert ratio.p == pytest.approx(0.01274837144, rel=1e-8)
    every = likelihood_ratio_test(plain, X, Y)
    # Of Greene's table: the log-likelihoods -20.59173 and -12.88963.
    assert every.statistic == pytest.approx(15.40419, abs=2e-5)
    assert int(every.df) == 3


def test_statsmodels_agrees():
    models = pytest.importorskip("statsmodels.api")
    random = np.random.default_rng(5)
    features = random.standard_normal((3, 32))
    labels = (random.random((1, 32)) < 0.5).astype(float)
    found, nested = jl.fit(features, labels), jl.fit(features[:2], labels)
    table = np.vstack([features, np.ones(32)]).T
    logit = models.Logit(labels[0], table).fit(method="newton", tol=1e-14, disp=0)
    R, r = random.standard_normal((2, 4)), random.standard_normal((2, 1))
    for options in ({}, {"covariance": "HC0"}):
        peer = logit
        if options:
            fit = models.Logit(labels[0], table).fit
            peer = fit(method="newton", tol=1e-14, disp=0, cov_type="HC0")
        ours = wald_test(found, features, labels, R, r, **options)
        theirs = peer.wald_test((R, r[:, 0]), scalar=True)
        np.testing.assert_allclose(ours.statistic, theirs.statistic, rtol=1e-8)
        np.testing.assert_allclose(ours.p, theirs.pvalue, rtol=1e-8)
        each = wald_test(found, features, labels, **options)
        np.testing.assert_allclose(each.p[:, 0], peer.pvalues, rtol=1e-8)
    family = models.families.Binomial()
    null = models.GLM(labels[0], table[:, [0, 1, 3]], family=family).fit(tol=1e-14)
    score = score_test(nested, features[:2], labels, features[2:])
    theirs = null.score_test(exog_extra=table[:, 2:3])
    np.testing.assert_allclose(score.statistic, theirs[0], rtol=1e-8)
    ratio = likelihood_ratio_test(found, features, labels, [2])
    np.testing.assert_allclose(ratio.statistic, 2 * (logit.llf - null.llf), rtol=1e-8)


def test_frequencies_are_samples_written_so_often():
    problem = make_problem((3, 32), np.float64, seed=6)
    times = 1 + np.arange(32) % 3
    weight = times[None].astype(float)
    X, y = np.asarray(problem.X), np.asarray(problem.y)
    rows = [np.repeat(array, times, axis=1) for array in (X, y)]
    once = jl.fit(X, y, weight=weight), jl.fit(X[:2], y, weight=weight)
    often = jl.fit(*rows), jl.fit(rows[0][:2], rows[1])

    def statistics(fits, X, y, weight=None):
        fit, nested = fits
        given = {"weight": weight}
        yield from (
            wald_test(fit, X, y, "all", **given).statistic,
            score_test(nested, X[:2], y, X[2:], **given).statistic,
            score_test(nested, X[:2], y, X[2:], robust=True, **given).statistic,
            likelihood_ratio_test(fit, X, y, [2], **given).statistic,
            likelihood_ratio_test(fit, X, y, nested=nested, **given).statistic,
        )

    pairs = zip(statistics(once, X, y, weight), statistics(often, *rows), strict=True)
    for one, other in pairs:
        assert one == pytest.approx(float(other), rel=1e-10)
    # As probabilities, all times one number change nothing.
    for robust in (False, True):
        tests = [
            score_test(
                jl.fit(X[:2], y, weight=w),
                *(X[:2], y, X[2:]),
                **{"weight": w, "weights": "probability", "robust": robust},
            ).statistic
            for w in (weight, 8 * weight, 3 * weight)
        ]
        np.testing.assert_allclose(tests[1:], tests[0], rtol=1e-10)


def test_problems_side_by_side_are_tested_as_alone(plain, without):
    labels = jnp.concatenate([Y, 1 - Y, jnp.asarray(X[:1] > 3.0, X.dtype)])
    many, nested = jl.fit_many(X, labels), jl.fit_many(X[:2], labels)
    for test in (
        wald_test(many, X, labels, "all"),
        likelihood_ratio_test(many, X, labels, [2]),
        likelihood_ratio_test(many, X, labels, nested=nested),
        score_test(nested, X[:2], labels, X[2:]),
    ):
        assert test.statistic.shape == (3,)
        assert test.statistic[0] == pytest.approx(float(test.statistic[1]), rel=1e-9)
        assert np.isnan(test.statistic[2])
        assert np.isnan(test.log10_p[2])
        assert test.status[2] == jl.Status.SEPARATED
    alone = wald_test(plain, X, Y, "all").statistic
    assert wald_test(many, X, labels, "all").statistic[0] == pytest.approx(alone)


def test_features_far_from_zero_keep_their_digits_in_float32():
    far = np.float32(X) + np.float32([[4096.0], [0], [0]])
    y = np.float32(Y)
    near = far - np.float32([[4096.0], [0], [0]])  # exactly
    for here, there in ((far, near),):
        fits = [jl.fit(x, y) for x in (here, there)]
        ratios = [
            likelihood_ratio_test(fit, x, y, [2]).statistic
            for fit, x in zip(fits, (here, there), strict=True)
        ]
        np.testing.assert_allclose(*ratios, rtol=1e-3)
        nested = [jl.fit(x[1:], y) for x in (here, there)]
        scores = [
            score_test(fit, x[1:], y, x[:1]).statistic
            for fit, x in zip(nested, (here, there), strict=True)
        ]
        np.testing.assert_allclose(*scores, rtol=1e-4)


def test_a_score_without_a_bias_is_that_of_its_definition():
    fit = jl.fit(X[:2], Y, bias=False)
    a = np.asarray(jl.predict_proba(fit.params, X[:2]))
    s, slope = a * (1 - a), np.asarray(X) @ (Y - a).T
    H = (np.asarray(X) * s) @ X.T
    expected = (slope.T @ np.linalg.solve(H, slope)).item()
    found = score_test(fit, X[:2], Y, X[2:], bias=False)
    assert found.statistic == pytest.approx(expected, rel=1e-9)


def test_dependent_rows_have_no_test(plain):
    twice = jnp.concatenate([PSI, 2 * PSI])
    assert np.isnan(wald_test(plain, X, Y, twice).statistic)


def test_a_traced_fit_of_another_problem_is_no_answer(plain, without):
    def tests(weight):
        yield wald_test(plain, X, Y, "all", weight=weight)
        yield score_test(without, X[:2], Y, X[2:], weight=weight)
        yield likelihood_ratio_test(plain, X, Y, [0], weight=weight)

    for test in jax.jit(lambda weight: list(tests(weight)))(Y + 1.0):
        assert np.isnan(test.statistic)
        assert test.status == jl.Status.BAD_INPUT
    with pytest.raises(ValueError, match="from the minimum of the cost of these"):
        list(tests(Y + 1.0))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda f: wald_test(f, X, Y, "some"), ValueError, '"each", "all" or a matrix'),
        (lambda f: wald_test(f, X, Y, PSI[0]), jl.RankError, "hypothesis has rank 1"),
        (
            lambda f: wald_test(f, X, Y, PSI[:, :3]),
            jl.ShapeError,
            r"hypothesis has rank 2, shape \(1, 3\), but must have shape \(q, 4\)",
        ),
        (
            lambda f: wald_test(f, X, Y, PSI, jnp.zeros((2, 1))),
            jl.ShapeError,
            r"value has .* must have shape \(1, 1\)",
        ),
        (
            lambda f: wald_test(f, X, Y, np.float32(PSI)),
            jl.DtypeError,
            "hypothesis has dtype float32",
        ),
        (
            lambda _: wald_test(jl.fit(X[:0], Y), X[:0], Y, PSI[:0, :1]),
            jl.ShapeError,
            "size of 0",
        ),
        (
            lambda _: wald_test(jl.fit(X[:0], Y), X[:0], Y, "all"),
            jl.ShapeError,
            "X has no features",
        ),
        (lambda f: score_test(f, X, Y, X[:, 1:]), jl.ShapeError, "added has 31 samp"),
        (lambda f: score_test(f, X, Y, np.float32(X)), jl.DtypeError, "added has dty"),
        (
            lambda f: score_test(f, X, Y, X.at[0, 0].set(np.nan)),
            ValueError,
            "added must be finite",
        ),
        (lambda f: likelihood_ratio_test(f, X, Y, [3]), ValueError, "features must be"),
        (lambda f: likelihood_ratio_test(f, X, Y, [0.5]), jl.DtypeError, "whole numb"),
        (lambda f: likelihood_ratio_test(f, X, Y, 2), jl.DtypeError, "a list of numb"),
        (lambda f: likelihood_ratio_test(f, X, Y, []), jl.ShapeError, "is empty"),
        (
            lambda f: likelihood_ratio_test(f, X, Y, [0], nested=f),
            ValueError,
            "not both",
        ),
        (
            lambda f: likelihood_ratio_test(f, X, Y, nested=f),
            jl.ShapeError,
            "nested must have fewer features",
        ),
    ],
)
def test_wrong_hypotheses_are_refused(plain, call, error, words):
    with pytest.raises(error, match=words):
        call(plain)


def test_a_fit_that_costs_less_is_not_nested(plain):
    other = jl.fit(X[:1], jnp.asarray(X[:1] > 3.2, X.dtype), l2=1e-3)
    assert other.cost < plain.cost
    assert np.isnan(likelihood_ratio_test(plain, X, Y, nested=other).statistic)


def test_a_sample_of_weight_0_may_hold_anything(without):
    weight = jnp.ones_like(Y).at[0, 5].set(0.0)
    fit = jl.fit(X[:2], Y, weight=weight)
    spoilt = X[2:].at[0, 5].set(np.nan)
    tests = [
        score_test(fit, X[:2], Y, added, weight=weight) for added in (spoilt, X[2:])
    ]
    assert tests[0].statistic == pytest.approx(float(tests[1].statistic), rel=1e-12)
    with pytest.raises(ValueError, match="added must be finite"):
        score_test(fit, X[:2], Y, X[2:].at[0, 6].set(np.nan), weight=weight)
    with pytest.raises(ValueError, match="added must be finite"):
        score_test(without, X[:2], Y, spoilt)
