"""Solvers find minima and know nothing of the model; their linear algebra is right."""

import ast
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jlogreg
from jlogreg import Newton, NewtonCG, Optax, Status
from jlogreg.solvers.cholesky import factorize
from jlogreg.solvers.conjugate_gradients import (
    conjugate_gradients,
    max_inner_iterations,
)
from jlogreg.solvers.driver import (
    minimize,
    run_solver,
    unfinished,
)
from jlogreg.solvers.line_search import VALUE_ROUNDINGS
from tests.helpers import assert_close
from tests.oracles.toy_objective import TOL, K, Toy, positive_definite

EPS = float(np.finfo(float).eps)
SOME = settings(max_examples=settings.default.max_examples // 2)
seeds = st.integers(0, 2**32 - 1)
SIZES = pytest.mark.parametrize("k", [K, 12])  # written out, and by LAPACK


@jax.jit
def factor_of(matrix, right):
    factor = factorize(matrix)
    return factor.solve(right), factor.singular, factor


@SIZES
@SOME
@given(seeds, st.integers(0, 150))
def test_a_factor_solves_in_any_units(k, seed, reach):
    unit, random = positive_definite(seed, k)
    scale = 10.0 ** random.integers(-reach // 2, reach // 2 + 1, (k, 1))
    right = scale * random.standard_normal((k, 2))
    found, singular, _ = factor_of(unit * scale * scale.T, right)
    due = np.linalg.solve(unit, right / scale)
    # Cholesky's method errs by 4 k^2 eps times the condition, and so does NumPy's;
    # scaling rounds each entry of the matrix, here and there, a few times.
    inverse = np.abs(np.linalg.inv(unit))
    few = 8 * k**2 * EPS * inverse @ np.abs(unit) @ inverse @ np.abs(right / scale)
    assert_close(found * scale, due, few)
    assert not singular


@SIZES
@SOME
@given(seeds)
def test_a_factor_is_the_same_in_units_of_powers_of_two(k, seed):
    """Of four, rather: square roots of odd powers are rounded."""
    unit, random = positive_definite(seed, k)
    scale = 4.0 ** random.integers(-100, 100, (k, 1))
    right = random.standard_normal((k, 2))
    found, _, factor = factor_of(unit, right)
    other, _, scaled = factor_of(unit * scale * scale.T, scale * right)
    np.testing.assert_array_equal(other * scale, found)
    np.testing.assert_array_equal(scaled.L, factor.L)


def without_news(seed, fault, k):
    """Return a system of collinear columns, and whether they are."""
    random = np.random.default_rng(seed)
    columns = random.standard_normal((3 * k, k)).astype(np.longdouble)
    i, j, other = random.permutation(k)[:3]
    combinations = {"twice": [(j, 1.0)], "sum": [(j, 1.0), (other, -0.3)], "zero": []}
    if fault != "none":
        columns[:, i] = sum(part * columns[:, at] for at, part in combinations[fault])
    columns *= 10.0 ** random.integers(-6, 7, k)  # units
    matrix = (columns.T @ columns).astype(float)  # rounded once
    right = (columns.T @ random.standard_normal((3 * k, 1))).astype(float)
    return matrix, right, fault != "none"


FAULTS = ["twice", "zero", "sum", "none"]


@SIZES
@SOME
@given(seeds, st.sampled_from(FAULTS))
def test_columns_without_news_are_singular(k, seed, fault):
    matrix, right, due = without_news(seed, fault, k)
    found, singular, _ = factor_of(matrix, right)
    assert singular == due
    # The right-hand side is in the range, so that a solution is still found: to the
    # roundings that were added to the diagonal.
    size = np.sqrt(np.diag(matrix))[:, None]
    within = 64 * k**2 * EPS * size * (size.T @ np.abs(found))
    assert_close(matrix @ found, right, within + 64 * k**2 * EPS * np.abs(right))


factors_of = jax.jit(jax.vmap(factor_of))


@SIZES
@pytest.mark.parametrize("faults", [["none"] * 4, FAULTS])
def test_factors_of_a_batch_are_those_one_by_one(k, faults):
    """Also where some are singular: the others do not see it."""
    systems = [without_news(seed, fault, k) for seed, fault in enumerate(faults)]
    matrices, rights, due = (np.stack(rows) for rows in zip(*systems, strict=True))
    _, singular, factors = factors_of(matrices, rights)
    np.testing.assert_array_equal(singular, due)
    for lane, (matrix, right, _) in enumerate(systems):
        alone = factor_of(matrix, right)[2]
        L = np.asarray(factors.L[lane])
        # Each factor is that of the matrix, and of the same little more, to roundings.
        few = 4 * (k + 1) * EPS * np.abs(L) @ np.abs(L).T
        assert_close(L @ L.T, np.asarray(alone.L @ alone.L.T), 2 * few)
        np.testing.assert_array_equal(factors.scale[lane], alone.scale)


def conjugated(matrix, right, inverse, tolerance, most):
    def multiply(vector):
        return matrix @ vector

    return conjugate_gradients(
        multiply, right, lambda vector: inverse @ vector, tolerance, most
    )


conjugated = jax.jit(conjugated)


@SOME
@given(seeds, st.integers(1, K), st.booleans())
def test_conjugate_gradients_solve_consistent_systems(seed, rank, exactly):
    """Of any rank: in exact arithmetic after as many iterations as the rank."""
    random = np.random.default_rng(seed)
    Q = np.linalg.qr(random.standard_normal((K, K)))[0][:, :rank]
    matrix = (Q * 10.0 ** random.uniform(-1, 1, rank)) @ Q.T
    due = Q @ random.standard_normal((rank, 1))
    inverse = np.linalg.pinv(matrix, rcond=1e-10) if exactly else np.eye(K)
    inverse = inverse + exactly * (np.eye(K) - Q @ Q.T)
    found = conjugated(matrix, matrix @ due, inverse, 1e-13, 4 * K).x
    # The condition, at most 100, times what is left of the residual and the roundings.
    assert_close(found, due, 400 * (1e-13 + 16 * K * EPS) * np.linalg.norm(due))


def test_conjugate_gradients_stop_where_there_is_nothing_to_do():
    matrix, random = positive_definite(0)
    right, unit = random.standard_normal((K, 1)), np.eye(K)
    # Nothing on the right; no iteration; no curvature, and so the way down.
    for argument, most, due, reached, stuck in [
        ((matrix, 0 * right, unit), 9, 0 * right, True, False),
        ((matrix, right, unit), 0, 0 * right, False, False),
        ((0 * matrix, right, 2 * unit), 9, 2 * right, False, True),
    ]:
        found = conjugated(*argument, 1e-13, most)
        np.testing.assert_allclose(found.x, due, rtol=4 * EPS, atol=0)
        assert (found.reached, found.stuck) == (reached, stuck)


@pytest.mark.parametrize("tolerance", [0.5, 0.1, 0.01])
def test_conjugate_gradients_stop_at_the_tolerance(tolerance):
    left = []
    for seed in range(40):
        matrix, random = positive_definite(seed)
        right = random.standard_normal((K, 1))
        found = conjugated(matrix, right, np.eye(K), tolerance, 9 * K)
        assert found.reached
        rest = right - matrix @ np.asarray(found.x)
        left.append(np.linalg.norm(rest) / np.linalg.norm(right))
    assert max(left) <= tolerance
    assert max(left) > tolerance / 10  # and not much later


SOLVERS = {
    "newton": lambda _: Newton(),
    "newton_cg": lambda _: NewtonCG(),
    "sgd": lambda rate: Optax(optax.sgd(rate)),
    "lbfgs": lambda _: Optax(optax.lbfgs()),
}


def search_of(name, rate, toy):
    return SOLVERS[name](rate), Toy(*toy).objective(matrix_free=name != "newton")


@partial(jax.jit, static_argnums=0)
def one_pass(name, rate, toy, state):
    """Return the state after a pass; after none, where there is no state yet."""
    solver, objective = search_of(name, rate, toy)
    if state is None:
        return solver.init(objective, jnp.zeros((K, 1)))
    return solver.step(objective, state)


@partial(jax.jit, static_argnums=0)
def run(name, rate, toy, start, max_steps):
    return minimize(*search_of(name, rate, toy), start, max_steps)


@partial(jax.jit, static_argnums=(0, 5))
def proceed(name, rate, toy, state, max_steps, passes=None):
    return run_solver(*search_of(name, rate, toy), state, max_steps, passes)


def toy_of(seed, kind):
    """Return a toy, and a start where it is not yet flat."""
    random = np.random.default_rng(seed)
    Q = np.linalg.qr(random.standard_normal((K, K)))[0]
    A = (Q * 10.0 ** random.uniform(-0.4, 0.4, K)) @ Q.T
    c, x = random.uniform(-2, 2, (K, 1)), random.uniform(-3, 3, (K, 1))
    return kind, A, c, c + np.linalg.solve(A, x)


def begun(name, rate, toy, start, status=Status.MAX_STEPS):
    """Return the state before the first look."""
    state = one_pass(name, rate, toy, None)
    return state._replace(point=start, status=np.int32(status))


def passes_by_hand(name, rate, toy, start, most=2000):
    """Return all the states until the solver is done."""
    state = begun(name, rate, toy, start)
    while state.status == Status.MAX_STEPS and state.steps < most:
        state = one_pass(name, rate, toy, state)
        yield state


def at_their_ends(states):
    """Return the state at the end of each step: some take many passes."""
    ends = {}
    for state in states:
        if state.steps >= 0:
            ends.setdefault(int(state.steps), state)
    return [*ends.values()]


@jax.jit
def hessian_of(toy, point):
    return jax.hessian(Toy(*toy).value)(point)[:, 0, :, 0]


RUNS = [*((name, 0.1) for name in SOLVERS), ("sgd", 1e3)]  # far too fast


@pytest.mark.parametrize(("name", "rate"), RUNS)
@jax.numpy_dtype_promotion("standard")  # optax itself promotes its step count
def test_solvers_go_down_to_the_minimum_of_anything_convex(name, rate):
    newton = name in ("newton", "newton_cg")
    for seed in range(6):
        *toy, start = toy_of(seed, seed % 3)
        passes = list(passes_by_hand(name, rate, toy, start))
        states = at_their_ends(passes)
        values = np.array([state.evaluation.value for state in states])
        assert (np.diff(values) <= VALUE_ROUNDINGS * EPS * np.abs(values[:-1])).all()
        assert [int(state.steps) for state in states] == list(range(len(states)))
        assert values[-1] < values[0]
        assert len(states) <= (40 if newton else 2000)
        many = 1 + max_inner_iterations(K) if name == "newton_cg" else 1
        assert len(passes) <= many * len(states)
        assert states[-1].status == Status.CONVERGED
        # Near the minimum p is |H^-1 g| from it: at most |H^-1| |g|, where descents
        # end, or sqrt(|H^-1| gT H^-1 g), which Newton's last step made smaller still.
        reach = np.linalg.norm(np.linalg.inv(hessian_of(toy, states[-1].point)), 2)
        far = np.sqrt(reach) * TOL if newton else reach * np.sqrt(TOL)
        assert np.linalg.norm(states[-1].point - toy[2]) <= 2 * far


@jax.numpy_dtype_promotion("standard")
@pytest.mark.parametrize("name", ["newton", "newton_cg", "sgd"])
def test_the_driver_stops_when_it_should(name):
    *toy, start = toy_of(1, 1)
    by_hand = list(passes_by_hand(name, 0.1, toy, start))
    last = int(by_hand[-1].steps)
    for most in (0, 1, 3, last, last + 10):
        found = run(name, 0.1, toy, start, most)
        # The first state with so many steps, or the end.
        due = next((now for now in by_hand if now.steps == most), by_hand[-1])
        assert found.steps == due.steps == min(most, last)
        assert found.status == due.status
        # Compiled in another order: a few hundred roundings for each of a few steps.
        assert_close(found.point, due.point, 1e4 * EPS * np.abs(start).max())
    for status in set(Status) - {Status.MAX_STEPS}:
        state = begun(name, 0.1, toy, start, status)
        found = proceed(name, 0.1, toy, state, 100)
        np.testing.assert_array_equal(found.point, start)
        assert (found.steps, found.status) == (-1, status)


@jax.numpy_dtype_promotion("standard")
@pytest.mark.parametrize("name", ["newton", "newton_cg"])
def test_a_search_in_parts_is_the_search_at_once(name):
    *toy, start = toy_of(1, 1)
    due, state = run(name, 0.1, toy, start, 100), begun(name, 0.1, toy, start)
    states = [state]
    while unfinished(state, 100):
        state = proceed(name, 0.1, toy, state, 100, 3)
        states.append(state)
    assert (state.steps, state.status) == (due.steps, due.status)
    assert_close(state.point, due.point, 1e4 * EPS * np.abs(start).max())
    taken = np.diff([int(state.steps) for state in states])
    if name == "newton":  # whose steps are passes
        assert (taken[:-1] == 3).all()
    assert (taken <= 3).all()
    assert len(states) > 3
    again = proceed(name, 0.1, toy, state, 100, 3)
    jax.tree.map(np.testing.assert_array_equal, again, state)


@jax.numpy_dtype_promotion("standard")  # as above, or it would compile again
@pytest.mark.parametrize("name", ["newton", "newton_cg"])
def test_lanes_stand_still_where_there_is_nothing_to_do(name):
    *toy, start = toy_of(2, 1)
    status = np.array([Status.MAX_STEPS, Status.BAD_INPUT, Status.MAX_STEPS], np.int32)
    starts = np.stack([start, start, toy[2]])
    states = [begun(name, 0.1, toy, *lane) for lane in zip(starts, status, strict=True)]
    states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    found = jax.jit(jax.vmap(lambda state: proceed(name, 0.1, toy, state, 50)))(states)
    assert found.status.tolist() == [0, Status.BAD_INPUT, 0]
    np.testing.assert_array_equal(found.point[1], start)
    assert found.steps[1] == -1
    assert found.steps[0] > found.steps[2] >= 1
    alone = run(name, 0.1, toy, start, 50)
    np.testing.assert_array_equal(found.steps[0], alone.steps)


def loops_of(tree):
    """Return the calls of lax.while_loop and lax.fori_loop by name or attribute."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name | ast.alias)
        and {getattr(node, key, None) for key in ("attr", "id", "name")}
        & {"while_loop", "fori_loop", "while_p"}
    ]


def test_there_is_one_loop_that_does_not_know_its_end():
    sources = sorted(Path(jlogreg.__file__).parent.rglob("*.py"))
    found = {path.name: len(loops_of(ast.parse(path.read_text()))) for path in sources}
    assert {name: count for name, count in found.items() if count} == {"driver.py": 1}
    planted = "from jax.lax import while_loop as go\nlax.fori_loop(0, 1, f, x)"
    assert len(loops_of(ast.parse(planted))) == 2
