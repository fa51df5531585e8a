"""Jeffreys' prior in the cost: value, derivatives, and wrong arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from tests.helpers import EPS, assert_close, make_problem
from tests.oracles.numpy_firth import penalized_likelihood

PROBLEM = make_problem((3, 20), np.float64, "soft labels", seed=3, l2=0.3)
TAU = 0.7


def options(problem=PROBLEM, bias=True):
    rows = {"weight": problem.weight, "offset": problem.offset, "l2": problem.l2}
    return {**rows, "jeffreys": TAU, "bias": bias}


def with_ones(X, bias):
    return np.vstack([X, np.ones((int(bias), X.shape[1]))])


def numpy_value(theta, bias):
    x = with_ones(PROBLEM.X, bias)
    v, o = np.asarray(PROBLEM.weight)[0], np.asarray(PROBLEM.offset)[0]
    y = np.asarray(PROBLEM.y)[0]
    value, score, *_ = penalized_likelihood(theta, x, y, v, o, TAU)
    w = theta[:3]
    l2 = float(PROBLEM.l2)
    slope = -score / v.sum()
    slope[:3] += l2 * w
    return -value / v.sum() + l2 * w @ w / 2, slope


def at(theta):
    b = theta[3:] if len(theta) > 3 else np.zeros(1)
    return jl.Params(jnp.asarray(theta[:3, None]), jnp.asarray(b[:, None]))


@pytest.mark.parametrize("bias", [True, False])
def test_cost_and_gradient_are_those_of_numpy(bias):
    theta = np.array([0.4, -1.3, 0.8, 0.2])[: 3 + bias]
    J, slope = numpy_value(theta, bias)
    X, y = PROBLEM.X, PROBLEM.y
    found, (dw, db) = jl.value_and_gradient(at(theta), X, y, **options(bias=bias))
    assert_close(found, J, 200 * EPS * (1 + abs(J)))
    assert_close(dw[:, 0], slope[:3], 200 * EPS)
    if bias:
        assert_close(db[0], slope[3:], 200 * EPS)
    assert_close(jl.cost(at(theta), X, y, **options(bias=bias)), found, 0)
    assert_close(jl.gradient(at(theta), X, y, **options(bias=bias)).w, dw, 0)


def test_the_hessian_is_the_derivative_of_the_gradient():
    theta, X, y = np.array([0.4, -1.3, 0.8, 0.2]), PROBLEM.X, PROBLEM.y
    H = jl.hessian(at(theta), X, y, **options())
    step = 1e-5
    for j, unit in enumerate(np.eye(4)):
        ends = [numpy_value(theta + side * step * unit, True)[1] for side in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * step)
        # The error of a difference is a sixth of the third derivative times step^2.
        assert_close(H[:, j], expected, 10 * step**2 + 100 * EPS / step)
        along = jl.hessian_vector(at(theta), at(unit), X, y, **options())
        assert_close(np.append(along.w, along.b), H[:, j], 100 * EPS)


def test_weights_are_counts():
    problem = PROBLEM._replace(weight=jnp.full((1, 20), 3.0))
    X, y, params = problem.X, problem.y, at(np.array([0.4, -1.3, 0.8, 0.2]))
    thrice = {**options(problem), "weight": None}
    thrice["offset"] = jnp.tile(problem.offset, 3)
    one = jl.cost(params, X, y, **options(problem))
    assert_close(one, jl.cost(params, jnp.tile(X, 3), jnp.tile(y, 3), **thrice), 1e-14)


def test_a_zero_changes_nothing():
    X, y, params = PROBLEM.X, PROBLEM.y, at(np.zeros(4))
    with_zero = jax.make_jaxpr(lambda X: jl.cost(params, X, y, jeffreys=0.0))(X)
    assert str(with_zero) == str(jax.make_jaxpr(lambda X: jl.cost(params, X, y))(X))


def test_a_singular_information_costs_infinitely_much():
    X = jnp.concatenate([PROBLEM.X, PROBLEM.X[:1]])
    assert jl.cost(jl.init_params(4), X, PROBLEM.y, jeffreys=0.5) == np.inf


@pytest.mark.parametrize(
    ("jeffreys", "error", "message"),
    [
        (-0.5, ValueError, "jeffreys must be at least 0, but is -0.5"),
        (float("nan"), ValueError, "jeffreys must be at least 0"),
        ("firth", jl.DtypeError, "jeffreys must be an array"),
        (np.ones(2), jl.RankError, "jeffreys has rank 1"),
    ],
)
def test_a_wrong_strength_is_an_error(jeffreys, error, message):
    with pytest.raises(error, match=message):
        jl.cost(jl.init_params(3), PROBLEM.X, PROBLEM.y, jeffreys=jeffreys)


def test_more_parameters_than_samples_are_an_error():
    X, y = jnp.ones((3, 3)), jnp.zeros((1, 3))
    with pytest.raises(jl.ShapeError, match="more parameters than samples"):
        jl.cost(jl.init_params(3), X, y, jeffreys=0.5)
    X, y = jnp.ones((513, 600)), jnp.zeros((1, 600))
    with pytest.raises(jl.ShapeError, match="jeffreys is for 512 at most"):
        jl.cost(jl.init_params(513), X, y, jeffreys=0.5)
