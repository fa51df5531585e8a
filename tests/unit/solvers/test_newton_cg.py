"""Newton's method with conjugate gradients: what each of its passes does."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import Status
from jlogreg.solvers import newton_cg as module
from tests.helpers import EPS, assert_close
from tests.oracles import toy_objective as toys
from tests.oracles.toy_objective import K

INNER = 0.3  # the part of the residual that the first steps leave


@partial(jax.jit, static_argnums=2)
def one_pass(toy, inverse, most, state):
    """Return the state after a pass; if there is none, the state before the first."""
    del most  # it is compiled once for each
    objective = toy.objective(matrix_free=True, precondition=lambda g: inverse @ g)
    if state is None:
        return jl.NewtonCG().init(objective, jnp.zeros((K, 1)))
    return jl.NewtonCG().step(objective, state)


hessian = jax.jit(toys.Toy.hessian)
RUNS = [(1, 0.3, K), (1, 1.0, K), (2, 3.0, K), (2, 3.0, 2)]


@pytest.mark.parametrize(("kind", "radius", "most"), RUNS)
def test_a_system_is_solved_by_the_textbooks_iterations_as_far_as_needed(
    kind, radius, most, monkeypatch
):
    if most < K:
        monkeypatch.setattr(module, "max_inner_iterations", lambda k: most + k - K)
    for seed in range(4):
        random = np.random.default_rng(seed)
        A, root = toys.positive_definite(seed)[0] / 3, random.standard_normal((K, K))
        toy = toys.Toy(kind, A, random.uniform(-2, 2, (K, 1)))
        inverse = np.eye(K) + root @ root.T / K
        start = toy.c + random.uniform(-radius, radius, (K, 1))
        state = one_pass(toy, inverse, most, None)._replace(point=start)
        run = partial(one_pass, toy, inverse, most)
        for _, after, passes in toys.take_steps(run, state, 60):
            new = after.direction
            # The logits are the vector's entries.
            few = 1e5 * EPS * (np.abs(after.point) + np.abs(new.vector)).max()
            assert_close(after.memory.change, new.vector.T, few)
            if after.step_size < 1 or np.isinf(new.decrement):
                assert passes == 1  # a trial that is taken back, or a reset to zero
                continue
            g = np.asarray(after.evaluation.gradient)
            H = np.asarray(hessian(toy, after.point))
            iterates, sizes = toys.conjugate_gradients(H, g, inverse)
            tolerance = min(INNER, sizes[0] ** 0.25)
            if after.status == Status.CONVERGED:
                tolerance = INNER  # only the size of the next step is needed
            reached = [*np.flatnonzero(np.array(sizes) <= tolerance**2 * sizes[0]), K]
            if reached[0] < K or most < K:
                assert passes == 1 + min(reached[0], most)
            else:  # roundings may ask for a few more
                assert passes > K
            # Roundings grow by the square of the condition, which is below 1e5.
            few = 1e10 * EPS * np.abs(iterates[-1]).max()
            assert_close(new.vector, -iterates[min(passes - 1, K)], few)
            assert new.solved == (reached[0] <= most)
        assert after.status == Status.CONVERGED or most < K


def made_of(evaluate, singular=False):
    """Return an objective in the metric of half the gradient, and a first state."""
    toy = toys.Toy(0, np.eye(K), np.zeros((K, 1)))
    objective = toy.objective(matrix_free=True, precondition=lambda g: g / 2)
    objective = objective._replace(
        evaluate_or_multiply=evaluate, singular=jnp.asarray(singular)
    )
    return objective, jl.NewtonCG().init(objective, jnp.zeros((K, 1)))


@pytest.mark.parametrize("singular", [False, True])
@pytest.mark.parametrize("curvature", [0.0, 4.0])
def test_a_map_without_curvature_is_singular_and_solved(curvature, singular):
    gradient = jnp.full((K, 1), 6.0)

    def evaluate(vector, change, _, trying):
        result = toys.evaluation(1.0, jnp.where(trying, gradient, curvature * vector))
        return result._replace(curvature=jnp.zeros((K, K))), vector.T

    objective, state = made_of(evaluate, singular)
    for _ in range(2):
        state = jl.NewtonCG().step(objective, state)
    step = 6 / curvature if curvature else 3.0
    assert_close(state.direction.vector, np.full((K, 1), -step), 8 * EPS * step)
    assert_close(state.direction.decrement, np.sqrt(6 * step * K), 1e3 * EPS)
    assert state.direction.singular == (singular or not curvature)
    assert state.direction.solved


@pytest.mark.parametrize(("part", "accept"), [(0.9, True), (1.1, False)])
def test_the_slope_of_a_trial_is_along_its_whole_step(part, accept):
    """Where the value says nothing; of a point that the gradient there tells."""
    decrease, size = 2.0**-30, 0.5

    def evaluate(vector, change, curvature, trying):
        gradient = part * decrease * size / 2 / (2.0 * K)  # half of what is left
        result = toys.evaluation(1.0, jnp.full((K, 1), gradient))
        return result._replace(curvature=jnp.zeros((K, K))), vector.T

    objective, state = made_of(evaluate)
    state = state._replace(
        evaluation=state.evaluation._replace(value=jnp.asarray(1.0)),
        direction=state.direction._replace(vector=jnp.full((K, 1), 4.0)),
        step_size=jnp.asarray(size),
        predicted_decrease=jnp.asarray(decrease),
        steps=jnp.asarray(3),
    )
    after = jl.NewtonCG().step(objective, state)
    assert (after.point[0, 0] == 2) == accept
    assert after.memory.trial.accept == accept
