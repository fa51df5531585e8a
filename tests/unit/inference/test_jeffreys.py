"""What Firth's estimates mean: published errors, tests and intervals, and NumPy's."""

from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import inference
from tests.helpers import assert_close
from tests.oracles.numpy_firth import numpy_firth
from tests.references import datasets

FIRTH = {"jeffreys": 0.5}
Z = NormalDist().inv_cdf(0.975)
# Standard errors by the information and by the augmented one, the p of the ratio of
# penalised likelihoods, and profile intervals of 95 %: w, then b. The second errors and
# the intervals are logistf's.
PUBLISHED = {
    "endometrial": [
        (1.5507637, 1.4649742, 0.00912367, 0.6097244, 7.8546317),
        (0.0395781, 0.0378924, 0.387482, -0.1244587, 0.0404555),
        (0.7760176, 0.7536284, 2.50687e-05, -4.3651832, -1.2327211),
        (1.4886917, 1.4390069, None, 1.0825371, 7.2092805),
    ],
    "sex2": [
        (0.4236601, 0.4149021, 0.00614347, -1.9737884, -0.3074251),
        (0.4437934, 0.4344026, 0.875191, -0.9414363, 0.7892020),
        (0.5484160, 0.5384873, 1.67888e-06, 1.2730216, 3.4354327),
        (0.5430824, 0.5320395, 1.2378e-05, -3.2608611, -1.1177349),
        (0.4173676, 0.4089620, 0.054497, -1.6080879, 0.0151847),
        (1.6750084, 1.5052211, 0.00495187, 0.7745682, 8.0302935),
        (0.4855415, 0.4763429, None, -0.8185591, 1.0731512),
    ],
}


# The program of the larger one takes long to compile.
NAMES = ["endometrial", pytest.param("sex2", marks=pytest.mark.nightly)]


@pytest.fixture(scope="module", params=NAMES)
def known(request):
    data = getattr(datasets, request.param)()
    return data, jl.fit(data.X, data.y, **FIRTH), PUBLISHED[request.param]


def test_published_standard_errors(known):
    data, found, rows = known
    for column, kind in enumerate(("fisher", "augmented")):
        options = {"kind": kind, **FIRTH}
        errors = inference.standard_errors(found, data.X, data.y, **options)
        assert_close(errors[:, 0], [row[column] for row in rows], 5e-8)


def test_published_tests(known):
    data, found, rows = known
    ratio = inference.likelihood_ratio_test
    for j, (*_, p, _, _) in enumerate(rows[:2]):
        test = ratio(found, data.X, data.y, [j], **FIRTH)
        assert_close(test.p, p, 1e-5 * p)


@pytest.mark.parametrize("name", NAMES)
def test_published_profile_intervals(name):
    data, rows = getattr(datasets, name)(), PUBLISHED[name]
    found = jl.fit(data.X, data.y, **FIRTH)
    interval = inference.confidence_interval(
        found, data.X, data.y, kind="profile", **FIRTH
    )
    assert (interval.status == jl.Status.CONVERGED).all()
    assert_close(interval.low[:, 0], [row[3] for row in rows], 1.2e-7)
    assert_close(interval.high[:, 0], [row[4] for row in rows], 1.2e-7)


def weighted():
    """Return a problem with all options, some of its labels separated."""
    rng = np.random.default_rng(4)
    X = np.vstack([rng.normal(size=30), rng.random(30) < 0.2])
    y = ((X[1] > 0) | (rng.random(30) < 0.4)).astype(float)[None]
    weight = rng.integers(1, 4, size=(1, 30)).astype(float)
    return X, y, {"weight": weight, "offset": rng.normal(size=(1, 30)), "l2": 0.01}


def test_tests_and_ends_are_those_of_numpy():
    X, y, rows = weighted()
    found = jl.fit(X, y, **rows, **FIRTH)
    x, v = np.vstack([X, np.ones(30)]), rows["weight"][0]
    ridge = v.sum() * np.array([0.01, 0.01, 0.0])
    data = (x, y[0], v, rows["offset"][0], 0.5, ridge)
    theta, best = numpy_firth(*data)
    assert_close(np.append(found.params.w, found.params.b), theta, 1e-9)
    interval = inference.confidence_interval(
        found, X, y, kind="profile", **rows, **FIRTH
    )
    for j, ends in enumerate(np.hstack([interval.low, interval.high])):
        for end in ends:
            start = np.where(np.arange(3) == j, end, theta)
            _, value = numpy_firth(*data, free=np.arange(3) != j, start=start)
            assert_close(best - value, Z**2 / 2, 1e-7)


def test_the_ratio_keeps_the_information_of_all_unknowns():
    X, y, rows = weighted()
    del rows["l2"]
    found = jl.fit(X, y, **rows, **FIRTH)
    data = np.vstack([X, np.ones(30)]), y[0], rows["weight"][0], rows["offset"][0]
    _, best = numpy_firth(*data)
    _, less = numpy_firth(*data, free=np.array([False, True, True]))
    ratio = inference.likelihood_ratio_test
    test = ratio(found, X, y, [0], **rows, **FIRTH)
    assert_close(test.statistic, 2 * (best - less), 1e-9)
    nested = jl.fit(X[1:], y, **rows, **FIRTH)
    with pytest.raises(ValueError, match="with jeffreys give features"):
        ratio(found, X, y, nested=nested, **rows, **FIRTH)


def test_many_fits_have_the_errors_of_each_alone():
    X, y, _ = weighted()
    Y, taus = np.concatenate([y, 1 - y]), jnp.asarray([[0.5], [2.0]])
    many = jl.fit_many(X, Y, jeffreys=taus)
    errors = inference.standard_errors(many, X, Y, jeffreys=taus)
    for k, tau in enumerate((0.5, 2.0)):
        row = Y[k : k + 1]
        one = jl.fit(X, row, jeffreys=tau)
        alone = inference.standard_errors(one, X, row, jeffreys=tau)
        assert_close(errors[k], alone, 1e-9 * np.abs(alone))


def test_effects_and_predictions_have_the_errors_of_the_covariance():
    X, y, _ = weighted()
    found = jl.fit(X, y, **FIRTH)
    matrix = inference.covariance(found, X, y, **FIRTH)
    x = np.append(X[:, 0], 1.0)[:, None]
    z, error = theta_of(found) @ x[:, 0], np.sqrt(x.T @ matrix @ x)[0, 0]
    predicted = inference.predict_interval(found, X, y, X[:, :1], **FIRTH)
    for end, sign in ((predicted.low, -1), (predicted.high, 1)):
        assert_close(end[0, 0], 1 / (1 + np.exp(-z - sign * Z * error)), 1e-9)
    mean = np.append(X.mean(axis=1), 1.0)[:, None]
    a = 1 / (1 + np.exp(-theta_of(found) @ mean[:, 0]))
    w, s = theta_of(found)[:-1, None], a * (1 - a)
    slopes = s * (np.eye(len(w), len(mean)) + (1 - 2 * a) * w * mean.T)
    errors = np.sqrt(np.diagonal(slopes @ matrix @ slopes.T))
    effects = inference.marginal_effects(found, X, y, at="mean", **FIRTH)
    assert_close(effects.standard_error[:, 0], errors, 1e-9)


def theta_of(found):
    return np.append(found.params.w, found.params.b)


def test_without_a_bias_its_error_is_zero():
    X, y, _ = weighted()
    found = jl.fit(X, y, bias=False, **FIRTH)
    for kind in ("fisher", "augmented"):
        options = {"kind": kind, "bias": False, **FIRTH}
        matrix = inference.covariance(found, X, y, **options)
        assert (matrix[-1] == 0).all()
        assert (jnp.diagonal(matrix)[:2] > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "HC0"}, 'kind="HC0" is for a fit without jeffreys'),
        ({"weights": "probability"}, "with jeffreys weights are counts"),
        ({"jeffreys": 0.0}, "the fit is .* standard errors from the minimum"),
        ({"jeffreys": 0.0, "kind": "augmented"}, 'kind="augmented" is for a fit with'),
    ],
)
def test_what_does_not_go_together_is_an_error(options, message):
    X, y, rows = weighted()
    found = jl.fit(X, y, **rows, **FIRTH)
    with pytest.raises(ValueError, match=message):
        inference.covariance(found, X, y, **rows, **{**FIRTH, **options})


def test_a_fit_that_failed_has_no_errors():
    X, y, _ = weighted()
    X = np.vstack([X, X[:1]])
    errors = jax.jit(
        lambda X: inference.standard_errors(jl.fit(X, y, **FIRTH), X, y, **FIRTH)
    )(X)
    assert np.isnan(errors).all()


def test_the_summary_is_that_of_the_fit():
    X, y, rows = weighted()
    found = jl.fit(X, y, **rows, **FIRTH)
    table = jl.summary(found, X, y, ["dose", "sex"], **rows, **FIRTH)
    errors = inference.standard_errors(found, X, y, **rows, **FIRTH)
    assert_close(table.columns["std_error"], errors[:, 0], 1e-12)
    assert "chi-square" not in str(table)
    said = str(jl.summary(found._replace(several=True), X, y, **rows, **FIRTH))
    assert "the cost has another minimum" in said
