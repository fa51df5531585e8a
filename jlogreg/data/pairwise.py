"""Products of all pairs and triples of features, for the sums of many problems."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jlogreg.base.programs import program
from jlogreg.data.design import Dense, inner_products, matmul

__all__ = ["Pairwise", "Triplewise", "n_triples", "pairwise", "triplewise"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Pairwise(Dense):
    """A design of one array X, with the products of all pairs of its rows.

    Shapes: X (n, m), a column per sample; pairs (n (n + 1) / 2, m). The entry (j, k) of
    X diag(s) XT is sum_i s_i x_ji x_ki, the product of a row of pairs with s; equation
    (25) of docs/derivation.md. The pairs are the same for all problems, so the Gram
    matrices for many rows s are one matrix product. For a single s, `Dense` is faster.
    """

    pairs: Float[Array, "p m"]

    def slice_samples(self, start: Array | int, size: int) -> Pairwise:
        """Return the samples `start` to `start + size - 1`."""
        return Pairwise(
            X=lax.dynamic_slice_in_dim(self.X, start, size, 1),
            pairs=lax.dynamic_slice_in_dim(self.pairs, start, size, 1),
        )

    def gram(self, s: Float[Array, "1 m"]) -> Float[Array, "n n"]:
        """Return the sandwich product X diag(s) XT."""
        # entries[j, k] is the row of `pairs` with the product of rows j and k.
        n = self.X.shape[0]
        first, second = np.tril_indices(n)
        entries = np.zeros((n, n), int)
        entries[first, second] = entries[second, first] = np.arange(first.size)
        # Without features `take` returns no matrix.
        return jnp.take(inner_products(s, self.pairs)[0], entries).reshape(n, n)

    def squares(self, matrix: Float[Array, "n n"]) -> Float[Array, "1 m"]:
        """Return xT matrix x of each sample x, for a symmetric matrix."""
        first, second = np.tril_indices(len(matrix))
        twice = np.where(first == second, 1.0, 2.0)[:, None]
        entries = matrix[first, second][:, None] * jnp.asarray(twice, matrix.dtype)
        return matmul(entries.T, self.pairs)

    def validated(self, name: str) -> Pairwise:
        """Return the same design: `pairwise` is given checked features."""
        return self


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Triplewise(Pairwise):
    """A `Pairwise` design with the products of all triples of its rows, too.

    Shapes: triples (n (n + 1) (n + 2) / 6, m). The third moments
    sum_i c_i x_ji x_ki x_li for many rows c are one matrix product.
    """

    triples: Float[Array, "t m"]

    def slice_samples(self, start: Array | int, size: int) -> Triplewise:
        """Return the samples `start` to `start + size - 1`."""
        part = Pairwise.slice_samples(self, start, size)
        triples = lax.dynamic_slice_in_dim(self.triples, start, size, 1)
        return Triplewise(part.X, part.pairs, triples)

    def third_moments(self, c: Float[Array, "1 m"]) -> Float[Array, "n+1 n+1 n+1"]:
        """Return the sum of c x_j x_k x_l for all j, k and l, with a 1 below x."""
        n = self.X.shape[0]
        (first, second), one = np.tril_indices(n), np.arange(n)
        # Triples, pairs with the 1, x with the 1 twice, and the 1 alone.
        rows = [_triples(n), (first, second, n), (one, n, n), ([n], [n], [n])]
        entries, count = np.zeros((n + 1, n + 1, n + 1), int), 0
        for three in rows:
            size = np.broadcast_arrays(*three)[0].size
            for order in permutations(three):
                entries[order] = np.arange(count, count + size)
            count += size
        tables = (self.triples, self.pairs, self.X)
        sums = [inner_products(c, table)[0] for table in tables]
        flat = jnp.concatenate([*sums, c.sum(axis=1)])
        return jnp.take(flat, entries).reshape(entries.shape)


def n_triples(n: int) -> int:
    """Return how many products of three of n rows there are."""
    return n * (n + 1) * (n + 2) // 6


def _triples(n: int) -> tuple[np.ndarray, ...]:
    """Return the rows of every triple, in falling order."""
    one, two, three = np.indices((n, n, n)).reshape(3, -1)
    falling = (one >= two) & (two >= three)
    return one[falling], two[falling], three[falling]


@program
def triplewise(X: Float[Array, "n m"]) -> Triplewise:
    """Return the design of X with the products of all pairs and triples of its rows.

    Shapes: X (n, m).
    """
    one, two, three = _triples(X.shape[0])
    return Triplewise(X, pairwise(X).pairs, X[one] * X[two] * X[three])


@program
def pairwise(X: Float[Array, "n m"]) -> Pairwise:
    """Return the design of X with the products of all pairs of its rows.

    Shapes: X (n, m); pairs (n (n + 1) / 2, m), in the order of `np.tril_indices`.
    Equation (25) of docs/derivation.md.
    """
    first, second = np.tril_indices(X.shape[0])
    return Pairwise(X, X[first] * X[second])
