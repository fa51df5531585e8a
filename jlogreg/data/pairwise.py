"""Hold features for the Gram matrices of many problems at once."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jlogreg.data.design import Dense, matmul

__all__ = ["Pairwise", "pairwise"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Pairwise(Dense):
    """Hold the features in one array, and the products of their pairs in another.

    X diag(s) XT has the entries sum_i s_i x_ji x_ki: the products of all pairs of rows,
    times s; equation (25) of docs/derivation.md. They are the same for all problems, so
    for many rows s one matrix product makes all the Gram matrices, where a problem
    alone had better scale X.

    Shapes: X (n, m), a column per sample; pairs (n (n + 1) / 2, m).
    """

    pairs: Float[Array, "p m"]

    def slice_samples(self, start: Array | int, size: int) -> Pairwise:
        """Return `size` of the samples, from `start` on."""
        both = (self.X, self.pairs)
        return Pairwise(
            *(lax.dynamic_slice_in_dim(rows, start, size, 1) for rows in both)
        )

    def gram(self, s: Float[Array, "1 m"]) -> Float[Array, "n n"]:
        """Return X diag(s) XT."""
        n = self.X.shape[0]
        first, second = np.tril_indices(n)
        entries = np.zeros((n, n), int)
        entries[first, second] = entries[second, first] = np.arange(first.size)
        return jnp.take(matmul(s, self.pairs.T)[0], entries)

    def validated(self, name: str) -> Pairwise:
        """Return itself: it is made of what was checked."""
        return self


@jax.jit
def pairwise(X: Float[Array, "n m"]) -> Pairwise:
    """Return the features with the products of their pairs.

    Shapes: X (n, m).
    """
    first, second = np.tril_indices(X.shape[0])
    return Pairwise(X, X[first] * X[second])
