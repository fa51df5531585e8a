"""Descent by any optimizer: what a step decides, and what the optimizer is told.

`descend` is compared with the updates of optax by hand in fitting/.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jlogreg as jl
from jlogreg import Status
from jlogreg.solvers import driver
from tests.helpers import EPS
from tests.oracles.toy_objective import evaluation

INF, NAN = math.inf, math.nan
SIZE = 1e-30  # a shorter step than this does not lead down
TOL = 2.0**-20


def make_objective(evaluate):
    """Return an objective in the metric of four times the gradient."""
    return driver.MatrixFreeObjective(
        evaluate=evaluate,
        evaluate_or_multiply=None,
        evaluate_along=None,
        precondition=lambda slope: 4 * slope,
        zero_logits=jnp.zeros((1, 1)),
        singular=jnp.zeros((), bool),
        value_at_zero=jnp.asarray(0.0),
        tol=TOL,
    )


def take_step(
    value=4.0, trial_value=3.0, slope=1.0, separated=False, step_size=0.25, steps=5
):
    """Return the state after a step of d = -3 from the point 5."""

    def evaluate(point, step):
        return evaluation(trial_value, jnp.full((1, 1), slope), separated=separated)

    solver = jl.Optax(optax.chain(optax.trace(0.0), optax.sgd(1.0)))  # d = -g
    objective = make_objective(evaluate)
    state = solver.init(objective, jnp.full((1, 1), 5.0))
    old = evaluation(value, jnp.full((1, 1), 3.0))
    steps, step_size = jnp.asarray(steps), jnp.asarray(step_size)
    state = state._replace(evaluation=old, step_size=step_size, steps=steps)
    return solver.step(objective, state)


@pytest.mark.parametrize(
    ("changes", "step_size"),
    [
        ({}, 0.5),
        ({"step_size": 0.5}, 1.0),
        ({"step_size": 1.0}, 1.0),
        ({"trial_value": 4 * (1 + 64 * EPS)}, 0.5),
        ({"trial_value": 4 * (1 + 65 * EPS)}, 0.125),
        ({"value": -4.0, "trial_value": -4.0 * (1 - 64 * EPS)}, 0.5),
        ({"value": -4.0, "trial_value": -4.0 * (1 - 65 * EPS)}, 0.125),
        ({"trial_value": INF}, 0.125),
        ({"trial_value": NAN}, 0.125),
        ({"trial_value": 5.0, "steps": 0}, 0.125),
        ({"trial_value": 5.0, "steps": -1}, 0.5),
    ],
)
def test_a_step_that_would_raise_the_value_is_taken_back(changes, step_size):
    """The next ones are shorter, and the optimizer has not seen it."""
    after, size = take_step(**changes), changes.get("step_size", 0.25)
    first, accept = changes.get("steps") == -1, step_size > 0.25
    assert after.step_size == step_size
    assert after.point == (5 - 3 * size if accept and not first else 5)
    assert after.memory[0].trace == (3 if accept and not first else 0)
    value = changes.get("trial_value", 3.0) if accept else changes.get("value", 4.0)
    assert after.evaluation.value == value
    assert after.evaluation.gradient == (1 if accept else 3)
    assert after.steps == changes.get("steps", 5) + 1
    assert after.status == Status.MAX_STEPS
    assert after.status.dtype == np.int32


REJECTED = {"trial_value": 5.0, "slope": 0.0, "separated": True}
# Each status overrules those above it.
CAUSES = [
    (Status.MAX_STEPS, {}),
    (Status.MAX_STEPS, {"slope": 2.0**-10}),
    (Status.CONVERGED, {"slope": 2.0**-11}),  # four times its square is the tolerance
    (Status.CONVERGED, {"slope": 2.0**-12}),
    (Status.DIVERGED, {"step_size": SIZE / 4}),
    (Status.SEPARATED, {"separated": True}),
    (Status.NONFINITE, {"trial_value": NAN, "steps": -1}),
    (Status.NONFINITE, {"trial_value": INF, "steps": -1}),
]


@pytest.mark.parametrize("i", range(len(CAUSES)))
def test_each_status_overrules_those_before_it(i):
    status, strong = CAUSES[i]
    for _, weak in CAUSES[: i + 1]:
        assert take_step(**weak | strong).status == status, weak


def test_a_step_that_was_taken_back_says_nothing_but_its_size():
    for size, status in [(2 * SIZE, Status.MAX_STEPS), (SIZE, Status.DIVERGED)]:
        assert take_step(**REJECTED, step_size=size).status == status
    assert take_step(step_size=SIZE / 2).status == Status.MAX_STEPS


def told(dtype):
    """Return an optimizer that makes its update of all that it is told."""

    def update(updates, state, params, *, value, grad, value_fn):
        other = value_fn(jnp.asarray(params + 1, np.float64))
        new = 2.0**4 * value + 2.0**8 * grad + 2.0**12 * other + 2.0**16 * params
        return (new + 2.0**20 * updates).astype(dtype), state + 1

    def init(params):
        return jnp.zeros((), jnp.int32)

    return optax.GradientTransformationExtraArgs(init, update)


def value_of(point):
    assert point.dtype == np.float32
    return 3 * point.sum()


@jax.numpy_dtype_promotion("standard")  # as a line search of optax needs
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_optimizer_is_told_value_gradient_and_function(dtype):
    steps = []

    def evaluate(point, step):
        steps.append(step)
        # A trial is lower than any point, so that it is accepted.
        value = jnp.where((step == 0).all(), value_of(point), np.float32(-9.0))
        return evaluation(value, jnp.full((1, 1), 3.0, np.float32))

    solver, objective = jl.Optax(told(dtype)), make_objective(evaluate)
    start = jnp.ones((1, 1), np.float32)
    state = solver.step(objective, solver.init(objective, start))
    assert (state.memory, state.steps) == (0, 0)  # it has only evaluated the start
    state = solver.step(objective, state)
    assert steps[-1].dtype == np.float32
    expected = 16 * 3 + 256 * 3 + 4096 * 6 + 65536 + 2.0**20 * 3
    np.testing.assert_array_equal(steps[-1], [[expected]])
    assert (state.memory, state.steps) == (1, 1)
