"""Sparse features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import is_traced
from jlogreg.base.checks import check_matrix, check_range
from jlogreg.base.errors import RankError, ShapeError

__all__ = ["Sparse"]

# Rows of X diag(s) XT that `gram` computes at a time.
GRAM_ROWS = 64


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sparse:
    """A design whose features are a sparse matrix.

    Shapes: X (n, m), a jax.experimental.sparse.BCOO of two sparse dimensions, a column
    per sample. Entries with equal indices are added. The methods are those of `Dense`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jax.experimental.sparse import BCOO
        >>> from jlogreg import Sparse
        >>> X = BCOO.fromdense(jnp.array([[0.0, 1.0, 0.0], [2.0, 0.0, 0.0]]))
        >>> Sparse(X).forward(jnp.array([[3.0], [1.0]])).tolist()
        [[2.0, 3.0, 0.0]]
    """

    X: Any

    @property
    def shape(self) -> tuple[int, int]:
        """The sizes (n, m)."""
        n, m = self.X.shape
        return n, m

    @property
    def dtype(self) -> Any:
        """The dtype of the entries."""
        return self.X.data.dtype

    @property
    def sliceable(self) -> bool:
        """False: to find the entries of some columns takes a pass over all."""
        return False

    def slice_samples(self, start: Array | int, size: int) -> Sparse:
        """Raise a NotImplementedError, since `sliceable` is False."""
        raise NotImplementedError("a sparse design has no parts")

    def forward(self, w: Float[Array, "n K"]) -> Float[Array, "K m"]:
        """Return wT X."""
        row, column = self.X.indices.T
        # The padding of a BCOO has indices outside the matrix; its entries are 0.
        terms = self.X.data[:, None] * w.at[row].get(mode="fill", fill_value=0)
        return jax.ops.segment_sum(terms, column, self.shape[1]).T

    def adjoint(self, dz: Float[Array, "K m"]) -> Float[Array, "n K"]:
        """Return X dzT."""
        row, column = self.X.indices.T
        terms = self.X.data[:, None] * dz.T.at[column].get(mode="fill", fill_value=0)
        return jax.ops.segment_sum(terms, row, self.shape[0])

    def gram(self, s: Float[Array, "1 m"]) -> Float[Array, "n n"]:
        """Return the sandwich product X diag(s) XT, a few rows at a time."""
        n = self.shape[0]
        size = min(max(n, 1), GRAM_ROWS)

        def rows(start: Array) -> Array:
            # The rows are X diag(s) XT times unit vectors, transposed. Beyond n they
            # are 0, and cut off at the end.
            unit = jnp.arange(n)[:, None] == start + jnp.arange(size)[None]
            return self.adjoint(s * self.forward(unit.astype(s.dtype))).T

        starts = jnp.arange(-(-n // size)) * size
        return lax.map(rows, starts).reshape(len(starts) * size, n)[:n]

    def gram_diagonal(self, s: Float[Array, "1 m"]) -> Float[Array, "n 1"]:
        """Return the diagonal of X diag(s) XT."""
        X = self.X if self.X.unique_indices else self.X.sum_duplicates(nse=self.X.nse)
        row, column = X.indices.T
        terms = X.data**2 * s[0].at[column].get(mode="fill", fill_value=0)
        return jax.ops.segment_sum(terms, row, self.shape[0])[:, None]

    def dense(self) -> Float[Array, "n m"]:
        """Return X as one array."""
        row, column = self.X.indices.T
        zeros = jnp.zeros(self.shape, self.dtype)
        return zeros.at[row, column].add(self.X.data, mode="drop")

    def finite(self) -> Bool[Array, "1 m"]:
        """Return which samples have only finite features."""
        nonfinite = jnp.where(jnp.isfinite(self.X.data), 0, 1)
        count = jax.ops.segment_sum(nonfinite, self.X.indices[:, 1], self.shape[1])
        return (count == 0)[None]

    def zero_nonfinite(self) -> Sparse:
        """Return the same design with its non-finite entries replaced by 0."""
        return self._with(jnp.where(jnp.isfinite(self.X.data), self.X.data, 0))

    def validated(self, name: str) -> Sparse:
        """Return the same design, its shape and dtype checked."""
        X = self.X
        if X.n_sparse != 2 or X.n_batch or X.n_dense:
            raise RankError(
                f"{name} is a BCOO of shape {X.shape} with n_batch {X.n_batch}, "
                f"n_sparse {X.n_sparse} and n_dense {X.n_dense}, but must have two "
                "sparse dimensions and no other"
            )
        if X.shape[1] == 0:
            raise ShapeError(f"{name} has shape {X.shape}: a size of 0 holds nothing")
        data = check_matrix(f"{name}.data", X.data[:, None], ("nse", 1), no_rows=True)
        return self._with(data[:, 0])

    def check_values(self, name: str) -> None:
        """Raise a ValueError unless all entries that are not traced are finite."""
        if not is_traced(self.X.data):
            check_range(f"{name}.data", self.X.data[:, None])

    def _with(self, data: Array) -> Sparse:
        """Return the design with other entries at the same indices."""
        X = self.X
        flags = {
            "indices_sorted": X.indices_sorted,
            "unique_indices": X.unique_indices,
        }
        return Sparse(type(X)((data, X.indices), shape=X.shape, **flags))
