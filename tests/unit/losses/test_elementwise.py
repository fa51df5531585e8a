"""The likelihood's derivatives in its label, of both forms of the tails."""

import jax
import mpmath
import numpy as np
import pytest

from jlogreg.losses import elementwise as losses
from jlogreg.losses.arithmetic import EXACT, FAST

EPS = float(np.finfo(float).eps)


def likelihood(z, y):
    """Return a^y (1 - a)^(1 - y) in 50 digits."""
    a = 1 / (1 + mpmath.exp(-z))
    return a**y * (1 - a) ** (1 - y)


@pytest.mark.parametrize("tails", [EXACT, FAST])
@pytest.mark.parametrize("y", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("z", [-5.0, -0.5, 0.25, 3.0])
def test_the_likelihood_has_a_slope_in_its_label(z, y, tails):
    """Alone, and beside the one in z: those of a difference in 50 digits."""
    with mpmath.workdps(50):
        in_z = mpmath.diff(lambda at: likelihood(at, mpmath.mpf(y)), z)
        in_y = mpmath.diff(lambda at: likelihood(mpmath.mpf(z), at), y)
    slope = jax.grad(losses.likelihood, argnums=(1, 2))(tails, z, y)
    for found, due in zip(slope, (in_z, in_y), strict=True):
        # p errs by the rounding of its logarithm, at most 5 here.
        assert abs(float(found) - float(due)) <= 16 * EPS * max(abs(float(due)), 1e-2)
    both = jax.jvp(lambda *at: losses.likelihood(tails, *at), (z, y), (2.0, 3.0))[1]
    size = abs(2 * in_z) + abs(3 * in_y)
    assert abs(float(both) - float(2 * in_z + 3 * in_y)) <= 16 * EPS * float(size)
