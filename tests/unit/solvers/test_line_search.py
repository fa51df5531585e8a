"""Decisions of the line search, where a run of a solver seldom meets their borders.

Each row of a table changes a usual case. Nothing is compiled as a whole, so that
numbers on a border are on it in every operation.
"""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from jlogreg import Status
from jlogreg.solvers import driver, line_search
from tests.oracles.toy_objective import evaluation

EPS, INF, NAN = float(np.finfo(float).eps), math.inf, math.nan
TOL, NEAR = 2.0**-20, 2.0**-26  # NEAR is the root of EPS


def above(number):
    return math.nextafter(number, INF)


def column(number):
    return jnp.full((2, 1), number)


def direction(vector=3.0, decrement=TOL, singular=False, solved=True):
    rest = map(jnp.asarray, (decrement, singular, solved, 0.0))
    return driver.Direction(column(vector), *rest, None)


def state_of(value=4.0, step_size=1.0, predicted=2.0, steps=3, **known):
    return driver.State(
        point=column(5.0),
        evaluation=evaluation(value, column(7.0)),
        direction=direction(**known),
        step_size=jnp.asarray(step_size),
        predicted_decrease=jnp.asarray(predicted),
        steps=jnp.asarray(steps),
        status=jnp.asarray(int(Status.MAX_STEPS)),
    )


def try_step(trial_value=3.0, zero=4.0, slope=9.0, n_moved=0.0, **known):
    state = state_of(**known)
    point = evaluation(trial_value, column(9.0), slope=slope, n_moved=n_moved)
    return state, *line_search.try_step(jnp.asarray(zero), TOL, state, point)


SUFFICIENT = 4 - 1e-4 * 2
FLAT = {"value": 1.0, "trial_value": 1.0, "predicted": NEAR, "slope": NEAR / 2 + EPS}
LOW = {"value": -2.0, "trial_value": -2.0, "predicted": 2 * NEAR}


@pytest.mark.parametrize(
    ("changes", "part"),  # the part to which a step is shortened, if it is rejected
    [
        ({}, None),
        ({"trial_value": SUFFICIENT}, None),
        ({"trial_value": above(SUFFICIENT)}, 0.5),
        ({"trial_value": 4 - 1e-4, "step_size": 0.5}, None),
        ({"trial_value": above(4 - 1e-4), "step_size": 0.5}, 0.5),
        ({"trial_value": 5.0}, 1 / 3),
        ({"trial_value": 5.0, "slope": -9.0}, 1 / 3),  # far from the minimum
        ({"trial_value": 5.0, "step_size": 0.5}, 1 / 4),
        *(({"trial_value": value}, 0.1) for value in (99.0, INF, NAN)),
        *(({"trial_value": value, "steps": -1}, None) for value in (9.0, INF, NAN)),
        ({"trial_value": 5.0, "steps": 0}, 1 / 3),
        # Near the minimum the slope decides.
        (FLAT, None),
        (FLAT | {"slope": NEAR / 2 + 2 * EPS}, 0.5),
        (FLAT | {"predicted": above(NEAR), "slope": -1.0}, 0.5),
        (FLAT | {"predicted": 2 * NEAR, "step_size": 0.5}, None),
        (LOW | {"slope": NEAR + 2 * EPS}, None),
        (LOW | {"slope": NEAR + 4 * EPS}, 0.5),
    ],
)
def test_a_trial_is_accepted_or_the_step_shortened(changes, part):
    before, after, trial = try_step(**changes)
    accept, size = part is None, before.step_size
    assert trial.accept == accept
    gradient, point = (9.0, 5 + 3 * size) if accept else (7.0, 5.0)
    np.testing.assert_array_equal(after.evaluation.gradient, column(gradient))
    np.testing.assert_array_equal(after.point, column(point))
    expected = 1.0 if accept else size * part
    np.testing.assert_allclose(after.step_size, expected, rtol=4 * EPS)
    assert after.steps == before.steps + 1
    assert after.direction is before.direction
    assert trial.previous_decrement == TOL


LOST = {"value": 1.0, "trial_value": 1.0, "slope": 0.0, "predicted": 64 * EPS}
START = {"steps": -1, "zero": 1.0}
BELOW = START | {"zero": -1.0}
NOT_WITHIN = {"n_moved": 1.0, "decrement": above(TOL), "solved": False, "steps": -1}
NOT_WITHIN |= {"step_size": 0.5, "trial_value": 5.0}


@pytest.mark.parametrize(
    ("name", "usual", "changes", "expected"),
    [
        *(("within_tolerance", {}, {key: NOT_WITHIN[key]}, 0) for key in NOT_WITHIN),
        *(("within_tolerance", {}, row, 1) for row in [{}, {"decrement": 0.0}]),
        ("within_tolerance", {}, {"steps": 0}, 1),
        *(("stalled", LOST, {"predicted": k * EPS}, k < 65) for k in (0, 64, 65)),
        *(("stalled", LOST, {"trial_value": 1 + k * EPS}, k > 0) for k in (-1, 1)),
        *(("stalled", LOST, {"steps": steps}, steps == 0) for steps in (-1, 0)),
        ("stalled", LOST, {"value": -1.0, "trial_value": -1.0}, 1),
        ("stalled", LOST, {"step_size": 0.5}, 0),
        ("stalled", LOST, {"trial_value": 1 + EPS, "slope": 1.0}, 0),
        *(("reset_to_zero", START, {"trial_value": value}, 1) for value in (INF, NAN)),
        *(
            ("reset_to_zero", usual, {"trial_value": usual["zero"] + k * EPS}, k == 65)
            for usual in (START, BELOW)
            for k in (64, 65)
        ),
        ("reset_to_zero", START, {"steps": 0}, 0),
    ],
)
def test_a_trial_says_what_it_shows(name, usual, changes, expected):
    _, _, trial = try_step(**usual | changes)
    assert bool(getattr(trial, name)) == expected


# Each status overrules those above it.
CAUSES = [
    (Status.MAX_STEPS, {}),
    (Status.MAX_STEPS, {"step_size": 1e-30}),
    (Status.DIVERGED, {"step_size": 0.9e-30}),
    (Status.SINGULAR, {"stalled": True}),
    (Status.DIVERGED, {"stalled": True, "n_large_moves": 1.0}),
    (Status.CONVERGED, {"within_tolerance": True, "singular": False}),
    (Status.SINGULAR, {"within_tolerance": True, "singular": True}),
    (Status.SEPARATED, {"separated": True}),
    (Status.NONFINITE, {"value": NAN}),
    (Status.NONFINITE, {"value": INF}),
    (Status.NONFINITE, {"decrement": NAN}),
    (Status.NONFINITE, {"decrement": INF}),
]


def set_direction(
    reset_to_zero=False,
    within_tolerance=False,
    stalled=False,
    step_size=1.0,
    value=1.0,
    n_large_moves=0.0,
    separated=False,
    **known,
):
    """Return the state with a new direction, the decrement before being 1."""
    flags = map(jnp.asarray, (True, reset_to_zero, within_tolerance, stalled, 1.0))
    state = state_of(step_size=step_size)._replace(
        evaluation=evaluation(
            value, column(7.0), n_large_moves=n_large_moves, separated=separated
        )
    )
    new = direction(**{"vector": 2.0, "decrement": 0.5, **known})
    return line_search.set_direction(state, new, line_search.Trial(*flags))


@pytest.mark.parametrize("i", range(len(CAUSES)))
def test_each_status_overrules_those_before_it(i):
    status, strong = CAUSES[i]
    for _, weak in CAUSES[: i + 1]:
        after = set_direction(**weak | strong)
        assert after.status == status, (weak, strong)
        np.testing.assert_array_equal(after.direction.vector, column(2.0))
        assert after.status.dtype == np.int32
        zero = set_direction(**weak | strong, reset_to_zero=True)
        assert zero.status == Status.MAX_STEPS
        np.testing.assert_array_equal(zero.direction.vector, column(-5.0))
        assert (zero.direction.decrement, zero.predicted_decrease) == (INF, 0)


def test_a_solver_that_has_stalled_goes_on_while_its_decrement_halves():
    for decrement, status in [(0.5, Status.SINGULAR), (0.499, Status.MAX_STEPS)]:
        after = set_direction(stalled=True, decrement=decrement)
        assert after.status == status
        assert after.predicted_decrease == decrement**2


def test_a_rounding_is_of_the_values_own_size_and_precision():
    for dtype in (np.float32, np.float64):
        value = np.array([-2.0, 0.0, 3.0], dtype)
        expected = 64 * np.finfo(dtype).eps * np.abs(value)
        np.testing.assert_array_equal(line_search.rounding(value), expected)
