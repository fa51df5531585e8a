"""The span of the samples, in which the dual formulation has its unknowns."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jlogreg.base.params import Params
from jlogreg.data.design import matmul
from jlogreg.formulations.problem import Problem
from jlogreg.solvers.cholesky import factorize

__all__ = ["DualBasis", "dual_basis"]

# Features whose products are added to the Gram matrix at a time, centred in the cache.
BLOCK_FEATURES = 2048


class DualBasis(NamedTuple):
    """The span of the samples, centred; without a bias the mean is 0.

    Shapes: X (n, m), mean (n, 1), gram (m, m) of X - mean.
    """

    X: Float[Array, "n m"]
    mean: Float[Array, "n 1"]
    gram: Float[Array, "m m"]

    def coefficients(self, params: Params) -> Float[Array, "m+1 1"]:
        """Return alpha above b of params, or of their projection on the span."""
        z = matmul(params.w.T, self.X - self.mean)
        alpha = factorize(self.gram).solve(z.T)
        return jnp.concatenate([alpha, params.b + matmul(params.w.T, self.mean)])

    def params(self, point: Float[Array, "m+1 1"]) -> Params:
        """Return w = (X - mean) alphaT and b; equation (21)."""
        alpha = point[:-1]
        w = matmul(self.X, alpha) - self.mean * alpha.sum()
        return Params(w=w, b=point[-1:] - matmul(w.T, self.mean))


def dual_basis(problem: Problem) -> DualBasis:
    """Return the span of the samples that have a weight, with its Gram matrix."""
    X, mean = problem.samples.centered()
    if problem.free is not None:
        X = jnp.where(problem.samples.weights() > 0, X, 0.0)
        mean = jnp.zeros_like(mean)
    n, m = X.shape
    count, rest = divmod(n, BLOCK_FEATURES)

    def product(start: Array | int, size: int) -> Array:
        part = lax.dynamic_slice_in_dim(X, start, size, axis=0)
        part = part - lax.dynamic_slice_in_dim(mean, start, size, axis=0)
        return matmul(part.T, part)

    def add(gram: Array, index: Array) -> tuple[Array, None]:
        return gram + product(index * BLOCK_FEATURES, BLOCK_FEATURES), None

    gram = jnp.zeros((m, m), X.dtype)
    if count:
        gram, _ = lax.scan(add, gram, jnp.arange(count))
    if rest:
        gram = gram + product(count * BLOCK_FEATURES, rest)
    return DualBasis(X=X, mean=mean, gram=gram)
