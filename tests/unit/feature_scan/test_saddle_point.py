"""The p-values of the score test where the score is far from normal."""

import jax
import numpy as np
import pytest

import jlogreg as jl
from tests.helpers import assert_close
from tests.oracles.exact_score import score_p

M, CASES = 200, 20
Y = (np.arange(M) < CASES)[None] * 1.0


def carriers(count, of_cases):
    """Return a feature of 0 and 1."""
    g = np.zeros(M, np.int8)
    g[:of_cases] = 1
    g[CASES : CASES + count - of_cases] = 1
    return g


# How many samples carry, how many of them are cases.
COUNTS = [(c, k) for c in (4, 8, 16) for k in range(c + 1)]
G = np.stack([carriers(*count) for count in COUNTS])


def scanned(G=G, covariates=None, y=Y, **options):
    scan = jl.scan_features(G, covariates, y, test="score", **options)
    return jax.tree.map(lambda column: np.asarray(column)[:, 0], scan)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rare_carriers_have_the_p_of_all_their_tables(dtype):
    """To a factor of 2, from 0.05 to 1e-18; the normal tail is off by up to 1e13."""
    scan = scanned(y=Y.astype(dtype))
    far = np.abs(scan.z) > 2
    assert (scan.saddle_point == far).all()
    assert far.sum() > 15
    exact = np.array([np.log10(score_p(M, CASES, c, k)) for c, k in COUNTS])
    off = np.abs(scan.log10_p - exact)[far]
    assert off.max() < np.log10(2)
    normal = np.array([np.log(2) + log_tail(z) for z in np.abs(scan.z[far])])
    assert np.abs(normal / np.log(10) - exact[far]).max() > 10


def log_tail(z):
    return float(jax.scipy.special.log_ndtr(-z))


def test_a_largest_score_has_the_probability_of_its_labels():
    """Without a bias no other sample matters: a half for each carrier, twice."""
    y = (np.arange(M) < M // 2)[None] * 1.0
    scan = scanned(G[-1:], y=y, bias=False)
    assert scan.saddle_point.all()
    assert_close(10 ** scan.log10_p[0], 2 * 0.5**16, 1e-12)


def test_a_weight_is_as_many_samples_and_the_sign_does_not_matter():
    covariates = np.random.default_rng(0).normal(size=(1, M))
    weight = np.random.default_rng(1).integers(0, 3, (1, M)) * 1.0
    scan = scanned(covariates=covariates, weight=weight)
    often = np.repeat(np.arange(M), weight[0].astype(int))
    repeated = scanned(G[:, often], covariates[:, often], Y[:, often])
    swapped = scanned(covariates=covariates, y=1 - Y, weight=weight)
    negative = scanned(-1.0 * G, covariates, weight=weight)
    assert scan.saddle_point.any()
    for other in (repeated, swapped, negative):
        assert (other.saddle_point == scan.saddle_point).all()
        assert_close(other.log10_p, scan.log10_p, 1e-6)


def test_with_many_samples_it_is_the_normal_tail_and_does_not_underflow():
    """Its error falls as the samples grow, in the bulk; far out both are logarithms."""
    random = np.random.default_rng(2)
    y = (random.random((1, 20_000)) < 0.5) * 1.0
    g = (random.random((1, 20_000)) < 0.5) + 0.05 * y
    scan = scanned(np.concatenate([g, g + 2 * y]), y=y)
    assert scan.saddle_point.all()
    normal = (np.log(2) + log_tail(abs(scan.z[0]))) / np.log(10)
    assert_close(scan.log10_p[0], normal, 0.01 * abs(normal))
    assert scan.log10_p[1] < -4000
