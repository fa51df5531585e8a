"""Factorise positive semidefinite matrices, and say when they are singular."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

__all__ = ["Factor", "factorise"]


class Factor(NamedTuple):
    """Hold the Cholesky factor L of a matrix scaled to a diagonal of ones.

    Shapes: L (k, k), scale (k, 1). singular says that L is that of the matrix with a
    little added to its diagonal.
    """

    L: Float[Array, "k k"]
    scale: Float[Array, "k 1"]
    singular: Bool[Array, ""]

    def solve(self, right: Float[Array, "k c"]) -> Float[Array, "k c"]:
        """Return the inverse of the matrix times right."""
        half = solve_triangular(self.L, self.scale * right, lower=True)
        return self.scale * solve_triangular(self.L, half, lower=True, trans=1)


def factorise(matrix: Float[Array, "k k"], roundings: int | None = None) -> Factor:
    """Return the factor of a symmetric positive semidefinite matrix.

    Its rows and columns are scaled to a diagonal of ones first, so that units of
    measurement matter neither to accuracy nor to what counts as singular: that the part
    of a column that those before it do not explain is below some roundings, by default
    10 k.
    """
    k = matrix.shape[0]
    small = (10 * k if roundings is None else roundings) * _eps(matrix)
    diagonal = jnp.diagonal(matrix)[:, None]
    # Near underflow digits are lost one by one, so that far is as good as nothing.
    tiny = float(np.finfo(matrix.dtype).tiny) / _eps(matrix)
    positive = diagonal > tiny
    matrix = jnp.where(positive & positive.T, matrix, 0.0)
    scale = jnp.where(positive, lax.rsqrt(jnp.where(positive, diagonal, 1.0)), 1.0)
    unit = matrix * scale * scale.T
    L = _cholesky(unit)
    singular = ~(jnp.diagonal(L).min() ** 2 > small)
    more = 10 * k * _eps(matrix) * jnp.eye(k, dtype=matrix.dtype)
    L = lax.cond(singular, lambda: _cholesky(unit + more), lambda: L)
    return Factor(L=L, scale=scale, singular=singular)


def _eps(matrix: Array) -> float:
    return float(np.finfo(matrix.dtype).eps)


def _cholesky(matrix: Array) -> Array:
    return lax.linalg.cholesky(matrix, symmetrize_input=False)
