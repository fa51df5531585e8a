"""Laws of every fit: it is the minimum, by any method and alone or among others."""

from functools import partial

import jax
import numpy as np
import optax
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import jlogreg as jl
from tests.helpers import (
    SHAPE,
    WIDE,
    Problem,
    assert_close,
    cost_and_gradient,
    entry,
    fit_problem,
    has_converged,
    make_problem,
    newton,
    newton_cg,
    problems,
    same_bits,
    seeds,
    slack,
    stack,
)
from tests.oracles.numpy_fit import (
    assert_minimum,
    assert_same_fit,
    gradient_slack,
)

SOME = settings(max_examples=settings.default.max_examples * 2 // 5)
float64s = partial(problems, dtypes=(np.float64,))
with jax.numpy_dtype_promotion("standard"):  # optax itself promotes its step count
    LBFGS = jl.Optax(optax.lbfgs())
lbfgs = jax.jit(partial(fit_problem, LBFGS))
mapped_newton = jax.jit(jax.vmap(partial(fit_problem, jl.Newton())))


@SOME
@given(float64s(shapes=[SHAPE]), seeds)
def test_the_gradient_is_0_and_no_other_point_costs_less(problem, seed):
    result = newton(problem)
    assume(has_converged(result))
    J, gradient = cost_and_gradient(result.params, problem)
    zero = np.zeros((SHAPE[0] + 1, 1))
    assert_close(np.vstack(gradient), zero, gradient_slack(problem, result.params))
    within = slack(problem._replace(params=result.params)).J
    assert_close(result.cost, J, within)
    random = np.random.default_rng(seed)
    for reach in (1e-6, 1e-3, 1.0, 100.0):
        away = (
            leaf * (1 + reach * random.standard_normal(leaf.shape))
            for leaf in result.params
        )
        other = problem._replace(params=jl.Params(*away))
        cost = cost_and_gradient(other.params, other)[0]
        assert cost - J >= -within - slack(other).J


@SOME
@given(float64s(shapes=[SHAPE]))
def test_all_solvers_find_the_minimum_of_newton(problem):
    expected = newton(problem)
    assume(has_converged(expected))
    assert_same_fit(newton_cg(problem), expected, problem, inexact=True)
    with jax.numpy_dtype_promotion("standard"):
        result = lbfgs(problem)
    if has_converged(result):
        assert_same_fit(result, expected, problem, inexact=True)


@SOME
@given(float64s(shapes=[WIDE], hazards=["plain", "soft labels"]))
def test_the_span_of_the_samples_holds_the_minimum(problem):
    problem = problem._replace(l2=np.maximum(problem.l2, 0.01))
    result = newton(problem)
    assume(has_converged(result))  # not with labels of one class
    # Products with the Gram matrix add up more, each of n terms, than w itself does.
    assert_minimum(result, problem, times=2 * sum(WIDE))
    assert_same_fit(newton_cg(problem), result, problem, inexact=True)


@SOME
@given(
    float64s(shapes=[SHAPE, WIDE]),
    st.integers(-3, 6),
    st.sampled_from([0, 1, 2, 100]),
    st.sampled_from([newton, newton_cg]),
)
def test_no_fit_costs_more_than_its_start(problem, reach, max_steps, solve):
    start = jax.tree.map(lambda leaf: leaf * 10.0**reach, problem.params)
    problem = problem._replace(params=start, l2=np.maximum(problem.l2, 1e-3))
    result = solve(problem, np.int32(max_steps))
    end = problem._replace(params=result.params)
    first, last = (cost_and_gradient(p.params, p)[0] for p in (problem, end))
    assert last <= first + slack(problem).J + slack(end).J
    assert result.steps <= max_steps


def four_problems(seed):
    kinds = zip(
        ["plain", "soft labels", "ill-scaled", "plain"], [0.01, 0, 1, 0], strict=True
    )
    return [
        jax.tree.map(np.array, make_problem(SHAPE, np.float64, hazard, seed + k, l2))
        for k, (hazard, l2) in enumerate(kinds)
    ]


@SOME
@given(seeds, st.integers(0, 3), st.sampled_from([None, np.nan, 1e200, -1.0, 0.0]))
def test_a_fit_in_a_vmap_is_the_fit_alone_whatever_its_neighbors(seed, k, planted):
    """To the bits it depends on its own problem only, whether others fail or not."""
    alone, others = four_problems(seed), four_problems(seed + 9)
    results = mapped_newton(stack(*alone))
    for i, problem in enumerate(alone):
        result, expected = entry(results, i), newton(problem)
        assert result.status == expected.status
        if has_converged(expected):
            assert_same_fit(result, expected, problem)
    if planted is not None:
        others[(k + 1) % 4] = jax.tree.map(
            lambda leaf: np.full_like(leaf, planted), others[(k + 1) % 4]
        )
    others[k] = alone[k]
    assert same_bits(entry(mapped_newton(stack(*others)), k), entry(results, k))


@SOME
@given(seeds, st.sampled_from([0.0, 1.0]))
def test_separated_samples_are_noticed_and_contradictions_have_a_minimum(seed, bias):
    """Ten samples separated by a margin, then the same with the other labels too."""
    random = np.random.default_rng(seed)
    w, X = random.standard_normal((SHAPE[0], 1)), random.standard_normal((SHAPE[0], 10))
    z = w.T @ X + bias * random.standard_normal()
    X = X + 0.1 * np.sign(z) * w / (w.T @ w)  # a margin
    y, zeros = (z > 0) * 1.0, np.zeros((1, 20))
    origin = jl.Params(0 * w, np.zeros((1, 1)))
    twice = np.hstack([X, X]), np.hstack([y, 1 - y]), zeros + 1, zeros, np.zeros(())
    contradictory = Problem(origin, *twice)
    once = contradictory._replace(weight=np.repeat([[1.0, 0.0]], 10, axis=1))
    assert newton(once).status == jl.Status.SEPARATED
    assert newton_cg(once).status == jl.Status.SEPARATED
    assert_minimum(newton(contradictory), contradictory, origin)
