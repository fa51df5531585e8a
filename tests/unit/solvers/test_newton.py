"""What a trial decides, and how a search ends: each rule against its own words.

Every combination of what a trial may be is one lane of a vmap, and beside it the same
decisions are taken by plain Python. Nothing is compiled as a whole, so that numbers on
a border are on it there and here.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jlogreg import Newton, Status
from jlogreg.solvers.driver import (
    DenseObjective,
    Direction,
    Evaluation,
    State,
    first_state,
    run_solver,
    where,
)
from jlogreg.solvers.line_search import Trial, rounding, set_direction, try_step
from tests.oracles.step_decisions import (
    EPS,
    INF,
    NAN,
    TOL,
    assert_every_case,
    falls_enough,
    shorter_step,
)


def evaluation(
    value, gradient=0.0, slope=0.0, n_moved=0.0, n_large_moves=0.0, separated=False
):
    column = jnp.full((2, 1), gradient)
    rest = map(jnp.asarray, (slope, n_moved, n_large_moves, separated))
    return Evaluation(jnp.asarray(value), column, None, *rest)


def direction(vector=1.0, decrement=1.0, singular=False, solved=True):
    rest = map(jnp.asarray, (decrement, singular, solved))
    return Direction(jnp.full((2, 1), vector), *rest, None)


def state_of(value=1.0, size=1.0, predicted_decrease=1.0, steps=3, **known):
    return State(
        point=jnp.full((2, 1), 5.0),
        evaluation=evaluation(value, gradient=7.0),
        direction=direction(**known),
        step_size=jnp.asarray(size),
        predicted_decrease=jnp.asarray(predicted_decrease),
        steps=jnp.asarray(steps),
        status=jnp.asarray(int(Status.MAX_STEPS)),
    )


def expected(row):
    """Return what comes of a trial, in words that Python has."""
    first, full = row["steps"] < 0, row["size"] == 1
    promised = row["size"] * row["fall"]
    accept = first or falls_enough(row, promised)
    full = accept and full and not first
    after = row["found"] if accept else row["value"]
    moved = row["moved"] if accept else 0
    return {
        "accept": accept,
        "size": 1.0 if accept else row["size"] * shorter_step(row, promised),
        "value": after,
        "gradient": 9.0 if accept else 7.0,
        "point": 5.0 + row["size"] * 3.0 if accept else 5.0,
        "reset_to_zero": first
        and not row["found"] <= row["zero"] + 64 * EPS * abs(row["zero"]),
        "within_tolerance": full
        and moved == 0
        and row["before"] <= TOL
        and row["solved"],
        "stalled": full
        and row["fall"] <= 64 * EPS * abs(row["value"])
        and not after < row["value"],
        "previous_decrement": row["before"],
        "steps": row["steps"] + 1,
    }


def what_comes_of(case):
    found = evaluation(
        case["found"], gradient=9.0, slope=case["slope"], n_moved=case["moved"]
    )
    state = state_of(
        *(case["value"], case["size"], case["fall"], case["steps"]),
        vector=3.0,
        decrement=case["before"],
        solved=case["solved"],
    )
    after, trial = try_step(case["zero"], TOL, state, found)
    assert after.direction is state.direction
    return {
        **trial._asdict(),
        "size": after.step_size,
        "value": after.evaluation.value,
        "gradient": after.evaluation.gradient[1, 0],
        "point": after.point[0, 0],
        "steps": after.steps,
    }


def test_a_large_step_is_taken_where_it_keeps_its_promise():
    """A ten-thousandth of the fall, to the border; or it is cut to the parabola's."""
    kept = 4.0 - 1e-4 * 2.0
    choices = {
        "value": [4.0],
        "found": [3.0, kept, math.nextafter(kept, 9.0), 4.0, 5.0, 9.0, 99.0, INF, NAN],
        "fall": [2.0, 4.0],
        "size": [1.0, 0.5],
        "steps": [-1, 0, 3],
        "slope": [-9.0, 9.0],
        "moved": [0.0, 1.0],
        "before": [TOL / 2, TOL, 2 * TOL],
        "solved": [True, False],
        "zero": [4.0],
    }
    due = assert_every_case(what_comes_of, choices, expected)
    assert len({row["size"] for row in due}) > 5
    for key in ("accept", "within_tolerance", "reset_to_zero"):
        assert {row[key] for row in due} == {True, False}


def test_near_the_minimum_the_slope_decides():
    near = math.sqrt(EPS)  # of a value of 1, the border of what is near
    choices = {
        "value": [1.0, -1.0, 2.0],
        "found": [1.0 - 1e-6, 1.0, 1.0 + EPS, -1.0, -1.0 + EPS, 2.0],
        "fall": [near, math.nextafter(near, 1.0), 64 * EPS, 65 * EPS, 0.0],
        "size": [1.0, 0.5],
        "steps": [-1, 1],
        "slope": [-1.0, 0.5 * near + EPS, 0.5 * near + 2 * EPS, 32.0 * EPS, 1.0],
        "moved": [0.0, 1.0],
        "before": [TOL / 2],
        "solved": [True],
        "zero": [1.0, 1.0 - 63 * EPS, 1.0 - 65 * EPS, -1.0],
    }
    due = assert_every_case(what_comes_of, choices, expected)
    for key in ("accept", "within_tolerance", "reset_to_zero", "stalled"):
        assert {row[key] for row in due} == {True, False}


def ending(row):
    """Return how a search ends, in words that Python has; and what comes next."""
    decrement, status = row["decrement"], Status.MAX_STEPS
    if row["jump"]:  # to zero, whatever else there is to say
        return {"status": status, "vector": -5.0, "decrement": INF, "fall": 0.0}
    if not (math.isfinite(row["value"]) and math.isfinite(decrement)):
        status = Status.NONFINITE
    elif row["unbounded"]:
        status = Status.SEPARATED
    elif row["small"]:
        status = Status.SINGULAR if row["singular"] else Status.CONVERGED
    elif row["level"] and not decrement < row["before"] / 2:
        status = Status.DIVERGED if row["swung"] else Status.SINGULAR
    elif row["size"] < 1e-30:
        status = Status.DIVERGED
    kept = {"vector": 3.0, "decrement": decrement, "fall": decrement**2}
    return {"status": status, **kept}


def test_how_a_search_ends():
    def found(case):
        trial = Trial(
            True, *(case[key] for key in ("jump", "small", "level", "before"))
        )
        state = state_of(size=case["size"])._replace(
            evaluation=evaluation(
                case["value"], n_large_moves=case["swung"], separated=case["unbounded"]
            )
        )
        new = direction(3.0, case["decrement"], case["singular"])
        after = set_direction(state, new, trial)
        assert after.evaluation is state.evaluation
        return {
            "status": after.status,
            "vector": after.direction.vector[0, 0],
            "decrement": after.direction.decrement,
            "fall": after.predicted_decrease,
        }

    no_yes = [False, True]
    choices = {
        "value": [1.0, INF, NAN],
        "decrement": [0.5, math.nextafter(0.5, 0), INF, NAN],
        "before": [1.0],
        "size": [1.0, 1e-30, 0.9e-30],
        "swung": [0.0, 0.25, 1.0],
        **dict.fromkeys(("jump", "small", "level", "unbounded", "singular"), no_yes),
    }
    wanted = assert_every_case(found, choices, ending)
    reached = {Status(row["status"]).name for row in wanted}
    assert reached == {
        *("CONVERGED", "MAX_STEPS", "SEPARATED"),
        *("SINGULAR", "DIVERGED", "NONFINITE"),
    }


def test_a_rounding_is_of_the_values_own_size_and_precision():
    for dtype in (np.float32, np.float64):
        value = np.array([-2.0, 0.0, 3.0], dtype)
        np.testing.assert_array_equal(
            rounding(value), 64 * np.finfo(dtype).eps * np.abs(value)
        )


def objective_of(columns):
    """Return a parabola whose curvature has so many columns."""

    def evaluate(point, step):
        found = evaluation(jnp.sum(point**2), 1.0)
        curvature = jnp.ones((2, columns))
        return found._replace(gradient=2 * point, curvature=curvature)

    def solve(found):
        way = direction(1.0, 0.25)
        return way._replace(vector=-found.gradient / 2, factor=(found.curvature,))

    return DenseObjective(evaluate, solve, jnp.asarray(0.0), TOL)


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("keep_factor", [True, False])
def test_a_state_keeps_no_hessian_and_a_factor_if_asked(columns, keep_factor):
    """A row of curvatures is kept: it is no larger than the samples' other rows."""
    objective, start = objective_of(columns), jnp.full((2, 1), 3.0)
    solver = Newton(keep_factor)
    state = solver.init(objective, start)
    for _ in range(3):
        assert (state.evaluation.curvature is None) == (columns > 1)
        assert (state.direction.factor is not None) == keep_factor
        state = solver.step(objective, state)
    assert state.steps == 2
    np.testing.assert_array_equal(state.point, np.zeros((2, 1)))
    assert Newton().keep_factor


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_first_state_knows_nothing_but_where_to_look(dtype):
    start = jnp.asarray([[1.0], [2.0]], dtype)
    objective = objective_of(1)
    evaluation = jax.eval_shape(objective.evaluate, start, start)
    factor = jax.eval_shape(objective.newton_direction, evaluation).factor
    state = first_state(evaluation, start, factor=factor, memory="mine")
    np.testing.assert_array_equal(state.point, start)
    assert state.evaluation.value == state.direction.decrement == INF
    assert (state.steps, state.status) == (-1, Status.MAX_STEPS)
    assert (state.step_size, state.predicted_decrease, state.memory) == (1, 0, "mine")
    nothing = [
        *(state.evaluation.gradient, state.evaluation.curvature, state.direction[0]),
        *(state.evaluation[3:], state.direction.singular, state.direction.solved),
        state.direction.factor,
    ]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(nothing))
    for leaf in (state.step_size, state.predicted_decrease, state.direction.decrement):
        assert (leaf.dtype, leaf.shape) == (dtype, ())
    assert state.steps.dtype == state.status.dtype == np.int32
    assert first_state(evaluation, start).memory is None


class Counting:
    """Count steps, and never find anything."""

    def step(self, objective, state):
        return state._replace(steps=state.steps + 1)


def test_a_search_takes_so_many_passes_or_steps():
    state = state_of(steps=0)
    for most, passes, due in [(10, 3, 3), (10, 0, 0), (2, 3, 2), (10, None, 10)]:
        assert run_solver(Counting(), None, state, most, passes).steps == due
    done = state._replace(status=jnp.asarray(int(Status.SEPARATED)))
    assert run_solver(Counting(), None, done, 10, 3).steps == 0


def test_one_tree_or_the_other():
    one, other = (
        {"a": np.ones(2), "b": np.zeros(())},
        {"a": np.zeros(2), "b": np.ones(())},
    )
    for condition, due in ((True, one), (False, other)):
        jax.tree.map(np.testing.assert_array_equal, where(condition, one, other), due)
