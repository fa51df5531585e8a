"""Scans: published numbers, p-values far below any float, blocks, and arguments."""

from unittest import mock

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import Status, scan_blocks
from jlogreg.feature_scan import scan_features as module
from jlogreg.feature_scan.single_feature import newton_scan
from tests.helpers import EPS, Problem, assert_close
from tests.oracles.numpy_fit import numpy_wald
from tests.references.datasets import spector

STUDENTS = spector()
M = STUDENTS.y.shape[1]
GPA, TUCE, PSI = (row[None] for row in STUDENTS.X)
COVARIATES, Y = np.concatenate([GPA, TUCE]), STUDENTS.y
ONES, ZEROS = np.ones((1, M)), np.zeros((1, M))
ROWS = {"weight": ONES, "offset": ZEROS}


def features(V=12, seed=0):
    """Return PSI and random features of whole numbers below it."""
    random = np.random.default_rng(seed)
    return np.concatenate([PSI, random.integers(0, 3, (V - 1, M)) * 1.0])


def scanned(G, covariates=COVARIATES, y=Y, **rows):
    """Return a scan in NumPy; all with weight and offset, so that all compile alike."""
    result = jl.scan_features(G, covariates, y, **ROWS | rows)
    return jax.tree.map(np.asarray, result)


def test_it_is_what_statsmodels_finds():
    """To its own tolerance, 1e-10 here on the log likelihood, and Newton's to its root.

    Spector and Mazzeo's students: PSI given GPA and TUCE, and made-up features.
    """
    models = pytest.importorskip("statsmodels.api")
    G = features()
    result = scanned(G)
    assert not result.status.any()
    for j, g in enumerate(G):
        columns = np.column_stack([*COVARIATES, g, np.ones(M)])
        expected = models.Logit(Y[0], columns).fit(disp=0, method="newton", tol=1e-12)
        row = [column[j, 0] for column in result[:4]]
        np.testing.assert_allclose(row[0], expected.params[2], rtol=1e-9)
        np.testing.assert_allclose(row[1], expected.bse[2], rtol=1e-8)
        np.testing.assert_allclose(row[2], expected.tvalues[2], rtol=1e-8)
        np.testing.assert_allclose(row[3], np.log10(expected.pvalues[2]), rtol=1e-7)
    # The published numbers: Greene, Econometric Analysis, table 21.1.
    np.testing.assert_allclose(result.estimate[0], 2.379, atol=5e-4)
    np.testing.assert_allclose(result.standard_error[0], 1.065, atol=5e-4)


def log10_p_of(z):
    """Return log10 of the two-sided p-value to 40 digits, rounded once."""
    with mpmath.workdps(40):
        return float(mpmath.log10(mpmath.erfc(abs(mpmath.mpf(z)) / mpmath.sqrt(2))))


def test_a_weight_counts_a_sample_as_often_and_p_values_do_not_underflow():
    """Four times as many of each halve the standard error, and make z large.

    p is right to a few roundings, and beyond 20 to a series: JAX's, of the tail, leaves
    out at most 105 / z^8 of p, its first term that is not taken (Abramowitz and Stegun,
    26.2.12), and as much over log p of the logarithm. Where p is near 1 its logarithm
    is small, and a rounding of log 2 is left.
    """
    times = [1e-8, 1e12, *(4.0**k for k in range(8))]
    once = scanned(features(30))
    scans = [scanned(features(30), weight=number * ONES) for number in times]
    for number, scan in zip(times, scans, strict=True):
        assert not scan.status.any()
        assert_close(scan.estimate, once.estimate, 1e-12)
        far = 64 * EPS * once.standard_error
        assert_close(scan.standard_error * number**0.5, once.standard_error, far)
    z, log10_p = (
        np.concatenate([getattr(scan, name)[:, 0] for scan in scans[2:]])
        for name in ("z", "log10_p")
    )
    expected = np.array([log10_p_of(value) for value in z])
    left_out = np.where(np.abs(z) > 20, 105 / np.abs(z).clip(1) ** 8, 0)
    assert_close(log10_p, expected, 8 * EPS * (np.abs(expected) + 1) + left_out)
    assert expected.min() < -700  # of p, a float underflows at -324
    assert np.abs(z).max() > 60
    assert ((np.abs(z) > 20) & (np.abs(z) < 40)).sum() > 9


def assert_estimates(scan, G, covariates=COVARIATES, lost=0.0):
    """Assert that a scan is right; lost: what it may be off, in standard errors."""
    assert not scan.status.any()
    for j, g in enumerate(G):
        X = np.vstack([covariates, g])
        problem = Problem(None, X, Y, ONES, ZEROS, 0.0)
        estimate, far, error, within = numpy_wald(problem, float)
        assert_close(scan.estimate[j, 0], estimate, far + lost * error)
        assert_close(scan.standard_error[j, 0], error, within + lost * error)


def test_blocks_may_have_any_size_and_come_in_anything():
    """A few first make narrower batches; the last may be one feature."""
    G = features(30)
    whole = scanned(G)
    assert_estimates(whole, G)
    for sizes, collect in [
        ([16, 14], iter),
        ([16, 14], tuple),
        ([3, 13, 14], list),
        ([16, 13, 1], lambda blocks: map(jnp.asarray, blocks)),
        ([16, 13, 1], lambda blocks: (block for block in blocks)),
    ]:
        result = scanned(collect(np.split(G, np.cumsum(sizes)[:-1])))
        assert isinstance(result, jl.Scan)
        for column, expected in zip(result, whole, strict=True):
            assert column.shape == (30, 1)
            np.testing.assert_allclose(column, expected, rtol=1e-11)


def test_many_features_go_through_in_batches():
    """Of as many as fit the cache, several in a call, and several calls."""
    G = features(100)
    expected = [scanned(G[start : start + 16]) for start in range(0, 96, 16)]
    with mock.patch.multiple(module, MAX_FEATURES=16, BATCHES=2):
        result = scanned(G)
    assert result.status.shape == (100, 1)
    for column, *parts in zip(result, *expected, strict=True):
        np.testing.assert_allclose(column[:96], np.concatenate(parts), rtol=1e-11)


def test_blocks_are_read_one_ahead_of_what_is_asked_for():
    """So the next is read while one is computed, and never are many in memory."""
    read = []

    def blocks():
        for start in range(0, 48, 12):
            read.append(start)
            yield features(48)[start : start + 12]

    scans = scan_blocks(blocks(), COVARIATES, Y, **ROWS)
    assert read == []
    assert next(scans).status.shape == (12, 1)
    assert read == [0, 12]
    next(scans)
    assert read == [0, 12, 24]
    assert len(list(scans)) == 2


def test_arguments_are_looked_at_before_any_block_is_read():
    def unread():
        raise AssertionError("read")
        yield

    with pytest.raises(ValueError, match=r"y must be in \[0, 1\]"):
        scan_blocks(unread(), COVARIATES, 2 * Y)
    with pytest.raises(jl.ShapeError, match=r"y has rank 2, shape \(1, 32\)"):
        scan_blocks(unread(), COVARIATES[:, 1:], Y)
    with pytest.raises(AssertionError, match="read"):
        next(iter(scan_blocks(unread(), COVARIATES, Y, **ROWS)))


def test_a_bad_block_ends_the_scan_when_it_is_read():
    blocks = [features(), features(), features()[:, 1:], features()]
    scans = scan_blocks(blocks, COVARIATES, Y, **ROWS)
    next(scans)
    with pytest.raises(jl.ShapeError, match=rf"G has shape \(12, 31\), .* \(V, {M}\)"):
        next(scans)


def test_covariates_that_separate_leave_no_feature_a_fit():
    """Each has the status of its own fit, on the matrix of both."""
    apart = np.concatenate([GPA, Y + GPA / 100])
    G = features()
    result = scanned(G, apart)
    alone = jax.jit(lambda g: jl.fit(jnp.concatenate([apart, g[None]]), Y).status)
    for status, g in zip(result.status[:, 0], G, strict=True):
        assert status == alone(g) == Status.SEPARATED
    for column in result[:4]:
        assert np.isnan(column).all()


@pytest.mark.parametrize("mean", [0.0, 1e7])
def test_a_few_steps_find_what_a_fit_does(mean):
    """Also given covariates of a large mean: all see them standardized.

    The digits that the mean takes are lost.
    """
    near = np.random.default_rng(3).standard_normal((2, M)) + mean
    G, lost = features(), 64 * EPS * mean
    few = scanned(G, near)

    def gives_up(*arguments):
        scan = newton_scan(*arguments)
        return scan._replace(status=scan.status * 0 + int(Status.MAX_STEPS))

    with mock.patch.object(module, "newton_scan", gives_up):
        alone = scanned(G, near)
    for result in (few, alone):
        assert_estimates(result, G, near - mean, lost)
    assert (few.estimate != alone.estimate).any()  # two ways
