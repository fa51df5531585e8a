"""The certificate is right, shares no code with the solvers, and is not fooled."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given

import jlogreg as jl
from jlogreg.certification import long_sums
from tests.helpers import assert_close, cost_and_gradient, make_problem, problems, slack


def certified(problem):
    """Return the certificate of the params of a problem."""
    fit = SimpleNamespace(params=problem.params)
    return jl.certificate(fit, problem.X, problem.y, **problem.options)


@given(problems(dtypes=(np.float64,)))
def test_it_recomputes_cost_and_gradient(problem):
    result = certified(problem)
    J, slope = cost_and_gradient(problem.params, problem)
    within = slack(problem)
    assert_close(result.cost, J, within.J)
    size = np.abs(np.vstack(slope)).max()
    assert_close(result.gradient_norm, size, max(within.w.max(), within.b.max()))


def test_the_decrement_and_the_change_are_those_of_a_newton_step():
    problem = make_problem((3, 20), np.float64, "soft labels", seed=1)
    result = certified(problem)
    H = np.asarray(jl.hessian(*problem.arguments, **problem.options))
    g = np.vstack(cost_and_gradient(problem.params, problem)[1])
    step = np.linalg.solve(H, g)
    assert_close(result.decrement, np.sqrt(g.T @ step)[0, 0], 1e-12)
    counts = np.asarray(problem.weight)[0] > 0
    moves = step[:-1].T @ np.asarray(problem.X) + step[-1]
    assert_close(result.change, np.abs(moves[:, counts]).max(), 1e-12)


def test_where_next_to_no_curvature_is_left_the_step_is_huge():
    problem = make_problem((1, 1), np.float64, "huge logits", seed=5516, l2=0.0)
    result = certified(problem)
    assert result.change > 1e308
    assert 1e150 < result.decrement < np.inf


def test_a_fit_stands_and_a_moved_one_does_not():
    problem = make_problem((3, 64), np.float64, "soft labels", seed=2, l2=0.1)
    w, b = jl.fit(problem.X, problem.y, **problem.options).params
    good = certified(problem._replace(params=jl.Params(w, b)))
    assert good.change < 1e-13
    assert good.decrement < 1e-14
    bad = certified(problem._replace(params=jl.Params(w * (1 + 1e-6), b)))
    assert bad.change > 1e-9
    # Half the square of the decrement is how far the cost is above its minimum.
    # Both costs are rounded to a double.
    assert_close(bad.cost - good.cost, bad.decrement**2 / 2, 2.3e-16 * good.cost)


X = np.array([[-2.0, -1.0, 1.0, 2.0], [1.0, -1.0, 1.0, -1.0]])
Y, SOFT = np.array([[[0.0, 0.0, 1.0, 1.0]], [[0.0, 0.0, 1.0, 0.9]]])
FREE = np.array([[0.0], [1.0]])  # the feature that separates


@pytest.mark.parametrize(
    ("separated", "w", "y", "options"),
    [
        (True, 1.0, Y, {}),
        (False, 1.0, Y, {"l2": 0.1}),
        (True, 1.0, Y, {"l2": FREE}),
        (False, 1.0, Y, {"l2": FREE[::-1]}),
        (False, 1.0, SOFT, {}),
        (True, 1.0, SOFT, {"weight": np.array([[1.0, 1.0, 1.0, 0.0]])}),
        # An offset that classifies everything proves nothing about the parameters.
        (False, 0.0, Y, {"offset": np.array([[-9.0, -9.0, 9.0, 9.0]])}),
    ],
)
def test_separation_is_proved_from_the_unpenalized_part(separated, w, y, options):
    params = jl.Params(np.array([[w], [0.0]]), np.zeros((1, 1)))
    result = jl.certificate(SimpleNamespace(params=params), X, y, **options)
    assert result.separated == separated


def test_a_singular_hessian_has_an_infinite_decrement():
    problem = make_problem((1, 4), np.float64, "zero start", l2=0.0)
    assert certified(problem._replace(X=0 * problem.X)).decrement == np.inf


def test_blocks_and_designs_make_no_difference(monkeypatch):
    problem = make_problem((3, 64), np.float64, seed=3)
    whole = certified(problem)
    plain = jl.Standardized(problem.X, np.zeros((3, 1)), np.ones((3, 1)))
    monkeypatch.setattr(long_sums, "BLOCK", 7)
    for other in (problem, problem._replace(X=plain)):
        assert_close(certified(other)[:4], whole[:4], 1e-14 * np.abs(whole[:4]))


def test_it_imports_nothing_of_the_solvers():
    source = inspect.getsource(inspect.getmodule(jl.certificate))
    for name in ("solvers", "formulations", "fitting", "losses"):
        assert f"jlogreg.{name}" not in source
