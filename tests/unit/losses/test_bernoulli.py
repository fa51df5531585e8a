"""Losses and derivatives against 50 digits, in the middle and far out in the tails."""

from functools import partial

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.losses import elementwise as losses
from jlogreg.losses.arithmetic import FAST

mpmath.mp.dps = 50

# Up to where the results are still normal numbers: exp(-|z|) underflows beyond.
REACH = {np.float32: 87.0, np.float64: 708.0}


def exact(f):
    """Return f with its arguments and its result as 50-digit numbers."""
    return lambda *values: f(*(mpmath.mpf(float(value)) for value in values))


def sig(z):
    return 1 / (1 + mpmath.exp(-z))


# Written from the definitions; at 50 digits nothing cancels that matters below.
ORACLES = {
    jl.sigmoid: sig,
    jl.log_sigmoid: lambda z: -mpmath.log1p(mpmath.exp(-z)),
    jl.log_loss_dz2: lambda z: sig(z) * sig(-z),
    jl.log_loss: lambda z, y: (
        y * mpmath.log1p(mpmath.exp(-z)) + (1 - y) * mpmath.log1p(mpmath.exp(z))
    ),
    jl.log_loss_dz: lambda z, y: (1 - y) * sig(z) - y * sig(-z),
    jl.squared_loss: lambda z, y: ((1 - y) * sig(z) - y * sig(-z)) ** 2 / 2,
    jl.likelihood: lambda z, y: sig(z) ** y * sig(-z) ** (1 - y),
}
# In units in the last place, as `python -m experiments bench accuracy` finds them for
# every number of float32, rounded up; a square and its half have two more roundings.
BUDGET = {
    jl.sigmoid: 1,
    jl.log_sigmoid: 1,
    jl.log_loss_dz2: 2,
    jl.log_loss: 1.3,
    jl.log_loss_dz: 1,
    jl.squared_loss: 3,
}
# The same of the forms for sums over samples.
FAST_BUDGET = {
    "sigmoid": 3,
    "log_sigmoid": 3,
    "log_loss_dz2": 3.5,
    "log_loss": 3.5,
    "log_loss_dz": 3.5,
}


def points(dtype):
    random = np.random.default_rng(0)
    reach = REACH[dtype]
    sizes = np.exp(random.uniform(np.log(1e-8), np.log(reach), 150))
    special = [0, 1e-30, 0.5, 1, 14.5, 16.64, 17, 36.8, 40, reach]
    # Where the whole number next to |z| / ln 2 changes, and where exp(-|z|) is 1/2.
    edges = np.arange(1, 30)[:, None] * np.log(2) / 2 + [-1e-7, -1e-15, 0, 1e-15, 1e-7]
    sizes = np.concatenate([sizes, special, edges.ravel()]).astype(dtype)
    return np.concatenate([sizes, -sizes])[None]


HARD, SOFT = (0.0, 1.0), (0.3, 0.9999, 1e-6)
PAIRS = [
    *((function, None) for function in (jl.sigmoid, jl.log_sigmoid, jl.log_loss_dz2)),
    *((jl.log_loss, label) for label in (*HARD, *SOFT)),
    *((function, y) for function in (jl.log_loss_dz, jl.squared_loss) for y in HARD),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("function", "label"), PAIRS)
def test_functions_keep_their_digits(function, label, dtype):
    z = points(dtype)
    if function is jl.squared_loss:
        z = z[:, np.abs(z[0]) < REACH[dtype] / 2]  # its square is a normal number
    labels = () if label is None else (np.full_like(z, label),)
    found = np.asarray(jax.jit(function)(z, *labels))
    assert_digits(found, ORACLES[function], z, BUDGET[function], *labels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FAST_BUDGET)
def test_the_forms_for_sums_keep_their_digits_too(name, dtype):
    z, oracle = points(dtype), ORACLES[getattr(jl, name)]
    function = jax.jit(partial(getattr(losses, name), FAST))
    of_label = name in ("log_loss", "log_loss_dz")
    for labels in [(0 * z,), (0 * z + 1,)] if of_label else [()]:
        found = np.asarray(function(z, *labels))
        assert_digits(found, oracle, z, FAST_BUDGET[name], *labels)


@pytest.mark.parametrize("label", SOFT)
def test_slopes_of_soft_labels_are_good_to_their_larger_part(label):
    """Next to the root sigmoid(z) = y the difference itself is ill posed."""
    z = points(np.float64)
    y = np.full_like(z, label)
    found = np.asarray(jl.log_loss_dz(z, y))[0]
    for value, at in zip(found, z[0], strict=True):
        a = exact(sig)(at)
        due = exact(ORACLES[jl.log_loss_dz])(at, label)
        part = max(label * (1 - a), (1 - label) * a)
        assert abs(value - due) <= 4 * np.finfo(float).eps * part


def assert_digits(found, oracle, z, budget, *others):
    for index in np.ndindex(found.shape):
        due = exact(oracle)(z[index], *(other[index] for other in others))
        # In units of the number due: a tolerance that is absolute would accept anything
        # in the tails.
        unit = float(np.spacing(found.dtype.type(abs(due))))
        assert abs(float(found[index]) - due) <= budget * unit, z[index]


def test_the_comparison_notices_a_lost_tail():
    z = points(np.float64)
    with pytest.raises(AssertionError):
        assert_digits(
            1 / (1 + np.exp(-z)) - 1, ORACLES[jl.log_loss_dz], z, 3, z * 0 + 1
        )


# Derivatives as chains: each function's derivative is another one here.
CHAINS = [
    (jl.sigmoid, jl.log_loss_dz2),
    (jl.log_sigmoid, lambda z: jl.sigmoid(-z)),
    *(
        (lambda z, y=y: jl.log_loss(z, y), lambda z, y=y: jl.log_loss_dz(z, y))
        for y in (1.0, 0.0, 0.3)
    ),
    (lambda z: jl.log_loss_dz(z, 1.0), jl.log_loss_dz2),
    (lambda z: jl.log_loss_dz(z, 0.3), jl.log_loss_dz2),
    (lambda z: jl.log_likelihood(z, 1.0), lambda z: -jl.log_loss_dz(z, 1.0)),
    (lambda z: jl.likelihood(z, 1.0), jl.log_loss_dz2),
    (lambda z: jl.likelihood(z, 0.0), lambda z: -jl.log_loss_dz2(z)),
]


@pytest.mark.parametrize("number", range(len(CHAINS)))
def test_derivatives_are_the_exact_functions_everywhere(number):
    """By autodiff, at 0, in the tails and at infinity, forward and reverse."""
    function, derivative = CHAINS[number]
    sizes = np.array([0.0, 1.0, 20.0, 40.0, 700.0, np.inf])
    z = jnp.asarray(np.concatenate([sizes, -sizes]))
    due = jax.vmap(derivative)(z)
    assert np.isfinite(due).all()
    forward = jax.vmap(lambda at: jax.jvp(function, (at,), (jnp.ones(()),))[1])
    for slope in (jax.vmap(jax.grad(function)), forward):
        for wrap in (lambda f: f, jax.jit):
            # rtol only: an absolute tolerance would accept anything in the tails.
            np.testing.assert_allclose(wrap(slope)(z), due, rtol=1e-15)


@pytest.mark.parametrize("z", [-40.0, -20.0, -3.0, 0.0, 1e-3, 2.0, 20.0, 40.0])
def test_third_and_fourth_derivatives_keep_their_digits(z):
    """Autodiff of |z| would give a third derivative of 1/4 at 0; it is 0."""
    at = mpmath.mpf(z)
    p, q = sig(at), sig(-at)
    third, fourth = p * q * (q - p), p * q * (1 - 6 * p * q)
    derivative = jax.grad(jl.log_loss_dz2)
    eps = np.finfo(float).eps
    assert abs(float(derivative(z)) - third) <= 6 * eps * abs(third)
    # 1 - 6 p q cancels near its root; p q is the size of what is rounded.
    assert abs(float(jax.grad(derivative)(z)) - fourth) <= 16 * eps * p * q


def test_derivatives_in_the_label():
    """L is linear in y, with slope -z; its slope in z has slope -1."""
    for z in (-30.0, 0.0, 2.5):
        assert jax.grad(jl.log_loss, 1)(z, 0.3) == -z
        assert jax.grad(jl.log_loss_dz, 1)(z, 0.3) == -1
        assert jax.grad(jax.grad(jl.log_loss, 1), 0)(z, 0.3) == -1
        assert jax.grad(jax.grad(jl.log_loss, 1), 1)(z, 0.3) == 0
        both = jax.jvp(jl.log_loss, (z, 0.3), (2.0, 3.0))[1]
        assert both == 2 * jl.log_loss_dz(z, 0.3) - 3 * z


@pytest.mark.parametrize("shapes", [((2, 3), ()), ((), (2, 3)), ((2, 3), (2, 3))])
@pytest.mark.parametrize("function", [jl.log_loss, jl.log_loss_dz, jl.likelihood])
@pytest.mark.parametrize("argument", [0, 1])
def test_a_scalar_against_a_matrix_differentiates(function, shapes, argument):
    z, y = jnp.full(shapes[0], 0.7), jnp.full(shapes[1], 0.3)
    slope = jax.grad(lambda *a: function(*a).sum(), argument)(z, y)
    due = jax.grad(function, argument)(jnp.asarray(0.7), jnp.asarray(0.3))
    count = 6 if shapes[argument] == () else 1
    np.testing.assert_allclose(slope, count * due, rtol=1e-14)
    assert slope.shape == shapes[argument]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinite_logits_give_the_limit(dtype):
    z = np.array([[-np.inf, np.inf]], dtype)
    zeros, ones = np.zeros_like(z), np.ones_like(z)
    for wrap in (lambda f: f, jax.jit):
        for function, *labels, limit in [
            (jl.sigmoid, [0, 1]),
            (jl.log_sigmoid, [-np.inf, 0]),
            (jl.log_loss, ones, [np.inf, 0]),
            (jl.log_loss, zeros, [0, np.inf]),
            (jl.log_loss_dz, ones, [-1, 0]),
            (jl.log_loss_dz, zeros, [0, 1]),
            (jl.log_loss_dz2, [0, 0]),
            (jl.likelihood, ones, [0, 1]),
            (jl.likelihood, zeros, [1, 0]),
            (jl.squared_loss, ones, [0.5, 0]),
        ]:
            assert wrap(function)(z, *labels).tolist() == [limit]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_finite_gives_nan_and_nan_gives_nan(dtype):
    largest = np.finfo(dtype).max
    z = np.array([[-largest, -1e4, -1e-40, 0, 1e-40, 1e4, largest]], dtype)
    y = np.array([[0, 1, 0.5, 1, 0, 0.25, 1]], dtype)
    for labels in (y, y * 0, y * 0 + 1):
        for function in (jl.likelihood, jl.log_likelihood, jl.log_loss, jl.log_loss_dz):
            assert not np.isnan(function(z, labels)).any()
            slope = jax.vmap(jax.grad(function))(z[0], labels[0])
            assert not np.isnan(slope).any(), function
    for function in (jl.sigmoid, jl.log_sigmoid, jl.log_loss_dz2):
        assert not np.isnan(function(z)).any()
        assert np.isnan(function(z * np.nan)).all()
    assert np.isnan(jl.log_loss(z * np.nan, y)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("label", [0.0, 1.0, 0.3, 1e-3])
def test_likelihood_is_good_to_the_rounding_of_its_logarithm(label, dtype):
    """Also where a is flushed to 0 and a^y is not: sigmoid(-90)^0.001 is 0.91."""
    reach = REACH[dtype]
    z = np.concatenate([points(dtype)[0], np.array([-1.2, 1.2]) * reach])[None]
    z = z.astype(dtype)
    y = np.full_like(z, label)
    found = np.asarray(jl.likelihood(z, y), float)[0]
    eps, tiny = (float(getattr(np.finfo(dtype), name)) for name in ("eps", "tiny"))
    for value, at, lab in zip(found, z[0], y[0], strict=True):
        due = exact(ORACLES[jl.likelihood])(at, lab)
        if due > tiny:
            assert abs(value - due) <= eps * due * (4 + 3 * abs(mpmath.log(due))), at
        else:
            assert value <= tiny
