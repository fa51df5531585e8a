"""Losses and derivatives against 50 digits, in the middle and far out in the tails."""

from functools import partial

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from mpmath import mpf

import jlogreg as jl
from jlogreg.losses import elementwise as losses
from jlogreg.losses.arithmetic import EXACT, FAST

mpmath.mp.dps = 50

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
EPS = float(np.finfo(float).eps)
# Up to where the results are still normal numbers: exp(-|z|) underflows beyond.
REACH = {np.float32: 87.0, np.float64: 708.0}


def sig(z):
    return 1 / (1 + mpmath.exp(-z))


def loss(z, y):
    return y * mpmath.log1p(mpmath.exp(-z)) + (1 - y) * mpmath.log1p(mpmath.exp(z))


# Written from the definitions; at 50 digits nothing cancels that matters below.
ORACLES = {
    "sigmoid": sig,
    "log_sigmoid": lambda z: -mpmath.log1p(mpmath.exp(-z)),
    "log_loss_dz2": lambda z: sig(z) * sig(-z),
    "log_loss": loss,
    "log_likelihood": lambda z, y: -loss(z, y),
    "log_loss_dz": lambda z, y: (1 - y) * sig(z) - y * sig(-z),
    "squared_loss": lambda z, y: ((1 - y) * sig(z) - y * sig(-z)) ** 2 / 2,
    "likelihood": lambda z, y: sig(z) ** y * sig(-z) ** (1 - y),
}
# In units in the last place, as `python -m experiments bench accuracy` finds them for
# every number of float32, rounded up; a square and its half have two more roundings.
BUDGETS = {
    "sigmoid": 1,
    "log_sigmoid": 1,
    "log_loss_dz2": 2,
    "log_loss": 1.3,
    "log_likelihood": 1.3,
    "log_loss_dz": 1,
    "squared_loss": 3,
}
# The same of the forms for sums over samples.
FAST_BUDGETS = {
    "sigmoid": 3,
    "log_sigmoid": 3,
    "log_loss_dz2": 3.5,
    "log_loss": 3.5,
    "log_loss_dz": 3.5,
}
HARD, SOFT = (0.0, 1.0), (0.3, 0.9999, 1e-6)
LABELS = {
    **dict.fromkeys(["log_loss", "log_likelihood"], (*HARD, *SOFT)),
    **dict.fromkeys(["log_loss_dz", "squared_loss"], HARD),
}


def points(dtype, reach):
    random = np.random.default_rng(0)
    sizes = np.exp(random.uniform(np.log(1e-8), np.log(reach), 150))
    special = [0, 1e-30, 0.5, 1, 14.5, 16.64, 17, 36.8, 40, reach]
    # Where the whole number next to |z| / ln 2 changes, and where exp(-|z|) is 1/2.
    edges = np.arange(1, 30)[:, None] * np.log(2) / 2 + [-1e-7, -1e-15, 0, 1e-15, 1e-7]
    sizes = np.concatenate([sizes, special, edges.ravel()]).astype(dtype)
    return np.concatenate([sizes, -sizes])[None]


def exact(name, z, *labels):
    """Return a function at each logit, to 50 digits."""
    rows = zip(z[0], *(label[0] for label in labels), strict=True)
    return [ORACLES[name](*(mpf(float(number)) for number in row)) for row in rows]


def assert_within(result, expected, within):
    for value, number, most in zip(result[0], expected, within, strict=True):
        assert abs(float(value) - number) <= most, (value, number)


@DTYPES
@pytest.mark.parametrize("name", BUDGETS)
def test_functions_keep_their_digits(name, dtype):
    # The square of the squared loss is to be a normal number too.
    z = points(dtype, REACH[dtype] / (2.1 if name == "squared_loss" else 1))
    functions = [(jax.jit(getattr(jl, name)), BUDGETS[name])]
    if name in FAST_BUDGETS:
        fast = jax.jit(partial(getattr(losses, name), FAST))
        functions.append((fast, FAST_BUDGETS[name]))
    for label in LABELS.get(name, [None]):
        labels = () if label is None else (np.full_like(z, label),)
        expected = exact(name, z, *labels)
        # In units of the number itself: a tolerance that is absolute would accept
        # anything in the tails.
        unit = [float(np.spacing(dtype(abs(number)))) for number in expected]
        for function, budget in functions:
            result = np.asarray(function(z, *labels))
            assert_within(result, expected, [budget * part for part in unit])


@pytest.mark.parametrize("label", SOFT)
def test_slopes_of_soft_labels_are_good_to_their_larger_part(label):
    """Next to the root sigmoid(z) = y the difference itself is ill posed."""
    z = points(np.float64, REACH[np.float64])
    y = np.full_like(z, label)
    parts = [max(label * (1 - a), (1 - label) * a) for a in exact("sigmoid", z)]
    expected, within = exact("log_loss_dz", z, y), [4 * EPS * part for part in parts]
    assert_within(np.asarray(jl.log_loss_dz(z, y)), expected, within)


@DTYPES
@pytest.mark.parametrize("label", [0.0, 1.0, 0.3, 1e-3])
def test_likelihood_is_good_to_the_rounding_of_its_logarithm(label, dtype):
    """Also where a is flushed to 0 and a^y is not: sigmoid(-90)^0.001 is 0.91."""
    z = points(dtype, 1.2 * REACH[dtype])
    y = np.full_like(z, label)
    expected = exact("likelihood", z, y)
    eps, tiny = (float(getattr(np.finfo(dtype), name)) for name in ("eps", "tiny"))
    within = [
        eps * p * (4 + 3 * abs(mpmath.log(p))) if p > tiny else tiny for p in expected
    ]
    assert_within(np.asarray(jl.likelihood(z, y)), expected, within)


@pytest.mark.parametrize("form", [EXACT, FAST])
@pytest.mark.parametrize("y", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("z", [-5.0, -0.5, 0.25, 3.0])
def test_the_likelihood_has_a_slope_in_its_label(z, y, form):
    """Alone, and along with the one in z: those of a difference in 50 digits."""
    p = ORACLES["likelihood"]
    in_z, in_y = mpmath.diff(p, (z, y), (1, 0)), mpmath.diff(p, (z, y), (0, 1))
    slopes = jax.grad(losses.likelihood, argnums=(1, 2))(form, z, y)
    both = jax.jvp(lambda *at: losses.likelihood(form, *at), (z, y), (2.0, 3.0))[1]
    # p errs by the rounding of its logarithm, at most 5 here.
    sizes = max(abs(in_z), 1e-2), max(abs(in_y), 1e-2), abs(2 * in_z) + abs(3 * in_y)
    expected = in_z, in_y, 2 * in_z + 3 * in_y
    assert_within([(*slopes, both)], expected, [16 * EPS * size for size in sizes])


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
    expected = jax.vmap(derivative)(z)
    assert np.isfinite(expected).all()
    forward = jax.vmap(lambda at: jax.jvp(function, (at,), (jnp.ones(()),))[1])
    for slope in (jax.vmap(jax.grad(function)), forward):
        for wrap in (lambda f: f, jax.jit):
            # rtol only: an absolute tolerance would accept anything in the tails.
            np.testing.assert_allclose(wrap(slope)(z), expected, rtol=1e-15)


@pytest.mark.parametrize("z", [-40.0, -20.0, -3.0, 0.0, 1e-3, 2.0, 20.0, 40.0])
def test_third_and_fourth_derivatives_keep_their_digits(z):
    """Autodiff of |z| would give a third derivative of 1/4 at 0; it is 0."""
    p, q = sig(mpf(z)), sig(-mpf(z))
    third, fourth = p * q * (q - p), p * q * (1 - 6 * p * q)
    derivative = jax.grad(jl.log_loss_dz2)
    assert abs(float(derivative(z)) - third) <= 6 * EPS * abs(third)
    # 1 - 6 p q cancels near its root; p q is the size of what is rounded.
    assert abs(float(jax.grad(derivative)(z)) - fourth) <= 16 * EPS * p * q


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
    expected = jax.grad(function, argument)(jnp.asarray(0.7), jnp.asarray(0.3))
    count = 6 if shapes[argument] == () else 1
    np.testing.assert_allclose(slope, count * expected, rtol=1e-14)
    assert slope.shape == shapes[argument]


@DTYPES
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


@DTYPES
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
