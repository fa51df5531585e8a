"""The certificate is right, shares no code with the solvers, and is not fooled."""

import inspect

import jax
import numpy as np
from hypothesis import given

import jlogreg as jl
from tests.helpers import assert_close, make_problem, problems, slack


class Found:
    """Hold parameters, which is all that a certificate asks of a fit."""

    def __init__(self, params):
        self.params = params


# Compiled: Hypothesis draws the numbers, not the shapes.
compiled = jax.jit(jl.value_and_gradient)


@given(problems(dtypes=(np.float64,)))
def test_it_recomputes_cost_gradient_and_decrement(problem):
    found = jl.certificate(Found(problem.params), *problem[1:3], **problem.options)
    J, slope = compiled(*problem.arguments, **problem.options)
    within = slack(problem)
    assert_close(found.cost, J, within.J)
    size = max(np.abs(slope.w).max(), np.abs(slope.b).max())
    assert_close(found.gradient_norm, size, max(within.w.max(), within.b.max()))


def test_the_decrement_and_the_change_are_those_of_a_newton_step():
    problem = make_problem((3, 20), np.float64, "soft labels", seed=1)
    found = jl.certificate(Found(problem.params), *problem[1:3], **problem.options)
    H = np.asarray(jl.hessian(*problem.arguments, **problem.options))
    slope = compiled(*problem.arguments, **problem.options)[1]
    g = np.concatenate([slope.w, slope.b])
    step = np.linalg.solve(H, g)
    assert_close(found.decrement, np.sqrt(g.T @ step)[0, 0], 1e-12)
    counts = np.asarray(problem.weight)[0] > 0
    moves = step[:-1].T @ np.asarray(problem.X) + step[-1]
    assert_close(found.change, np.abs(moves[:, counts]).max(), 1e-12)


def test_where_next_to_no_curvature_is_left_the_step_is_huge():
    problem = make_problem((1, 1), np.float64, "huge logits", seed=5516, l2=0.0)
    found = jl.certificate(Found(problem.params), *problem[1:3], **problem.options)
    assert found.change > 1e308
    assert 1e150 < found.decrement < np.inf


def test_a_fit_stands_and_a_moved_one_does_not():
    problem = make_problem((3, 64), np.float64, "soft labels", seed=2, l2=0.1)
    data = problem[1:3]
    result = jl.fit(*data, **problem.options)
    assert result.status == jl.Status.CONVERGED
    good = jl.certificate(result, *data, **problem.options)
    assert good.change < 1e-13
    assert good.decrement < 1e-14
    moved = result._replace(
        params=jl.Params(result.params.w * (1 + 1e-6), result.params.b)
    )
    bad = jl.certificate(moved, *data, **problem.options)
    assert bad.change > 1e-9
    # Half the square of the decrement is how far the cost is above its minimum.
    # Both costs are rounded to a double.
    assert_close(bad.cost - good.cost, bad.decrement**2 / 2, 2.3e-16 * good.cost)


def test_separation_is_proved_from_the_unpenalised_part():
    X = np.array([[-2.0, -1.0, 1.0, 2.0], [1.0, -1.0, 1.0, -1.0]])
    y = np.array([[0.0, 0.0, 1.0, 1.0]])
    split = Found(jl.Params(np.array([[1.0], [0.0]]), np.array([[0.0]])))
    assert jl.certificate(split, X, y).separated
    assert not jl.certificate(split, X, y, l2=0.1).separated
    one_free = np.array([[0.0], [1.0]])
    assert jl.certificate(split, X, y, l2=one_free).separated
    assert not jl.certificate(split, X, y, l2=one_free[::-1]).separated
    soft = np.array([[0.0, 0.0, 1.0, 0.9]])
    assert not jl.certificate(split, X, soft).separated
    left_out = np.array([[1.0, 1.0, 1.0, 0.0]])
    assert jl.certificate(split, X, soft, weight=left_out).separated
    # An offset that classifies everything proves nothing about the parameters.
    nothing = Found(jl.Params(np.zeros((2, 1)), np.zeros((1, 1))))
    known = np.array([[-9.0, -9.0, 9.0, 9.0]])
    assert not jl.certificate(nothing, X, y, offset=known).separated


def test_a_singular_hessian_has_an_infinite_decrement():
    X = np.zeros((1, 4))
    found = jl.certificate(
        Found(jl.Params(np.zeros((1, 1)), np.zeros((1, 1)))),
        X,
        np.array([[0, 1, 1, 1.0]]),
    )
    assert found.decrement == np.inf


def test_blocks_and_designs_make_no_difference(monkeypatch):
    module = inspect.getmodule(jl.certificate)
    problem = make_problem((3, 64), np.float64, seed=3)
    whole = jl.certificate(Found(problem.params), *problem[1:3], **problem.options)
    monkeypatch.setattr(module, "BLOCK", 7)
    parts = jl.certificate(Found(problem.params), *problem[1:3], **problem.options)
    plain = jl.Standardized(problem.X, np.zeros((3, 1)), np.ones((3, 1)))
    held = jl.certificate(Found(problem.params), plain, problem.y, **problem.options)
    for other in (parts, held):
        assert_close(other[:4], whole[:4], 1e-14 * np.abs(whole[:4]))


def test_it_imports_nothing_of_the_solvers():
    source = inspect.getsource(inspect.getmodule(jl.certificate))
    for name in ("solvers", "objectives", "bernoulli", "totals", "span"):
        assert f"jlogreg.{name}" not in source
