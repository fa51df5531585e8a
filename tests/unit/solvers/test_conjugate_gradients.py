"""Conjugate gradients against the textbook's own loop, and where they stop."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jlogreg.solvers import conjugate_gradients as cg
from tests.helpers import EPS, assert_close, seeds
from tests.oracles.toy_objective import K, conjugate_gradients, positive_definite

SOME = settings(max_examples=settings.default.max_examples // 2)


@partial(jax.jit, static_argnums=4)
def solve(matrix, right, inverse, tolerance, most):
    return cg.conjugate_gradients(
        lambda v: matrix @ v, right, lambda v: inverse @ v, tolerance, most
    )


def make_system(seed):
    """Return a system and a preconditioner that is none too good."""
    matrix, random = positive_definite(seed)
    inverse = np.linalg.inv(matrix + np.diag(random.uniform(1, 3, K)))
    return matrix, random.standard_normal((K, 1)), (inverse + inverse.T) / 2


@pytest.mark.parametrize("most", range(K))
def test_each_iterate_is_the_textbooks(most):
    for seed in range(4):
        matrix, right, inverse = make_system(seed)
        iterates, sizes = conjugate_gradients(matrix, right, inverse)
        result = solve(matrix, right, inverse, 1e-30, most)
        # A few roundings in each iteration, and the condition, below 1e4.
        size = np.abs(iterates[-1]).max()
        assert_close(result.x, iterates[most], 1e4 * K**2 * EPS * size)
        assert not result.reached
        assert not result.stuck
        if most and sizes[most] >= min(sizes[:most]):
            continue  # it may rise on the way
        # The size of the residual that is left, to a part in a million, is the border.
        for part, reached in ((1 - 1e-6, False), (1 + 1e-6, True)):
            tolerance = part * math.sqrt(sizes[most] / sizes[0])
            result = solve(matrix, right, inverse, tolerance, most)
            assert result.reached == reached


@SOME
@given(seeds, st.integers(1, K), st.booleans())
def test_consistent_systems_of_any_rank_are_solved(seed, rank, exact):
    random = np.random.default_rng(seed)
    Q = np.linalg.qr(random.standard_normal((K, K)))[0][:, :rank]
    matrix = (Q * 10.0 ** random.uniform(-1, 1, rank)) @ Q.T
    expected = Q @ random.standard_normal((rank, 1))
    inverse = np.linalg.pinv(matrix, rcond=1e-10) if exact else np.eye(K)
    inverse = inverse + exact * (np.eye(K) - Q @ Q.T)
    x = solve(matrix, matrix @ expected, inverse, 1e-13, 4 * K).x
    # The condition, at most 100, times what is left of the residual and the roundings.
    assert_close(x, expected, 400 * (1e-13 + 16 * K * EPS) * np.linalg.norm(expected))


@pytest.mark.parametrize("power", [-900, -600, -400, 400, 600])
def test_units_change_not_a_bit(power):
    """Of the right-hand side, whose squares underflow or overflow, and of the map."""
    matrix, *rest = make_system(0)
    negative = -np.arange(float(K))[:, None]  # with a zero
    scale = 2.0**power
    for right, inverse in (rest, (negative, 2 * np.eye(K))):
        expected = solve(matrix, right, inverse, 1e-10, 2 * K)
        assert expected.reached
        results = [(solve(matrix, right * scale, inverse, 1e-10, 2 * K), scale)]
        if abs(power) == 400:
            units = matrix * scale, right * scale, inverse / scale
            results.append((solve(*units, 1e-10, 2 * K), 1.0))
        for result, size in results:
            np.testing.assert_array_equal(result.x, expected.x * size)
            assert result.reached


TINY = float(np.finfo(float).tiny) / EPS  # the border of what counts as curvature
RIGHT = np.arange(1.0, K + 1)[:, None]
PARTLY = np.diag(np.eye(K)[0])


@pytest.mark.parametrize(
    ("matrix", "right", "inverse", "most", "x", "reached", "stuck"),
    [
        # Nothing on the right; no iteration; no curvature, and so M^-1 times the right.
        (np.eye(K), 0 * RIGHT, 1.0, 9, 0 * RIGHT, True, False),
        (np.eye(K), RIGHT, 1.0, 0, 0 * RIGHT, False, False),
        (np.zeros((K, K)), RIGHT, 3.0, 9, 3 * RIGHT, False, True),
        (TINY * np.eye(K), RIGHT, 1.0, 9, RIGHT, False, True),
        ((1 - 1e-6) * TINY * np.eye(K), RIGHT, 1.0, 9, RIGHT, False, True),
        ((1 + 1e-6) * TINY * np.eye(K), RIGHT, 1.0, 9, RIGHT / TINY, True, False),
        # One iteration of rTr / rTAr = K; the next p is along the other axes.
        (PARTLY, np.ones((K, 1)), 1.0, 9, np.full((K, 1), float(K)), False, True),
    ],
)
def test_it_stops_where_there_is_nothing_to_do(
    matrix, right, inverse, most, x, reached, stuck
):
    result = solve(matrix, right, inverse * np.eye(K), 1e-9, most)
    np.testing.assert_allclose(result.x, x, rtol=2e-6)
    assert (result.reached, result.stuck) == (reached, stuck)


@pytest.mark.parametrize(
    ("size", "iterations", "stuck", "unfinished"),
    [
        (1.0, 3, False, False),  # a quarter of the first size, 4: the tolerance is 1/2
        (1.01, 3, False, True),
        (1.01, 4, False, False),
        (1.01, 3, True, False),
        (math.nan, 3, False, False),
    ],
)
def test_it_goes_on_while_all_say_so(size, iterations, stuck, unfinished):
    now = cg.first_iterate(jnp.ones((2, 1)), jnp.ones((2, 1)), jnp.ones((2, 1)))
    one = jnp.asarray(1.0)
    now = now._replace(size=size * one, first=4 * one, iterations=iterations)
    now = now._replace(stuck=jnp.asarray(stuck))
    assert cg.is_unfinished(now, 0.5, 4) == unfinished
    assert cg.solved_by(now, 0.5).reached == (not size > 1)


def test_iterations_are_limited():
    most = [cg.max_inner_iterations(k) for k in (1, 5, 119, 120, 121)]
    assert most == [12, 20, 248, 250, 250]
