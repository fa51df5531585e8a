"""A descent by any optimizer: what a step decides, and what the optimizer is told."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jlogreg import Optax, Status
from jlogreg.solvers.driver import Evaluation, MatrixFreeObjective
from jlogreg.solvers.first_order import descend
from tests.oracles.step_decisions import EPS, INF, NAN, TOL, assert_every_case

SIZE = 1e-30  # of a step that finds no way down


def objective_of(evaluate):
    """Return an objective in the metric of four times the gradient."""
    return MatrixFreeObjective(
        evaluate=evaluate,
        evaluate_or_multiply=None,
        precondition=lambda slope: 4 * slope,
        zero_logits=jnp.zeros((1, 1)),
        singular=jnp.zeros((), bool),
        value_at_zero=jnp.asarray(0.0),
        tol=TOL,
    )


def after_a_step(case):
    """Return what comes of a step whose trial is as the case says."""

    def evaluate(point, step):
        rest = [jnp.zeros(())] * 3
        return Evaluation(
            case["found"], jnp.full((1, 1), case["slope"]), None, *rest, case["proof"]
        )

    solver = Optax(optax.chain(optax.trace(0.0), optax.sgd(1.0)))  # d = -g
    objective = objective_of(evaluate)
    state = solver.init(objective, jnp.full((1, 1), 5.0))
    old = state.evaluation._replace(value=case["value"], gradient=jnp.full((1, 1), 3.0))
    state = state._replace(
        evaluation=old,
        step_size=jnp.asarray(case["size"]),
        steps=jnp.asarray(case["steps"]),
    )
    after = solver.step(objective, state)
    return {
        "point": after.point[0, 0],
        "value": after.evaluation.value,
        "slope": after.evaluation.gradient[0, 0],
        "size": after.step_size,
        "steps": after.steps,
        "status": after.status,
        "memory": after.memory[0].trace[0, 0],
    }


def expected(row):
    """Return the same, in words that Python has."""
    first, size = row["steps"] < 0, row["size"]
    accept = first or row["found"] <= row["value"] + 64 * EPS * abs(row["value"])
    kept = row if accept else {"found": row["value"], "slope": 3.0, "proof": False}
    new = min(2 * size, 1.0) if accept else size / 2
    status = Status.MAX_STEPS
    if not math.isfinite(kept["found"]):
        status = Status.NONFINITE
    elif kept["proof"]:
        status = Status.SEPARATED
    elif new < SIZE:
        status = Status.DIVERGED
    elif 4 * kept["slope"] ** 2 <= TOL:
        status = Status.CONVERGED
    return {
        "point": 5.0 - (accept and not first) * size * 3.0,
        "value": kept["found"],
        "slope": kept["slope"],
        "size": new,
        "steps": row["steps"] + 1,
        "status": status,
        "memory": 3.0 if accept and not first else 0.0,  # what the optimizer learnt
    }


def test_a_step_that_would_raise_the_value_is_taken_back_and_the_next_are_shorter():
    border = 4.0 * (1 + 64 * EPS)
    wanted = assert_every_case(
        after_a_step,
        {
            "value": [4.0, -4.0, INF],
            "found": [3.0, 4.0, border, 4 * (1 + 65 * EPS), -4.0, INF, NAN],
            "slope": [
                2.0**-12,
                2.0**-11,
                2.0**-10,
            ],  # below the tolerance, on it, above
            "proof": [False, True],
            "size": [1.0, 0.5, 0.25, 2 * SIZE, SIZE, SIZE / 2, SIZE / 4],
            "steps": [-1, 0, 5],
        },
        expected,
    )
    assert len({row["status"] for row in wanted}) == 5


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


def far(x):
    """Return that update at x, of that function."""
    return 16 * 3 * x + 256 * 3 + 4096 * 3 * (x + 1) + 65536 * x + 2.0**20 * 3


@jax.numpy_dtype_promotion("standard")  # as a line search of optax needs
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_optimizer_is_told_value_gradient_and_function(dtype):
    steps = []

    def evaluate(point, step):
        steps.append(step)
        # A trial is lower than any point, so that it is accepted.
        value = jnp.where((step == 0).all(), value_of(point), np.float32(-9.0))
        no, slope = jnp.zeros(()), jnp.full((1, 1), 3.0, np.float32)
        return Evaluation(value, slope, None, no, no, no, jnp.zeros((), bool))

    solver, objective = Optax(told(dtype)), objective_of(evaluate)
    start = jnp.ones((1, 1), np.float32)
    state = solver.step(objective, solver.init(objective, start))
    assert (state.memory, state.steps) == (0, 0)  # it has only looked
    state = solver.step(objective, state)
    assert steps[-1].dtype == np.float32
    np.testing.assert_array_equal(steps[-1], [[far(1.0)]])
    assert (state.memory, state.steps) == (1, 1)


@jax.numpy_dtype_promotion("standard")
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_descent_takes_its_steps_and_says_the_value_before_each(steps):
    """Of a pytree; the optimizer is told what it is told in a fit."""

    def value_and_gradient(point):
        return value_of(point["x"]), {"x": jnp.full((1, 1), 3.0, np.float32)}

    def update(updates, state, params, **extra):
        value_fn = extra.pop("value_fn")
        given = [updates["x"], state, params["x"]]
        extra = {**extra, "grad": extra["grad"]["x"]}
        new, state = told(np.float32).update(
            *given, **extra, value_fn=lambda x: value_fn({"x": x})
        )
        return {"x": new}, state

    both = optax.GradientTransformationExtraArgs(told(0).init, update)
    start = {"x": jnp.ones((1, 1), np.float32)}
    end, values = descend(value_and_gradient, start, both, steps)
    points = [1.0]
    for _ in range(steps):
        points.append(points[-1] + far(points[-1]))
    assert values.shape == (steps,)
    np.testing.assert_allclose(values, 3 * np.array(points[:-1]), rtol=1e-6)
    np.testing.assert_allclose(end["x"][0, 0], points[-1], rtol=1e-6)
