"""The span of the samples, in which the dual formulation has its unknowns."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jlogreg.base.params import Params
from jlogreg.data.design import Dense, Design, matmul
from jlogreg.data.standardized import Standardized
from jlogreg.formulations.problem import Problem
from jlogreg.solvers.cholesky import factorize

__all__ = ["DualBasis", "dual_basis", "has_rows"]

# Features whose products are added to the Gram matrix at a time, centred in the cache.
BLOCK_FEATURES = 2048


class DualBasis(NamedTuple):
    """The span of the samples, centred; without a bias the mean is 0.

    Shapes: X stands for (n, m); mean (n, 1), gram (m, m) of X - mean.
    """

    X: Design
    mean: Float[Array, "n 1"]
    gram: Float[Array, "m m"]

    def forward(self, w: Float[Array, "n c"]) -> Float[Array, "c m"]:
        """Return wT (X - mean)."""

        def add(z: Array, part: Array, start: Array | int) -> Array:
            own = lax.dynamic_slice_in_dim(w, start, len(part), axis=0)
            return z + matmul(own.T, part)

        z = jnp.zeros((w.shape[1], self.X.shape[1]), w.dtype)
        return _over_features(self.X, self.mean, add, z)

    def adjoint(self, rows: Float[Array, "c m"]) -> Float[Array, "n c"]:
        """Return (X - mean) rowsT."""

        def add(w: Array, part: Array, start: Array | int) -> Array:
            own = matmul(part, rows.T)
            return lax.dynamic_update_slice_in_dim(w, own, start, axis=0)

        w = jnp.zeros((self.X.shape[0], len(rows)), rows.dtype)
        return _over_features(self.X, self.mean, add, w)

    def coefficients(self, params: Params) -> Float[Array, "m+1 1"]:
        """Return alpha above b' of params, or of their projection on the span."""
        alpha = factorize(self.gram).solve(self.forward(params.w).T)
        return jnp.concatenate([alpha, params.b + matmul(params.w.T, self.mean)])

    def params(self, point: Float[Array, "m+1 1"]) -> Params:
        """Return w = (X - mean) alphaT, and the bias b' of centred features; (21)."""
        return Params(w=self.adjoint(point[:-1].T), b=point[-1:])


def has_rows(X: Design) -> bool:
    """Return whether the features are rows of an array, or such rows standardised."""
    while isinstance(X, Standardized):
        X = X.X
    return isinstance(X, Dense)


def dual_basis(problem: Problem) -> DualBasis:
    """Return the span of the samples that have a weight, with its Gram matrix."""
    samples = problem.samples
    X, m = samples.X, samples.X.shape[1]
    if problem.free is not None:  # without a bias, nothing makes up for a mean
        mean = jnp.zeros((X.shape[0], 1), X.dtype)
        if samples.weight is not None:
            X = Dense(jnp.where(samples.weight > 0, X.dense(), 0.0))
    elif samples.weight is None:
        mean = X.adjoint(jnp.ones_like(samples.y)) / m
    else:
        columns, mean = samples.centered()
        X = Dense(columns)

    def add(gram: Array, part: Array, _: Array | int) -> Array:
        return gram + matmul(part.T, part)

    gram = _over_features(X, mean, add, jnp.zeros((m, m), X.dtype))
    return DualBasis(X=X, mean=mean, gram=gram)


def _over_features(
    X: Design,
    mean: Array,
    add: Callable[[Array, Array, Array | int], Array],
    total: Array,
) -> Array:
    """Return total after add(total, part, start) for each block of features.

    A block is centred where its product is computed, in the cache: the product less
    that with the mean would have lost the digits of features far from zero.
    """
    count, rest = divmod(X.shape[0], BLOCK_FEATURES)

    def after(total: Array, start: Array | int, size: int) -> Array:
        part = _rows(X, start, size)
        part = part - lax.dynamic_slice_in_dim(mean, start, size, axis=0)
        return add(total, part, start)

    def step(total: Array, index: Array) -> tuple[Array, None]:
        return after(total, index * BLOCK_FEATURES, BLOCK_FEATURES), None

    if count:
        total, _ = lax.scan(step, total, jnp.arange(count))
    return after(total, count * BLOCK_FEATURES, rest) if rest else total


def _rows(X: Design, start: Array | int, size: int) -> Array:
    """Return `size` features, from `start` on."""
    if isinstance(X, Standardized):
        mean, scale = (
            lax.dynamic_slice_in_dim(column, start, size, axis=0)
            for column in (X.mean, X.scale)
        )
        return (_rows(X.X, start, size) - mean) / scale
    return lax.dynamic_slice_in_dim(X.dense(), start, size, axis=0)
