"""A plane between the labels counts with proof only: beyond rounding, without l2."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jlogreg import Dense, Params, Status
from jlogreg.data.samples import Samples
from jlogreg.fitting.outcome.plane import if_separated
from jlogreg.formulations.problem import Problem, Solution

EPS32 = float(np.finfo(np.float32).eps)


@jax.jit
def judged(b, weight, l2, status=Status.SEPARATED):
    """Return the status of a solution with w = 1 on the samples 0, 1 | 2, 3."""
    X = Dense(jnp.arange(4, dtype=jnp.float32)[None])
    y = jnp.array([[0, 0, 1, 1]], jnp.float32)
    params = Params(jnp.ones((1, 1), jnp.float32), b)
    none = jnp.zeros((), jnp.float32)
    solution = Solution(
        params, jnp.asarray(status, jnp.int32), 0, none, params, none, none, None, None
    )
    return if_separated(Problem(Samples(X, y, weight, None), l2), solution).status


@pytest.mark.parametrize(
    ("b", "of_second", "l2", "status"),
    [
        (-1.5, 1, 0, Status.SEPARATED),
        (-1 - 100 * EPS32, 1, 0, Status.SEPARATED),
        # The second sample lies on the plane, or beside it by a rounding.
        (-1, 1, 0, Status.DIVERGED),
        (-1 - EPS32, 1, 0, Status.DIVERGED),
        (-1, 0, 0, Status.SEPARATED),  # it does not count
        (-1.5, 1, 0.1, Status.DIVERGED),  # the bias alone does not separate them
    ],
)
def test_a_plane_without_proof_is_none(b, of_second, l2, status):
    b, l2 = jnp.full((1, 1), b, jnp.float32), jnp.asarray(l2, jnp.float32)
    weight = jnp.array([[1, of_second, 1, 1]], jnp.float32)
    assert judged(b, weight, l2) == status
    # Another status is not looked at.
    assert judged(b, weight, l2, Status.CONVERGED) == Status.CONVERGED
