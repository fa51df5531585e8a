"""Conjugate gradients against the textbook's own loop, iterate by iterate."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jlogreg import NewtonCG, Status
from jlogreg.solvers import newton_cg as module
from jlogreg.solvers.conjugate_gradients import (
    Iterate,
    Solved,
    conjugate_gradients,
    is_unfinished,
    max_inner_iterations,
    solved_by,
)
from jlogreg.solvers.line_search import Trial
from tests.helpers import assert_close
from tests.oracles.step_decisions import falls_enough, shorter_step
from tests.oracles.toy_objective import Toy, positive_definite

EPS, INF = float(np.finfo(float).eps), math.inf
K = 5
INNER = 0.3  # of the residual is left by the first steps


@partial(jax.jit, static_argnums=4)
def found(matrix, right, inverse, tolerance, most):
    return conjugate_gradients(
        lambda v: matrix @ v, right, lambda v: inverse @ v, tolerance, most
    )


def textbook(matrix, right, inverse):
    """Return the iterates of Nocedal and Wright's algorithm 5.3, and rT M^-1 r."""
    x, r = np.zeros_like(right), -right
    y = inverse @ r
    p, sizes, iterates = -y, [(r.T @ y).item()], [x]
    for _ in range(len(right)):
        step = sizes[-1] / (p.T @ matrix @ p).item()
        x, r = x + step * p, r + step * matrix @ p
        y = inverse @ r
        sizes.append((r.T @ y).item())
        p = -y + sizes[-1] / sizes[-2] * p
        iterates.append(x)
    return iterates, sizes


def system(seed):
    """Return a system and a preconditioner that is none too good."""
    matrix, random = positive_definite(seed, K)
    inverse = np.linalg.inv(matrix + np.diag(random.uniform(1, 3, K)))
    return matrix, random.standard_normal((K, 1)), (inverse + inverse.T) / 2


@pytest.mark.parametrize("most", range(K))
def test_each_iterate_is_the_textbooks(most):
    for seed in range(4):
        matrix, right, inverse = system(seed)
        iterates, sizes = textbook(matrix, right, inverse)
        here = found(matrix, right, inverse, 1e-30, most)
        # A few roundings in each iteration, and the condition, below 1e4.
        size = np.abs(iterates[-1]).max()
        assert_close(here.x, iterates[most], 1e4 * K**2 * EPS * size)
        assert not here.reached
        assert not here.stuck
        if most and sizes[most] >= min(sizes[:most]):
            continue  # it may rise on the way
        # The size of the residual that is left, to a part in a million, is the border.
        for part, due in ((1 - 1e-6, False), (1 + 1e-6, True)):
            tolerance = part * math.sqrt(sizes[most] / sizes[0])
            assert found(matrix, right, inverse, tolerance, most).reached == due


@pytest.mark.parametrize("power", [-900, -600, -400, 400, 600])
def test_the_size_of_the_right_hand_side_changes_nothing(power):
    """Not a bit, for powers of four; the squares of it underflow, or overflow."""
    matrix, *rest = system(0)
    negative = -np.arange(float(K))[:, None]  # with a zero
    for right, inverse in (rest, (negative, 2 * np.eye(K))):
        due = found(matrix, right, inverse, 1e-10, 2 * K)
        scaled = found(matrix, right * 2.0**power, inverse, 1e-10, 2 * K)
        np.testing.assert_array_equal(scaled.x, due.x * 2.0**power)
        assert due.reached
        assert scaled.reached


@pytest.mark.parametrize("power", [-400, 400])
def test_the_units_of_the_map_change_nothing(power):
    matrix, right, inverse = system(1)
    due = found(matrix, right, inverse, 1e-10, 2 * K)
    scale = 2.0**power
    other = found(matrix * scale, right * scale, inverse / scale, 1e-10, 2 * K)
    np.testing.assert_array_equal(other.x, due.x)
    assert other.reached


def test_a_map_without_curvature_is_where_it_gets_stuck():
    """At once along the way down; later, where it was."""
    flat, right, unit = np.zeros((2, 2)), np.array([[1.0], [2.0]]), np.eye(2)
    once = found(flat, right, 3 * unit, 1e-9, 9)
    assert_close(once.x, 3 * right, 4 * EPS * 3 * right)
    assert once.stuck
    tiny = float(np.finfo(float).tiny) / EPS
    for part in (1 - 1e-6, 1, 1 + 1e-6):  # the border of what counts as curvature
        here = found(part * tiny * unit, right, unit, 1e-9, 9)
        assert here.stuck == (part <= 1)
    partly = np.diag([1.0, 0.0])
    later = found(partly, np.ones((2, 1)), unit, 1e-9, 9)
    assert later.stuck
    assert not later.reached
    # One iteration of rTr / rTAr = 2; the next search is along the second axis.
    np.testing.assert_array_equal(later.x, [[2.0], [2.0]])


def iterate(size, first, unit=2.0, iterations=0, stuck=False):
    column = jnp.ones((2, 1))
    rest = map(jnp.asarray, (size, first, iterations, stuck, unit))
    return Iterate(column, column, column, *rest)


def test_it_goes_on_while_all_say_so():
    for size, iterations, stuck, due in [
        (0.25, 3, False, False),  # reached, to the border
        (0.26, 3, False, True),
        (0.26, 4, False, False),
        (0.26, 3, True, False),
    ]:
        now = iterate(size, 1.0, iterations=iterations, stuck=stuck)
        assert is_unfinished(now, 0.5, 4) == due
        assert solved_by(now, 0.5).reached == (size <= 0.25)
    assert not is_unfinished(iterate(math.nan, 1.0), 0.5, 4)
    assert [max_inner_iterations(k) for k in (1, 5, 119, 120, 121)] == [
        12,
        20,
        248,
        250,
        250,
    ]


def test_the_inner_tolerance_falls_with_the_root_of_the_gradients_size():
    no = jnp.zeros((), bool)
    for size, small, due in [
        (4.0, False, INNER),
        (1e-4, False, 1e-2),
        (1e-4, True, INNER),
    ]:
        trial = Trial(no, no, jnp.asarray(small), no, jnp.zeros(()))
        tolerance = module._tolerance(iterate(0.0, (size / 2) ** 2), trial)
        assert_close(tolerance, due, 4 * EPS)


@pytest.mark.parametrize("reached", [False, True])
@pytest.mark.parametrize("stuck", [False, True])
@pytest.mark.parametrize("singular", [False, True])
def test_a_direction_is_minus_the_solution(reached, stuck, singular):
    x = jnp.array([[1.0], [-2.0]])
    solved = Solved((x, None), jnp.asarray(reached), jnp.asarray(stuck))
    gradient = jnp.array([[3.0], [-3.0]])
    new = module._direction(solved, gradient, jnp.asarray(singular))
    np.testing.assert_array_equal(new.vector, -x)
    assert new.decrement == 3  # the root of xT g
    assert new.singular == (singular or stuck)
    assert new.solved == (reached or stuck)
    assert module._direction(solved, -gradient, jnp.asarray(singular)).decrement == 0


def parts(kind, A, c):
    """Return value, gradient and curvature of the toys of test_solvers, in NumPy."""

    def look(p):
        x = A @ (p - c)
        if kind == 1:
            value = np.logaddexp(x, -x) - np.log(2)
            slope, bend = np.tanh(x), 1 - np.tanh(x) ** 2
        else:
            root = np.sqrt(1 + x**2)
            value, slope, bend = root - 1, x / root, root**-3.0
        return 1 + value.sum(), A.T @ slope, (A.T * bend[:, 0]) @ A

    return look


def by_hand(toy, start, inverse, most):
    """Return after each pass the steps, whether a trial is next, the size, the point.

    And the way that the next trial goes. A pass is a trial, or one iteration that
    solves for the next; a step counts when its end is known. It ends before roundings
    matter.
    """
    look = parts(*toy)
    zero = look(np.zeros_like(start))[0]
    p, way, size, steps = start, np.zeros_like(start), 1.0, -1
    value, fall = None, 0.0
    while steps < 1 or size != 1 or not 0 < fall < 1e-9:
        found, g, H = look(p + size * way)
        row = {"value": value, "found": found, "slope": (g.T @ (size * way)).item()}
        if steps >= 0 and not falls_enough(row, size * fall):
            size = size * shorter_step({**row, "size": size}, size * fall)
            steps += 1
            yield steps, True, size, p, way
            continue
        p, value, size = p + size * way, found, 1.0
        if steps < 0 and value > zero + 64 * EPS * abs(zero):
            way, fall = -p, 0.0
        else:
            iterates, sizes = textbook(H, g, inverse)
            tolerance = min(INNER, sizes[0] ** 0.25)
            reached = [left <= tolerance**2 * sizes[0] for left in sizes]
            count = min([*np.flatnonzero(reached), most])
            for _ in range(count):
                yield steps, False, size, p, way
            way = -iterates[min(count, most)]
            fall = -(way.T @ g).item()
        steps += 1
        yield steps, True, size, p, way


@partial(jax.jit, static_argnums=3)
def one_pass(toy, inverse, state, most):
    del most  # it is compiled once for each
    objective = Toy(*toy).objective(matrix_free=True)
    solver = NewtonCG()
    objective = objective._replace(precondition=lambda g: inverse @ g)
    if state is None:
        return solver.init(objective, jnp.zeros((K, 1)))
    return solver.step(objective, state)


SEARCHES = [(1, 0.3, K), (1, 1.0, K), (2, 0.3, K), (2, 3.0, K), (2, 3.0, 2)]


@pytest.mark.parametrize(("kind", "reach", "most"), SEARCHES)
def test_each_pass_is_a_trial_or_an_iteration_of_the_textbooks(
    kind, reach, most, monkeypatch
):
    if most < K:
        monkeypatch.setattr(module, "max_inner_iterations", lambda k: most + k - K)
    cut = jumped = False
    for seed in range(4):
        random = np.random.default_rng(seed)
        A, root = positive_definite(seed, K)[0] / 3, random.standard_normal((K, K))
        toy = kind, A, random.uniform(-2, 2, (K, 1))
        inverse = np.eye(K) + root @ root.T / K
        start = toy[2] + random.uniform(-reach, reach, (K, 1))
        state = one_pass(toy, inverse, None, most)._replace(point=start)
        for steps, trying, size, point, way in by_hand(toy, start, inverse, most):
            assert state.status == Status.MAX_STEPS
            state = one_pass(toy, inverse, state, most)
            assert (state.steps, state.memory.trying) == (steps, trying)
            # Roundings grow by the condition, below 1e4, in each of a few steps.
            few = 1e7 * EPS * (1 + np.abs(point).max() + np.abs(way).max())
            assert_close(state.step_size, size, few)
            assert_close(state.point, point, few)
            if trying:
                assert_close(state.direction.vector, way, few)
                assert_close(state.memory.change, way.T, few)
            cut |= size < 1
            jumped |= trying and steps == 0 and np.array_equal(way, -point)
        for _ in range(4 * K):
            if state.status == Status.MAX_STEPS:
                state = one_pass(toy, inverse, state, most)
        assert state.status == Status.CONVERGED or most < K
    assert cut == jumped == (reach > 0.5)


@pytest.mark.parametrize(("part", "accept"), [(0.9, True), (1.1, False)])
def test_the_slope_of_a_trial_is_along_its_whole_step(part, accept):
    """Where the value says nothing; of a point that the gradient there tells."""
    objective = Toy(1, np.eye(K), np.zeros((K, 1))).objective(matrix_free=True)
    solver, fall = NewtonCG(), 2.0**-30
    state = solver.init(objective, jnp.zeros((K, 1)))
    state = state._replace(
        evaluation=state.evaluation._replace(value=jnp.asarray(1.0)),
        direction=state.direction._replace(vector=jnp.full((K, 1), 4.0)),
        step_size=jnp.asarray(0.5),
        predicted_decrease=jnp.asarray(fall),
        steps=jnp.asarray(3),
    )

    def look(vector, change, curvature, trying):
        slope = jnp.full((K, 1), part * fall / 4 / (2.0 * K))  # half of what is left
        found = state.evaluation._replace(gradient=slope)
        return found, vector.T

    after = solver.step(objective._replace(evaluate_or_multiply=look), state)
    assert (after.point[0, 0] == 2) == accept
    assert after.memory.trial.accept == accept
