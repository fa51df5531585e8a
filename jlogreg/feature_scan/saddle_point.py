"""The saddle-point approximation of the p-value of a score test.

The score is a sum over the samples. With few carriers or few cases it is not normal,
and the tails of a normal variable are off by orders of magnitude. All its cumulants are
known, though: equations (59) and (60) of docs/derivation.md.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jlogreg.base.arrays import at_least, at_most
from jlogreg.base.programs import program
from jlogreg.diagnostics.tails import log_upper_tail
from jlogreg.feature_scan.null_model import NullModel, last_variance
from jlogreg.feature_scan.single_feature import Plan, one_feature
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss, log_loss_dz, log_loss_dz2, sigmoid
from jlogreg.solvers.cholesky import factorize
from jlogreg.solvers.driver import loop

__all__ = ["UNRELIABLE", "saddle_scan"]

# The size of z above which the approximation takes the place of the normal tail. Below,
# the two agree (Dey et al., Am. J. Hum. Genet. 101, 2017).
UNRELIABLE = 2.0
# Steps of a search at most, and by how much one of them may enlarge the argument.
MAX_STEPS, LARGEST_FACTOR = 60, 4.0


class _Score(NamedTuple):
    """A score: a sum over samples of v g (Y - a) with labels Y that are drawn.

    Shapes: weight v, the feature g less its projection on the covariates, and the
    logits z of the null model, all (1, m).
    """

    weight: Float[Array, "1 m"]
    g: Float[Array, "1 m"]
    z: Float[Array, "1 m"]

    def slope(self, t: Array) -> Array:
        """Return K'(t), the mean of the score where its samples are tilted by t."""
        rise = sigmoid(FAST, self.z + self.g * t) - sigmoid(FAST, self.z)
        return jnp.sum(self.weight * self.g * rise)

    def curvature(self, t: Array) -> Array:
        """Return K''(t), the variance there."""
        s = log_loss_dz2(FAST, self.z + self.g * t)
        return jnp.sum(self.weight * jnp.square(self.g) * s)

    def cumulants(self, t: Array) -> Array:
        """Return K(t), the logarithm of the mean of exp(t score); equation (59)."""
        none = jnp.zeros_like(self.z)
        rise = log_loss(FAST, self.z + self.g * t, none) - log_loss(FAST, self.z, none)
        return jnp.sum(self.weight * (rise - self.g * t * sigmoid(FAST, self.z)))

    def largest(self) -> tuple[Array, Array]:
        """Return the largest score, and the logarithm of its probability."""
        side = (self.g > 0).astype(self.z.dtype)
        most = -self.g * log_loss_dz(FAST, self.z, side)
        log_p = jnp.where(self.g == 0, 0.0, -log_loss(FAST, self.z, side))
        return jnp.sum(self.weight * most), jnp.sum(self.weight * log_p)


class _Search(NamedTuple):
    """The search for the t with K'(t) = q: t, its bracket, and K' and K'' there."""

    t: Float[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]
    slope: Float[Array, ""]
    curvature: Float[Array, ""]
    steps: Int[Array, ""]


def _saddle_point(score: _Score, q: Array) -> tuple[Array, Array]:
    """Return the t with K'(t) = q > 0, and whether it was found.

    By Newton's method in a bracket: K' rises.
    """
    near = float(np.finfo(q.dtype).eps) ** 0.5

    def is_near(now: _Search) -> Array:
        return jnp.abs(now.slope - q) <= near * jnp.sqrt(now.curvature)

    def going(now: _Search) -> Array:
        return ~is_near(now) & (now.steps < MAX_STEPS)

    def at(t: Array, low: Array, high: Array, steps: Array) -> _Search:
        return _Search(t, low, high, score.slope(t), score.curvature(t), steps)

    def advance(now: _Search) -> _Search:
        below = now.slope < q
        low, high = jnp.where(below, now.t, now.low), jnp.where(below, now.high, now.t)
        farthest = LARGEST_FACTOR * now.t
        new = at_most(now.t + (q - now.slope) / now.curvature, farthest)
        middle = jnp.where(jnp.isfinite(high), (low + high) / 2, farthest)
        new = jnp.where((new > low) & (new < high), new, middle)
        return at(new, low, high, now.steps + 1)

    zero = jnp.zeros_like(q)
    start = q / score.curvature(zero)
    first = at(start, zero, jnp.full_like(q, jnp.inf), jnp.zeros((), jnp.int32))
    end = loop(going, advance, first)
    return end.t, is_near(end)


def _log_tail(score: _Score, q: Array) -> tuple[Array, Array]:
    """Return log P(score >= q) for q > 0, and whether it is known; equation (60)."""
    largest, log_corner = score.largest()
    slack = 64 * float(np.finfo(q.dtype).eps) * largest
    beyond, corner = q > largest + slack, q >= largest - slack
    t, found = _saddle_point(score, jnp.where(corner, largest / 2, q))
    w = jnp.sqrt(2 * at_least(t * q - score.cumulants(t), 0))
    u = t * jnp.sqrt(score.curvature(t))
    tail = log_upper_tail(w + jnp.log(u / w) / w)
    tail = jnp.where(corner, log_corner, tail)
    return jnp.where(beyond, -jnp.inf, tail), found | corner


@partial(program, static_argnums=0)
def saddle_scan(
    plan: Plan, null: NullModel, G: Array
) -> tuple[Float[Array, "V 1"], Bool[Array, "V 1"]]:
    """Return log10 of the two-sided p of the score tests, and whether it is known."""

    def one(g: Array) -> tuple[Array, Array]:
        X, samples, _ = one_feature(null, g[None], plan.missing)
        v, z = samples.weights(), null.z
        factor = factorize(X.gram(v * log_loss_dz2(FAST, z)), repaired=False)
        last = jnp.zeros((X.shape[0], 1), z.dtype).at[-1].set(1.0)
        # The feature less what the covariates explain of it; (40).
        rest = X.forward(factor.solve(last) / last_variance(factor))
        U = -jnp.sum(v * rest * log_loss_dz(FAST, z, samples.y))
        q = jnp.abs(U)
        ends = [_log_tail(_Score(v, side * rest, z), q) for side in (1.0, -1.0)]
        log_p = at_most(jnp.logaddexp(ends[0][0], ends[1][0]), 0)
        known = ends[0][1] & ends[1][1] & jnp.isfinite(log_p)
        return (log_p / math.log(10)).reshape(1), known.reshape(1)

    return lax.map(one, G, batch_size=plan.width)
