"""Scans by Firth's estimate and by the score test, against one fit at a time."""

import jax
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import Status, inference
from jlogreg.feature_scan import scan_features as module
from jlogreg.feature_scan.checks import check_scan
from jlogreg.feature_scan.null_model import fit_null_model
from tests.helpers import assert_close

RNG = np.random.default_rng(0)
M = 80
C = RNG.normal(size=(1, M))
Y = (RNG.random((1, M)) < 0.3).astype(float)
# Rare counts; of the first the carriers have one label, the second is constant.
G = RNG.binomial(2, 0.15, size=(8, M)).astype(np.int8)
G[0] = 0
G[0, np.flatnonzero(Y[0] == 1)[:3]] = 1
G[1] = 1
# A missing entry, and an invalid one.
G[2, 4] = -1
G[3, 7] = -5


def scanned(G, covariates=C, y=Y, **options):
    result = jl.scan_features(G, covariates, y, **options)
    return jax.tree.map(np.asarray, result)


@pytest.fixture(scope="module")
def plain():
    return scanned(G)


@pytest.fixture(scope="module")
def always():
    return scanned(G, firth="always")


def test_always_is_firths_estimate(always):
    expected = [Status.CONVERGED] * 8
    expected[1], expected[3] = Status.SINGULAR, Status.BAD_INPUT
    assert always.status[:, 0].tolist() == expected
    assert always.firth.all()
    assert np.isnan(always.estimate[[1, 3]]).all()
    for j in (0, 2):
        kept = G[j] >= 0
        X, y = np.vstack([C, G[j : j + 1]])[:, kept], Y[:, kept]
        found = jl.fit(X, y, jeffreys=0.5)
        options = {"jeffreys": 0.5, "kind": "augmented"}
        error = inference.standard_errors(found, X, y, **options)[1, 0]
        assert_close(always.estimate[j, 0], found.params.w[1, 0], 1e-8)
        assert_close(always.standard_error[j, 0], error, 1e-8)
        assert_close(always.z[j, 0], found.params.w[1, 0] / error, 1e-7)


def test_fallback_is_for_what_has_no_estimate(plain, always):
    found = scanned(G, firth="fallback")
    used = np.isin(plain.status, (Status.SEPARATED, Status.DIVERGED))
    assert used[0, 0]
    assert (found.firth == used).all()
    for one, other in ((plain, ~used), (always, used)):
        for result, expected in zip(found, one, strict=True):
            np.testing.assert_allclose(result[other], expected[other], 1e-12)


def test_no_fit_of_a_scan_is_firths_without_the_word(plain):
    assert not plain.firth.any()
    assert plain.status[0, 0] in (Status.SEPARATED, Status.DIVERGED)


def test_the_score_is_that_of_the_score_test():
    found = scanned(G, test="score")
    expected = [Status.CONVERGED] * 8
    expected[1], expected[3] = Status.SINGULAR, Status.BAD_INPUT
    assert found.status[:, 0].tolist() == expected
    null = jl.fit(C, Y)
    for j in (0, 4, 5):
        g = G[j : j + 1].astype(float)
        test = inference.score_test(null, C, Y, g)
        assert_close(found.z[j, 0] ** 2, test.statistic, 1e-8)
        if not found.saddle_point[j, 0]:
            assert_close(found.log10_p[j, 0], test.log10_p, 1e-8)
        # The first step has the sign of the score.
        score = (g * (Y - jl.predict_proba(null.params, C))).sum()
        assert np.sign(found.estimate[j, 0]) == np.sign(score)


@pytest.mark.parametrize(("firth", "tau"), [("never", 0.0), ("always", 0.5)])
def test_the_likelihood_ratio_is_that_of_the_test(
    firth, tau, plain, always, monkeypatch
):
    """After a few steps, and by `fit`; with a missing entry, and separated labels.

    The cost at a minimum is off by the square of what the parameters are off by.
    """
    wald = always if tau else plain
    few = scanned(G, test="lr", firth=firth)
    for name in ("newton_scan", "firth_scan"):
        scan = getattr(module, name)

        def gives_up(*arguments, scan=scan):
            found = scan(*arguments)
            return found._replace(status=found.status * 0 + int(Status.MAX_STEPS))

        monkeypatch.setattr(module, name, gives_up)
    by_fit = scanned(G, test="lr", firth=firth)
    for found in (few, by_fit):
        assert (found.status == wald.status).all()
        for name in ("estimate", "standard_error"):
            same = getattr(found, name), getattr(wald, name)
            np.testing.assert_allclose(*same, atol=1e-8)
    for j in (0, 2, 4, 5) if tau else (2, 4, 5):
        X = np.vstack([C, G[j : j + 1]])
        given = {"weight": (G[j : j + 1] >= 0) * 1.0, "jeffreys": tau}
        fitted = jl.fit(X, Y, **given)
        test = inference.likelihood_ratio_test(fitted, X, Y, [1], **given)
        for found in (few, by_fit):
            assert np.sign(found.z[j]) == np.sign(found.estimate[j])
            assert_close(found.z[j, 0] ** 2, test.statistic, 1e-8)
            assert_close(found.log10_p[j, 0], test.log10_p, 1e-8)


def test_without_a_null_model_there_is_no_score():
    separating = np.where(Y > 0, 1.0, -1.0)
    found = scanned(G[4:6], separating, test="score")
    assert (found.status == Status.MAX_STEPS).all()
    assert np.isnan(found.z).all()


def test_excluded_samples_count_nowhere():
    weight = np.ones((1, M))
    weight[0, 7] = 0
    assert scanned(G[3:4], weight=weight, test="score").status == Status.CONVERGED
    nothing = np.full((1, M), -1, np.int8)
    assert scanned(nothing, test="score").status == Status.BAD_INPUT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": "lrt"}, "test must be one of"),
        ({"firth": True}, "firth must be one of"),
        ({"test": "score", "firth": "fallback"}, 'test="score" has no estimate'),
    ],
)
def test_unknown_words_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        jl.scan_features(G, C, Y, **options)
    with pytest.raises(ValueError, match=message):
        jl.scan_blocks(iter([G]), C, Y, **options)


def test_carriers_of_one_label_are_known_from_the_counts():
    y = np.array([[1.0, 1, 0, 0, 1, 0]])
    weight = np.array([[1.0, 1, 1, 1, 1, 0]])
    null = fit_null_model(*check_scan(None, y, weight, None, True, None))
    rows = [
        [1, 2, 0, 0, 0, 0],
        [0, 0, 1, -1, 0, 0],
        [1, 0, 0, 0, 0, 2],
        [1, 0, 1, 0, 0, 0],
    ]
    G = np.array([*rows, [0] * 6, [-2, 2, 0, 0, 0, 0]], np.int8)
    expected = [True, True, True, False, False, False]
    assert module.one_sided(null, G).tolist() == expected
    # Whichever allele is counted.
    G = np.where(G < 0, G, 2 - G).astype(np.int8)
    assert module.one_sided(null, G).tolist() == expected
    assert not module.one_sided(null, G.astype(float)).any()
