"""What is known of an array, and how it comes to the host and from there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jlogreg import fit, validate
from jlogreg.base.arrays import (
    MAX_ON_HOST,
    as_array,
    at_least,
    at_most,
    largest,
    on_host,
    power_of_two,
    smallest,
)

MANY = (2, MAX_ON_HOST // 2 + 1)  # two numbers too many for the host


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.bool_])
@pytest.mark.parametrize("shape", [(), (3,), (4, 5), (64, 64)])
def test_what_is_changed_later_is_not_seen(dtype, shape):
    # Memory that is aligned JAX would use as it lies: here some of many always is.
    tables = [np.zeros(shape, dtype) for _ in range(16)]
    arrays = [as_array(table) for table in tables]
    for table in tables:
        table[...] = 1
    assert all(array.dtype == dtype and not array.any() for array in arrays)


def test_an_array_is_known_wherever_it_is():
    values = (0.5, np.ones(3), np.float32(2), jnp.ones((2, 2)))

    @jax.jit
    def traced(z):
        for value in values:
            assert not isinstance(as_array(value), jax.core.Tracer)
        assert as_array(z) is z
        assert as_array(z, np.float32).dtype == np.float32
        return z

    assert traced(1.0) == 1.0


def test_a_double_that_is_no_float_is_infinite_without_a_warning():
    doubles, infinite = np.array([1e300, -1e300]), [np.inf, -np.inf]
    assert as_array(doubles, np.float32).tolist() == infinite
    with jax.enable_x64(False):
        assert as_array(doubles, np.float64).tolist() == infinite


@pytest.mark.parametrize("shape", [(2, 3), (2, MAX_ON_HOST // 2), MANY])
def test_a_bad_number_is_found_wherever_it_is_looked_for(shape):
    """Only small arrays come to the host."""
    assert isinstance(on_host(jnp.zeros(shape)), jax.Array) == (shape == MANY)
    X, y = np.zeros(shape), np.zeros((1, shape[1]))
    validate(X, y, weight=y + 1)
    X[1, 2] = X[1, 1] = np.nan
    words = rf"2 of {X.size} entries are not; the first is X\[1, 1\] = nan"
    with pytest.raises(ValueError, match=words):
        validate(X, y)
    y[0, 2] = 2
    with pytest.raises(ValueError, match=r"the first is y\[0, 2\] = 2"):
        validate(np.zeros(shape), y)
    with pytest.raises(ValueError, match="weight is 0 for every sample"):
        validate(np.zeros(shape), np.zeros_like(y), weight=np.zeros_like(y))


def test_a_fit_is_that_of_the_features_as_they_were():
    # Dispatch is asynchronous: the arguments may be changed while the fit still runs.
    random = np.random.default_rng(0)
    X = random.normal(size=(64, 4096))
    y = (random.random((1, 4096)) < 0.5).astype(float)
    expected = fit(X, y, l2=0.1).params.w
    result = fit(X, y, l2=0.1)
    X[:] = np.nan
    np.testing.assert_array_equal(result.params.w, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_power_of_two_is_just_below_the_largest_entry_and_has_a_reciprocal(dtype):
    for size in (1.0, 1.5, 2.0, 3.75, 1e-30, 1e30):
        array = np.array([[0.25 * size, -size, 0.0]], dtype)
        power = power_of_two(array)
        assert power.dtype == dtype
        assert np.frexp(power)[0] == 0.5
        assert 1 <= np.abs(array).max() / power < 2
    power = power_of_two(np.array([[np.finfo(dtype).max]]))
    assert power == 2.0 ** (np.finfo(dtype).maxexp - 2)  # its reciprocal is normal
    assert 1 / np.asarray(power) >= np.finfo(dtype).tiny


@pytest.mark.parametrize("size", [3, 5000])
def test_nan_passes_through_a_bound_and_an_extreme_among_many(size):
    row = jnp.ones(size).at[1].set(jnp.nan)
    assert np.isnan(largest(row))
    assert np.isnan(smallest(row))
    assert largest(row.at[1].set(2)) == 2
    assert smallest(row.at[1].set(-2)) == -2
    for bounded in (at_least(row, 2), at_most(row, -2)):
        np.testing.assert_array_equal(np.isnan(bounded), np.isnan(row))
    assert at_least(row, 2)[0] == at_most(jnp.full(size, 3.0), 2)[0] == 2
    assert at_least(row, 0)[0] == at_most(row, 2)[0] == 1


def test_the_largest_of_each_row_is_nan_where_that_row_has_one():
    rows = jnp.array([[1.0, np.nan, 3.0], [2.0, 5.0, -7.0]])
    np.testing.assert_array_equal(largest(rows, axis=1), [np.nan, 5])
