"""Centred unknowns: the same problem with each feature near zero.

The bias is free, so a constant that is taken from a feature, or from the offset,
changes nothing but the bias: with a center c and a shift d

    z = wT x + b + o = wT (x - c) + b' + (o - d),    b' = b + wT c + d;

equation (28) of docs/derivation.md. The digits of a feature that is far from zero, a
year or a temperature in kelvin, are those of its variation only then.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.design import Design, Stacked, matmul
from jlogreg.data.reduction import sum_over_devices
from jlogreg.data.samples import Samples
from jlogreg.data.standardized import Standardized
from jlogreg.formulations.problem import Problem, Solution

__all__ = ["Centering", "centered", "feature_center"]

# Samples among which the middle value of a feature is looked for.
SAMPLES = 15
# A bias that its precision rounds by more than this, in logits, holds no answer.
MAX_BIAS_ROUNDING = 0.1


class Centering(NamedTuple):
    """What is taken from the features and from the offset.

    Shapes: features (n, 1), offset (1, 1). None where nothing is taken.
    """

    features: Float[Array, "n 1"] | None
    offset: Float[Array, "1 1"] | None

    @classmethod
    def of(cls, problem: Problem, features: Float[Array, "n 1"] | None) -> Centering:
        """Return the centering of a problem, for a given center of the features."""
        samples = problem.samples
        if samples.offset is None or problem.free is not None:
            return cls(features, None)

        def middle(part: Samples) -> Array:
            assert part.offset is not None
            return _middle(part.offset[0, _spread(part)][:, None, None])

        return cls(features, _mean_over_devices(middle, samples))

    def problem(self, problem: Problem) -> Problem:
        """Return the problem in centred unknowns, given one whose X is centred."""
        samples = problem.samples
        if self.offset is None or samples.offset is None:
            return problem
        samples = samples._replace(offset=samples.offset - self.offset)
        return problem._replace(samples=samples)

    def shift(self, w: Float[Array, "n c"]) -> Float[Array, "1 c"] | float:
        """Return b' - b."""
        change = 0.0 if self.features is None else matmul(self.features.T, w)
        return change if self.offset is None else change + self.offset

    def to_centered(self, params: Params) -> Params:
        """Return w and b' for w and b."""
        return params._replace(b=params.b + self.shift(params.w))

    def start(self, init: Params | None) -> Params | None:
        """Return where to start in centred unknowns, None where init says nothing."""
        return None if init is None else self.to_centered(init)

    def solution(self, solution: Solution, init: Params | None) -> Solution:
        """Return the solution in the user's unknowns.

        Without a step it is the user's start, bit for bit. A plane that separates the
        labels does so without the offset. A bias that is too large for its precision is
        no answer.
        """
        params, gradient = solution.params, solution.gradient
        separated = solution.status == Status.SEPARATED
        alone = self._replace(offset=None).shift(params.w)
        shift = jnp.where(separated, alone, self.shift(params.w)).astype(params.b.dtype)
        user = params._replace(b=params.b - shift)
        if init is not None:
            unmoved = (solution.steps == 0) & (solution.status != Status.BAD_INPUT)
            user = jax.tree.map(lambda a, b: jnp.where(unmoved, a, b), init, user)
        if self.features is not None:
            gradient = gradient._replace(w=gradient.w + self.features * gradient.b)
        rounding = float(np.finfo(params.b.dtype).eps) * jnp.abs(shift).sum()
        lost = (solution.status == Status.CONVERGED) & (rounding > MAX_BIAS_ROUNDING)
        return solution._replace(
            params=user,
            status=jnp.where(lost, Status.SINGULAR, solution.status).astype(jnp.int32),
            gradient=gradient,
        )

    def gradient_to_centered(self, vector: Float[Array, "n+1 c"]) -> Array:
        """Return a gradient in w and b' for one in w and b."""
        if self.features is None:
            return vector
        w, b = vector[:-1], vector[-1:]
        return jnp.concatenate([w - self.features * b, b])

    def step_to_original(self, vector: Float[Array, "n+1 c"]) -> Array:
        """Return a step in w and b for one in w and b'."""
        if self.features is None:
            return vector
        w, b = vector[:-1], vector[-1:]
        return jnp.concatenate([w, b - matmul(self.features.T, w)])


def centered(X: Design, center: Float[Array, "n 1"]) -> Design:
    """Return the design of X - center, without a copy of X."""
    if isinstance(X, Stacked):
        n = X.shared.shape[0]
        return Stacked(centered(X.shared, center[:n]), centered(X.own, center[n:]))
    return Standardized(X, center, jnp.ones_like(center))


def feature_center(samples: Samples) -> Float[Array, "n 1"]:
    """Return a value in the middle of each feature, over samples that have a weight.

    It is the median of a few of them, evenly spread. Unlike a mean it is near most of
    the numbers, whatever the others are, so that these keep their digits.
    """

    def middle(part: Samples) -> Array:
        def features(position: Array) -> Array:
            return part.X.slice_samples(position, 1).dense()

        return _middle(jax.vmap(features)(_spread(part)))

    return _mean_over_devices(middle, lax.stop_gradient(samples))


def _spread(samples: Samples) -> Array:
    """Return where a few samples are, evenly spread among those with a weight."""
    m = samples.X.shape[1]
    count = min(SAMPLES, m)
    # The sample in the middle of each of `count` parts.
    if samples.weight is None:
        return jnp.asarray((2 * np.arange(count) + 1) * m // (2 * count))
    kept = jnp.cumsum(samples.weight[0] > 0, dtype=jnp.int32)
    parts = jnp.asarray((np.arange(count) + 0.5) / count, samples.y.dtype)
    before = (parts * kept[-1].astype(parts.dtype)).astype(jnp.int32)
    positions = jnp.sum(kept[None] <= before[:, None], axis=1, dtype=jnp.int32)
    return jnp.where(positions < m, positions, m - 1)


def _middle(values: Float[Array, "k n 1"]) -> Float[Array, "n 1"]:
    """Return the lower median of k values; 0 where too few are numbers."""
    k = len(values)
    first = jnp.arange(k)[:, None] < jnp.arange(k)[None, :]
    rows, others = values[None], values[:, None]
    is_before = (others < rows) | ((others == rows) & first[:, :, None, None])
    rank = is_before.sum(axis=0)
    return jnp.where(rank == (k - 1) // 2, values, 0.0).sum(axis=0)


def _mean_over_devices(function: Any, samples: Samples) -> Array:
    """Return function(samples), or its mean over the devices that hold the samples."""

    def summand(part: Samples) -> tuple[Array, Array]:
        return function(part), jnp.ones((), part.y.dtype)

    total, count = sum_over_devices(summand, samples)
    return lax.stop_gradient(total / count)
