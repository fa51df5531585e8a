"""Runs of the solvers on toys, and their states.

Each run goes down to the minimum, and each status says what is true.
"""

import math
import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jlogreg as jl
from jlogreg import Status
from jlogreg.solvers import driver, line_search
from jlogreg.solvers.conjugate_gradients import max_inner_iterations
from tests.helpers import EPS, assert_close, same_bits, stack
from tests.oracles.toy_objective import TOL, K, Toy, evaluation, make_toy, take_steps

SOLVERS = {
    "newton": lambda _: jl.Newton(),
    "newton_cg": lambda _: jl.NewtonCG(),
    "sgd": lambda rate: jl.Optax(optax.sgd(rate)),
    "lbfgs": lambda _: jl.LBFGS(),
    "optax": lambda _: jl.Optax(optax.lbfgs()),
}
NEWTONS = pytest.mark.parametrize("name", ["newton", "newton_cg"])
OWN = pytest.mark.parametrize("name", ["newton", "newton_cg", "lbfgs"])
# optax itself promotes its step count.
PROMOTION = jax.numpy_dtype_promotion("standard")


def solver_and_objective(name, rate, toy):
    return SOLVERS[name](rate), Toy(*toy).objective(matrix_free=name != "newton")


@partial(jax.jit, static_argnums=0)
def one_pass(name, rate, toy, state):
    """Return the state after a pass; if there is none, the state before the first."""
    solver, objective = solver_and_objective(name, rate, toy)
    if state is None:
        return solver.init(objective, jnp.zeros((K, 1)))
    return solver.step(objective, state)


@partial(jax.jit, static_argnums=0)
def run(name, rate, toy, start, max_steps):
    return driver.minimize(*solver_and_objective(name, rate, toy), start, max_steps)


@partial(jax.jit, static_argnums=(0, 5))
def continue_run(name, rate, toy, state, max_steps, passes=None):
    problem = solver_and_objective(name, rate, toy)
    return driver.run_solver(*problem, state, max_steps, passes)


def first_state(name, rate, toy, start, status=Status.MAX_STEPS):
    state = one_pass(name, rate, toy, None)
    return state._replace(point=start, status=np.int32(status))


def steps_of(name, rate, toy, start):
    state = first_state(name, rate, toy, start)
    return list(take_steps(partial(one_pass, name, rate, toy), state))


@jax.jit
def derivatives(toy, point):
    return toy.value(point), toy.gradient(point), toy.hessian(point)


RUNS = [*((name, 0.1) for name in SOLVERS), ("sgd", 1e3)]  # far too fast


@pytest.mark.parametrize(("name", "rate"), RUNS)
@PROMOTION
def test_solvers_go_down_to_the_minimum_of_anything_convex(name, rate):
    newton, accepted = name.startswith("newton"), set()
    own = newton or name == "lbfgs"
    for seed in range(6):
        toy, start = make_toy(seed, seed % 3)
        steps = steps_of(name, rate, toy, start)
        states = [step.after for step in steps]
        values = np.array([state.evaluation.value for state in states])
        few = line_search.VALUE_ROUNDINGS * EPS * np.abs(values[:-1])
        assert (np.diff(values) <= few).all()
        assert states[0].steps == 0
        assert values[-1] < values[0]
        assert len(states) <= (40 if own else 2000)
        most = 1 + max_inner_iterations(K) if name == "newton_cg" else 1
        assert max(step.passes for step in steps) <= most
        accepted |= {bool(state.step_size == 1) for state in states if newton}
        assert states[-1].status == Status.CONVERGED
        # Near the minimum p is |H^-1 g| from it: at most |H^-1| |g|, where descents
        # end, or sqrt(|H^-1| gT H^-1 g), which Newton's last step made smaller still.
        hessian = derivatives(toy, states[-1].point)[2]
        norm = np.linalg.norm(np.linalg.inv(hessian), 2)
        far = np.sqrt(norm) * TOL if own else norm * np.sqrt(TOL)
        assert np.linalg.norm(states[-1].point - toy.c) <= 2 * far
    assert accepted == ({True, False} if newton else set())


@NEWTONS
@PROMOTION
def test_a_status_other_than_converged_says_why_there_is_no_minimum(name):
    toy, start = make_toy(1, 0)
    flat = np.diag(np.minimum(np.arange(K), 1.0))  # no curvature along one axis
    for case, status in [
        (toy._replace(A=flat), Status.SINGULAR),
        (toy._replace(kind=3), Status.DIVERGED),
        (toy._replace(c=toy.c * np.nan), Status.NONFINITE),
    ]:
        after = steps_of(name, 0.1, case, start)[-1].after
        assert after.status == status
        value, gradient, _ = derivatives(case, after.point)
        if status == Status.SINGULAR:  # one of many minima
            assert np.abs(gradient).max() <= TOL
        if status == Status.DIVERGED:  # the infimum, which is 1, is at infinity
            assert value - 1 < TOL
            assert after.evaluation.n_large_moves > 0


@PROMOTION
@pytest.mark.parametrize("name", ["newton", "newton_cg", "lbfgs", "sgd"])
def test_a_run_ends_with_its_steps_or_its_status(name):
    toy, start = make_toy(1, 1)
    states = [step.after for step in steps_of(name, 0.1, toy, start)]
    last = len(states) - 1
    for max_steps in (0, 1, 3, last, last + 10):
        result = run(name, 0.1, toy, start, max_steps)
        expected = states[min(max_steps, last)]
        assert result.steps == expected.steps == min(max_steps, last)
        assert result.status == expected.status
        # Compiled in another order: a few hundred roundings for each of a few steps.
        assert_close(result.point, expected.point, 1e4 * EPS * np.abs(start).max())
    for status in set(Status) - {Status.MAX_STEPS}:
        state = first_state(name, 0.1, toy, start, status)
        result = continue_run(name, 0.1, toy, state, 100)
        np.testing.assert_array_equal(result.point, start)
        assert (result.steps, result.status) == (-1, status)


@PROMOTION
@OWN
def test_a_run_in_parts_is_the_whole_run(name):
    toy, start = make_toy(1, 1)
    expected = run(name, 0.1, toy, start, 100)
    states = [first_state(name, 0.1, toy, start)]
    while driver.unfinished(states[-1], 100):
        states.append(continue_run(name, 0.1, toy, states[-1], 100, 3))
    end = states[-1]
    assert (end.steps, end.status) == (expected.steps, expected.status)
    assert_close(end.point, expected.point, 1e4 * EPS * np.abs(start).max())
    taken = np.diff([int(state.steps) for state in states])
    if name != "newton_cg":  # whose steps are passes
        assert (taken[:-1] == 3).all()
    assert (taken <= 3).all()
    assert len(states) > 3
    assert same_bits(continue_run(name, 0.1, toy, end, 100, 3), end)


@PROMOTION  # as above, or it would compile again
@OWN
def test_finished_problems_stay_as_they_are_in_a_batch(name):
    toy, start = make_toy(2, 1)
    status = np.array([Status.MAX_STEPS, Status.BAD_INPUT, Status.MAX_STEPS], np.int32)
    pairs = zip([start, start, toy.c], status, strict=True)
    states = stack(*(first_state(name, 0.1, toy, *pair) for pair in pairs))
    batch = jax.jit(jax.vmap(lambda state: continue_run(name, 0.1, toy, state, 50)))
    result = batch(states)
    assert result.status.tolist() == [0, Status.BAD_INPUT, 0]
    np.testing.assert_array_equal(result.point[1], start)
    assert result.steps[1] == -1
    assert result.steps[0] > result.steps[2] >= 1
    alone = run(name, 0.1, toy, start, 50)
    np.testing.assert_array_equal(result.steps[0], alone.steps)


def make_objective(columns):
    """Return a parabola whose curvature has some number of columns."""

    def evaluate(point, step):
        return evaluation(jnp.sum(point**2), 2 * point, jnp.ones((2, columns)))

    def newton_direction(evaluation, inspected):
        rest = map(jnp.asarray, (0.25, False, True, 0.0))
        factor = (evaluation.curvature,)
        return driver.Direction(-evaluation.gradient / 2, *rest, factor)

    return driver.DenseObjective(evaluate, newton_direction, jnp.asarray(0.0), 2.0**-20)


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("keep_factor", [True, False])
def test_a_state_keeps_no_hessian_and_a_factor_if_asked(columns, keep_factor):
    """A row of curvatures is kept: it is no larger than the samples' other rows."""
    objective, solver = make_objective(columns), jl.Newton(keep_factor)
    state = solver.init(objective, jnp.full((2, 1), 3.0))
    for _ in range(3):
        assert (state.evaluation.curvature is None) == (columns > 1)
        assert (state.direction.factor is not None) == keep_factor
        state = solver.step(objective, state)
    assert state.steps == 2
    np.testing.assert_array_equal(state.point, np.zeros((2, 1)))
    assert jl.Newton().keep_factor


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_first_state_knows_nothing_but_its_start(dtype):
    start, objective = jnp.asarray([[1.0], [2.0]], dtype), make_objective(1)
    shapes = jax.eval_shape(objective.evaluate, start, start)
    factor = jax.eval_shape(
        objective.newton_direction, shapes, jnp.ones((), bool)
    ).factor
    state = driver.first_state(shapes, start, factor=factor, memory="mine")
    np.testing.assert_array_equal(state.point, start)
    assert state.evaluation.value == state.direction.decrement == math.inf
    assert (state.steps, state.status) == (-1, Status.MAX_STEPS)
    assert (state.step_size, state.predicted_decrease, state.memory) == (1, 0, "mine")
    zeros = [
        *(state.evaluation[1:], state.direction.vector, state.direction.singular),
        *(state.direction.solved, state.direction.factor),
    ]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(zeros))
    for leaf in (state.step_size, state.predicted_decrease, state.direction.decrement):
        assert (leaf.dtype, leaf.shape) == (dtype, ())
    assert state.steps.dtype == state.status.dtype == np.int32
    assert driver.first_state(shapes, start).memory is None


def test_there_is_one_loop_that_does_not_know_its_end():
    loops = re.compile(r"\b(while_loop|fori_loop|while_p)\b")
    sources = Path(jl.__file__).parent.rglob("*.py")
    counts = {path.name: len(loops.findall(path.read_text())) for path in sources}
    assert {name: count for name, count in counts.items() if count} == {"driver.py": 1}
