"""L-BFGS in a metric: its pairs, and their inverse Hessian."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.solvers import lbfgs
from tests.helpers import EPS, assert_close
from tests.oracles import toy_objective as toys
from tests.oracles.toy_objective import K

P = lbfgs.N_PAIRS


def updated(M, pairs):
    """Return the BFGS matrix of some pairs, oldest first; Nocedal and Wright, (6.17).

    It begins with M in the scale of the newest pair, (7.20).
    """
    if not pairs:
        return M
    s, r = pairs[-1]
    H = (s @ r) / (r @ M @ r) * M
    for s, r in pairs:
        V = np.eye(len(s)) - np.outer(r, s) / (r @ s)
        H = V.T @ H @ V + np.outer(s, s) / (r @ s)
    return H


@jax.jit
def with_pair(pairs, step, change, metric_change, gradient, counts):
    pair = lbfgs._Pair(step, change, metric_change)
    return lbfgs._with_pair(pairs, pair, gradient, counts)


times = jax.jit(lbfgs._times)


@pytest.mark.parametrize("seed", range(3))
def test_the_pairs_correct_the_metric_as_the_textbooks_updates_do(seed):
    M, random = toys.positive_definite(seed)
    H, _ = toys.positive_definite(seed + 10)
    pairs, taken = lbfgs._no_pairs(jnp.zeros((K, 1))), []
    for i in range(2 * P + 3):
        s, g = random.standard_normal((2, K))
        # Some pairs are not convex, and some do not count.
        r = H @ s if i % 5 != 3 else -H @ s
        counts = i % 7 != 5
        columns = (x[:, None] for x in (s, r, M @ r, g))
        pairs, products = with_pair(pairs, *columns, jnp.asarray(counts))
        if counts and i % 5 != 3:
            taken = [*taken, (s, r)][-P:]
        expected = updated(M, taken) @ g
        found = times(pairs, products, (M @ g)[:, None])
        few = 1e4 * EPS * np.abs(updated(M, taken)).max() * np.abs(g).max()
        assert_close(found[:, 0], expected, few)


@partial(jax.jit, static_argnums=1)
def one_pass(toy, first, state, metric):
    objective = toy.objective(matrix_free=True, precondition=lambda g: metric @ g)
    if first:
        return jl.LBFGS().init(objective, jnp.zeros((K, 1)))
    return jl.LBFGS().step(objective, state)


def test_in_the_metric_of_the_inverse_hessian_a_parabola_takes_one_step():
    toy, start = toys.make_toy(3, 0)
    metric = np.linalg.inv(toy.A.T @ toy.A)
    state = one_pass(toy, True, None, metric)._replace(point=start)
    run = partial(one_pass, toy, False, metric=metric)
    steps = list(toys.take_steps(run, state))
    assert steps[-1].after.status == jl.Status.CONVERGED
    # The start, the minimum, and what shows that it is one.
    assert len(steps) <= 3
    assert_close(steps[1].after.point, toy.c, 1e4 * EPS * np.abs(toy.c).max())


def test_a_decrement_is_that_of_the_corrected_metric():
    toy, start = toys.make_toy(4, 1)
    state = one_pass(toy, True, None, np.eye(K))._replace(point=start)
    seen = 0
    for _ in range(6):
        state = one_pass(toy, False, state, np.eye(K))
        g, known = state.evaluation.gradient, state.direction.decrement
        if np.isfinite(known):  # not on the way back to zero
            few = 1e4 * EPS * (1 + known)
            assert_close(jl.LBFGS().decrement(state, g, g), known, few)
            seen += 1
    assert seen >= 3
