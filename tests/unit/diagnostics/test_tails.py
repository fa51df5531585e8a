"""Logarithms of tails, against 50 digits."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jlogreg.diagnostics.tails import log10_chi2_tail, log10_p_value, p_of_log10

POINTS = [0.0, 1e-20, 1e-3, 0.5, 1.0, 3.0, 10.0, 30.0, 400.0, 1000.0, 18421.0]


def exact(x, df):
    """Return log10 of the chi-square tail, to 50 digits."""
    with mpmath.workdps(50):
        if x == 0:
            return 0.0
        halves = mpmath.mpf(df) / 2, mpmath.mpf(x) / 2
        return float(mpmath.log10(mpmath.gammainc(*halves, regularized=True)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 64, 301])
def test_the_chi_square_tail_has_its_digits(df, dtype):
    """Also at 10^-4000, which is no number of either precision."""
    x = np.array([POINTS], dtype)
    result = np.asarray(log10_chi2_tail(jnp.asarray(x), df))
    assert result.dtype == dtype
    expected = np.array([[exact(float(each), df) for each in x[0]]])
    # The terms of a sum over j have logarithms as large as lgamma(df / 2).
    size = np.abs(expected) + 1 + df * np.log(df) / 8
    errors = np.abs(result - expected) / (np.finfo(dtype).eps * size)
    assert errors.max() < 8, errors
    assert result[0, -1] < -3600


def test_p_of_a_normal_variable_is_that_of_its_square():
    z = jnp.asarray([[0.0, 0.5, -3.0, 31.6, -135.0]])
    squared = log10_chi2_tail(jnp.square(z), 1)
    np.testing.assert_allclose(log10_p_value(z), squared, rtol=1e-14, atol=1e-15)
    assert p_of_log10(squared)[0, 0] == 1
    assert p_of_log10(squared)[0, -1] == 0


def test_the_tail_has_a_derivative_and_no_value_below_zero():
    x = jnp.asarray(2.5)
    slope = jax.grad(lambda x: log10_chi2_tail(x, 3))(x)
    difference = (exact(2.5 + 1e-6, 3) - exact(2.5 - 1e-6, 3)) / 2e-6
    assert slope == pytest.approx(difference, rel=1e-8)
    assert np.isnan(log10_chi2_tail(jnp.asarray(-1.0), 2))
