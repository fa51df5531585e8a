"""States of Newton's method, and of the driver: what they keep, and when they end."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import Status
from jlogreg.solvers import driver
from tests.oracles.toy_objective import evaluation


def make_objective(columns):
    """Return a parabola whose curvature has some number of columns."""

    def evaluate(point, step):
        return evaluation(jnp.sum(point**2), 2 * point, jnp.ones((2, columns)))

    def newton_direction(evaluation):
        rest = jnp.asarray(0.25), jnp.asarray(False), jnp.asarray(True)
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
    factor = jax.eval_shape(objective.newton_direction, shapes).factor
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
