"""Hold features for the Gram matrices of many problems at once."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jlogreg.design import Dense, matmul

__all__ = ["Paired"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Paired(Dense):
    """Hold the features in one array, whose grams go by the products of its rows.

    X diag(s) XT has the entries sum_i s_i x_ji x_ki: the products of all pairs of rows,
    times s. The products are the same for all problems, so for many rows s they meet
    them in one matrix product, where a problem alone had better scale X.

    Shapes: X (n, m), a column per sample.
    """

    def part(self, start: Array | int, size: int) -> Paired:
        """Return `size` of the samples, from `start` on."""
        return Paired(lax.dynamic_slice_in_dim(self.X, start, size, axis=1))

    def gram(self, s: Float[Array, "1 m"]) -> Float[Array, "n n"]:
        """Return X diag(s) XT."""
        n = self.X.shape[0]
        first, second = np.tril_indices(n)
        pairs = self.X[first] * self.X[second]
        entries = np.zeros((n, n), int)
        entries[first, second] = entries[second, first] = np.arange(first.size)
        return jnp.take(matmul(s, pairs.T)[0], entries)
