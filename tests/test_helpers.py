"""The comparisons of the tests notice what they are there to notice."""

import jax
import numpy as np
import pytest

import jlogreg as jl
from tests.helpers import (
    EPS,
    SHAPE,
    assert_close,
    compiled,
    cost_and_gradient,
    hessian_slack,
    make_problem,
    newton,
    same_bits,
    slack,
)
from tests.laws.conftest import assert_trees_close
from tests.oracles.numpy_fit import (
    assert_minimum,
    assert_same_fit,
    gradient_slack,
    numpy_wald,
)

PROBLEM = make_problem(SHAPE, np.float64, seed=3)


@pytest.mark.parametrize("planted", [1e-6, -1e-9])
def test_a_wrong_minimum_is_noticed(planted):
    result = newton(PROBLEM)
    w = result.params.w * (1 + planted)
    wrong = result._replace(params=result.params._replace(w=w))
    assert_same_fit(result, result, PROBLEM)
    assert_minimum(result, PROBLEM)
    gradient = np.vstack(cost_and_gradient(wrong.params, PROBLEM)[1])
    for comparison in (
        lambda: assert_same_fit(wrong, result, PROBLEM),
        lambda: assert_minimum(wrong, PROBLEM),
        lambda: assert_close(
            gradient, 0 * gradient, gradient_slack(PROBLEM, result.params)
        ),
    ):
        with pytest.raises(AssertionError, match="too far"):
            comparison()
    with pytest.raises(AssertionError):
        assert_minimum(result._replace(status=jl.Status.MAX_STEPS), PROBLEM)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_error_of_rounding_is_not_much_larger_than_it_must_be(dtype):
    """Some thousand roundings of the largest entry: a planted part of 1e-3 or 1e-12."""
    problem, eps = make_problem(SHAPE, dtype), float(np.finfo(dtype).eps)
    J, gradient = cost_and_gradient(problem.params, problem)
    H = jl.hessian(*problem.arguments, **problem.options)
    one = slack(problem)
    sizes = [np.abs(np.asarray(leaf, float)) for leaf in (J, *gradient, H)]
    for within, size in zip([*one, hessian_slack(problem)], sizes, strict=True):
        assert np.max(within) < 1e3 * eps * np.max(size)
        assert np.min(within) > eps * np.min(size)


def test_a_wrong_standard_error_is_noticed():
    """A variance of m - 1 samples, or a penalty of a millionth."""
    problem = PROBLEM._replace(l2=np.zeros(()))
    wald = numpy_wald(problem, float)
    m = int((problem.weight > 0).sum())
    assert wald.standard_error_slack < wald.standard_error * ((m / (m - 1)) ** 0.5 - 1)
    other = numpy_wald(problem._replace(l2=1e-6), float)
    assert abs(other.estimate - wald.estimate) > wald.estimate_slack
    assert abs(other.standard_error - wald.standard_error) > wald.standard_error_slack


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_part_of_a_tree_of_results_is_noticed(dtype):
    tree = {"w": np.ones((3, 1), dtype), "b": np.zeros((1, 1), dtype)}
    assert_trees_close(tree, tree)
    wrong = tree["w"] * dtype(1 + 100 * np.finfo(dtype).eps)
    with pytest.raises(AssertionError, match="too far"):
        assert_trees_close({**tree, "w": wrong}, tree)
    for other in ({"w": tree["w"]}, {**tree, "w": tree["w"].astype(np.float16)}):
        with pytest.raises(AssertionError):
            assert_trees_close(other, tree)


def test_a_bit_and_the_sign_of_zero_are_noticed():
    one = {"a": np.array([1.0, np.nan]), "b": np.zeros(1)}
    assert same_bits(one, jax.tree.map(np.copy, one))
    for other in ({**one, "a": one["a"] + EPS}, {**one, "b": -one["b"]}):
        assert not same_bits(one, other)


def test_a_compilation_is_noticed(caplog):
    X, y = np.asarray(PROBLEM.X), np.asarray(PROBLEM.y)
    jl.fit(X[:, :12], y[:, :12])  # now the settings are compiled for
    names = compiled(caplog, lambda: jl.fit(X[:, :11], y[:, :11]))
    assert sum(names.values()) == 1  # the checks of so few numbers compile nothing
