"""A constant in a feature or in the offset moves the bias and nothing else.

The numbers and their sums with the constants are exact in float32, so what is left of a
shift is the tolerance of the solver and the roundings of the larger parameters.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jlogreg as jl
from jlogreg import Params, Status
from jlogreg.data.samples import Samples
from jlogreg.formulations.centering import feature_center

M = 60
EPS = float(np.finfo(np.float32).eps)
TOL = 2 * EPS**0.5  # the default of a fit
CONSTANTS = np.float32([2010, 310, -4096])  # a year, kelvin, a count
SOLVERS = {
    "Newton": jl.Newton(),
    "NewtonCG": jl.NewtonCG(),
    "Optax": jl.Optax(optax.lbfgs()),
}
solvers = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)


def data(n=2):
    """Return features in 64ths, and labels that follow the first."""
    random = np.random.default_rng(0)
    X = np.round(64 * random.standard_normal((n, M))) / 64
    y = random.random((1, M)) < 1 / (1 + np.exp(-X[:1]))
    return X.astype(np.float32), y.astype(np.float32)


def constant(c, n=2):
    """Return a column that is added to the features: c above zeros."""
    return np.float32([[c]] + [[0.0]] * (n - 1))


def logits(params, X, offset=0.0):
    """Return the logits in float64, and the roundings that float32 parameters have."""
    w, b = (np.asarray(leaf, np.float64) for leaf in params)
    sizes = np.swapaxes(abs(w), -1, -2) @ abs(X) + abs(b) + abs(offset)
    return np.swapaxes(w, -1, -2) @ X + b + offset, 4 * EPS * sizes


def assert_same(found, plain, X, plain_X, offset=0.0):
    """Assert that two fits converged to the same logits."""
    assert (np.asarray(found.status) == Status.CONVERGED).all()
    z, rounding = logits(found.params, X.astype(float), offset)
    expected, _ = logits(plain.params, plain_X.astype(float))
    assert (abs(z - expected) <= 2 * TOL + rounding).all()
    np.testing.assert_allclose(found.cost, plain.cost, rtol=1e-4)


@pytest.mark.parametrize("c", CONSTANTS)
@solvers
def test_a_constant_in_a_feature(solver, c):
    (X, y), far = data(), constant(c)
    with jax.numpy_dtype_promotion("standard"):  # optax needs it
        plain, found = (jl.fit(Z, y, l2=0.01, solver=solver) for Z in (X, X + far))
    assert_same(found, plain, X + far, X)


@pytest.mark.parametrize("n", [2, 2 * M], ids=["primal", "dual"])
@solvers
def test_a_constant_in_the_offset(solver, n):
    (X, y), offset = data(n), np.arange(-300.0, 301, 10)[:, None, None]
    with jax.numpy_dtype_promotion("standard"):
        fits = jax.jit(
            jax.vmap(lambda o: jl.fit(X, y, l2=0.1, offset=o, solver=solver))
        )
        found = fits((offset + 0 * y).astype(y.dtype))
        plain = jl.fit(X, y, l2=0.1, solver=solver)
    assert_same(found, plain, X, X, offset)


@pytest.mark.parametrize("solver", [jl.Newton(), jl.NewtonCG()], ids=type)
def test_many_problems(solver):
    """Also where samples far away are left out, and from a start of the user's."""
    (X, y), far = data(), constant(2010.0)
    Y, offset = np.concatenate([y, 1 - y]), np.float32([[0.0], [50.0]]) + 0 * y
    plain = jl.fit_many(X, Y, l2=0.01, solver=solver)
    outside = np.concatenate([X + far, -X - far], axis=1)
    init = Params(w=plain.params.w, b=plain.params.b - plain.params.w[:, :1] * 2010)
    found = jl.fit_many(
        outside,
        np.tile(Y, 2),
        weight=np.repeat(np.float32([[1, 0]]), M, axis=1),
        offset=np.tile(offset, 2),
        l2=0.01,
        init=init,
        solver=solver,
    )
    assert_same(found, plain, X + far, X, offset[:, None])


@pytest.mark.parametrize("c", CONSTANTS)
def test_a_scan(c):
    X, y = data()
    plain = jl.scan_features(X, None, y)
    for found in (
        jl.scan_features(X + c, None, y),
        jl.scan_features(np.where(X > 2, np.nan, X + c)[:1], X[1:] + c, y),
    ):
        assert (found.status == Status.CONVERGED).all()
    found = jl.scan_features(X + c, None, y)
    np.testing.assert_allclose(found.estimate, plain.estimate, atol=4 * TOL)
    np.testing.assert_allclose(found.z, plain.z, atol=4 * TOL)


def test_designs_in_two_parts():
    (X, y), far = data(), constant(2010.0)
    plain = jl.fit(X, y)
    both = jl.fit(jl.Stacked(X[:1] + 2010, X[1:] + 310), y)
    assert_same(both, plain, X + far + np.float32([[0], [310]]), X)


def test_derivatives_and_influence():
    (X, y), far = data(), constant(2010.0)

    def weights(X, weight):
        return jl.fit(X, y, weight=weight, l2=0.01).params.w

    one = np.ones_like(y)
    plain, found = (jax.jacobian(weights, (0, 1))(Z, one) for Z in (X, X + far))
    for a, b in zip(found, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    plain, found = (
        jl.influence(jl.fit(Z, y, l2=0.01), Z, y, l2=0.01).w for Z in (X, X + far)
    )
    np.testing.assert_allclose(found, plain, atol=1e-3)


@pytest.mark.parametrize("c", CONSTANTS)
@pytest.mark.parametrize("design", ["array", "standardized", "parts"])
def test_fewer_samples_than_features(design, c):
    """Each feature far from zero; the fit, and its derivatives in the weights."""
    (X, y), far = data(2 * M), np.full((2 * M, 1), c)
    X = X[:, : M // 2]
    y = y[:, : M // 2]
    scale = np.ones_like(far)

    def designed(Z):
        if design == "parts":
            return jl.Stacked(Z[:5], Z[5:])
        return jl.Standardized(Z, 0 * far, scale) if design == "standardized" else Z

    def weights(X, weight):
        return jl.fit(designed(X), y, weight=weight, l2=0.01).params.w

    plain, found = (jl.fit(designed(Z), y, l2=0.01) for Z in (X, X + far))
    assert_same(found, plain, X + far, X)
    np.testing.assert_allclose(found.params.w, plain.params.w, rtol=1e-4, atol=1e-6)
    one = np.ones_like(y)
    plain, found = (
        jax.jvp(lambda v, Z=Z: weights(Z, v), (one,), (np.cos(y),))[1]
        for Z in (X, X + far)
    )
    size = abs(np.asarray(plain)).max()
    np.testing.assert_allclose(found, plain, atol=1e-3 * size)


def test_without_a_step_the_start_comes_back():
    X, y = data()
    init = Params(w=np.float32([[0.3], [0.1]]), b=np.float32([[0.7]]))
    found = jl.fit(X + np.float32(2010), y, offset=y, init=init, max_steps=0)
    jax.tree.map(np.testing.assert_array_equal, found.params, init)


def test_a_bias_that_no_number_holds_is_no_answer():
    X, y = data()
    offset = np.full_like(y, 1e16)
    assert jl.fit(X, y, offset=offset, l2=0.1).status == Status.SINGULAR


@pytest.mark.parametrize("kept", [1.0, 0.5, 0.02])
def test_the_center_is_among_the_numbers_that_have_a_weight(kept):
    """And near most of them, whatever the others are."""
    random = np.random.default_rng(3)
    X = random.standard_normal((3, 400)) + np.array([[0], [1e6], [-1e3]])
    X[0, :100] = 1e30
    weight = (random.random((1, 400)) < kept) * 2.0
    X = np.where(weight > 0, X, np.nan)
    for given in (weight,) if kept < 1 else (weight, None):
        center = feature_center(Samples(jl.Dense(jnp.asarray(X)), weight, given))
        inside = X[:, weight[0] > 0]
        assert (np.min(inside, 1) <= center[:, 0]).all()
        assert (center[:, 0] <= np.max(inside, 1)).all()
        assert (abs(center[:, 0] - np.median(inside, axis=1)) < 3).all()
