"""Designs: features as linear maps, with the products forward, adjoint and gram.

A design maps the weights of n features to the logits of m samples. How the entries are
stored - in one array, sparse, partly shared with other problems, or standardised
without a copy - concerns its class alone. A plain array means `Dense`. Products have
the highest precision of the device. In the terms of the field, `forward` and `adjoint`
are the products of a linear operator and of its transpose, `gram` is the sandwich
product X diag(s) XT, and `Stacked` is a split matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import is_traced
from jlogreg.base.checks import check_matrix, check_range
from jlogreg.base.errors import DtypeError, ShapeError
from jlogreg.data.sparse import Sparse

__all__ = ["Dense", "Design", "Stacked", "check_design", "inner_products", "matmul"]

matmul = partial(jnp.matmul, precision=lax.Precision.HIGHEST)


def inner_products(
    rows: Float[Array, "K m"], others: Float[Array, "n m"]
) -> Float[Array, "K n"]:
    """Return rows othersT, the inner products of all pairs of rows.

    The second factor is not transposed first: where `rows` is a single one, XLA would
    write the transpose to memory. Over 100 x 2 000 000 that took 490 ms, this 31.
    """
    contracted = (((1,), (1,)), ((), ()))
    precision = lax.Precision.HIGHEST
    return lax.dot_general(rows, others, contracted, precision=precision)


class Design(Protocol):
    """Protocol of all designs: the products with the features of m samples."""

    @property
    def shape(self) -> tuple[int, int]:
        """The sizes (n, m)."""

    @property
    def dtype(self) -> Any:
        """The dtype of the entries."""

    @property
    def sliceable(self) -> bool:
        """Whether `slice_samples` works, at a cost proportional to `size`."""

    def slice_samples(self, start: Array | int, size: int) -> Design:
        """Return the samples `start` to `start + size - 1`."""

    def forward(self, w: Float[Array, "n K"]) -> Float[Array, "K m"]:
        """Return wT X."""

    def adjoint(self, dz: Float[Array, "K m"]) -> Float[Array, "n K"]:
        """Return X dzT."""

    def gram(self, s: Float[Array, "1 m"]) -> Float[Array, "n n"]:
        """Return the sandwich product X diag(s) XT."""

    def gram_diagonal(self, s: Float[Array, "1 m"]) -> Float[Array, "n 1"]:
        """Return the diagonal of X diag(s) XT."""

    def dense(self) -> Float[Array, "n m"]:
        """Return X as one array."""

    def finite(self) -> Bool[Array, "1 m"]:
        """Return which samples have only finite features."""

    def zero_nonfinite(self) -> Design:
        """Return the same design with its non-finite entries replaced by 0."""

    def validated(self, name: str) -> Design:
        """Return the same design, its shapes and dtypes checked."""

    def check_values(self, name: str) -> None:
        """Raise a ValueError unless all entries that are not traced are finite."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dense:
    """A design whose features are one array.

    Shapes: X (n, m), a column per sample.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import Dense
        >>> X = Dense(jnp.array([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]]))
        >>> X.shape
        (2, 3)
        >>> X.forward(jnp.array([[2.0], [1.0]])).tolist()
        [[2.0, 5.0, 6.0]]
    """

    X: Float[Array, "n m"]

    @property
    def shape(self) -> tuple[int, int]:
        """The sizes (n, m)."""
        n, m = self.X.shape
        return n, m

    @property
    def dtype(self) -> Any:
        """The dtype of the entries."""
        return self.X.dtype

    @property
    def sliceable(self) -> bool:
        """Whether `slice_samples` works, at a cost proportional to `size`."""
        return True

    def slice_samples(self, start: Array | int, size: int) -> Dense:
        """Return the samples `start` to `start + size - 1`."""
        return Dense(lax.dynamic_slice_in_dim(self.X, start, size, axis=1))

    def forward(self, w: Float[Array, "n K"]) -> Float[Array, "K m"]:
        """Return wT X."""
        return w.T * self.X if self._one else matmul(w.T, self.X)

    def adjoint(self, dz: Float[Array, "K m"]) -> Float[Array, "n K"]:
        """Return X dzT."""
        if self._one and len(dz) == 1:
            return (self.X * dz).sum()[None, None]
        # In this order a batch of dz needs no transposition: it is the left factor.
        return inner_products(dz, self.X).T

    def gram(self, s: Float[Array, "1 m"]) -> Float[Array, "n n"]:
        """Return the sandwich product X diag(s) XT."""
        if self._one:
            return ((s * self.X) * self.X).sum()[None, None]
        return inner_products(self.X * s, self.X)

    @property
    def _one(self) -> bool:
        # With a single feature, products are sums: under vmap, a sum is faster than a
        # batch of matrix products with one row.
        return self.X.shape[0] == 1

    def gram_diagonal(self, s: Float[Array, "1 m"]) -> Float[Array, "n 1"]:
        """Return the diagonal of X diag(s) XT."""
        return matmul(jnp.square(self.X), s.T)

    def dense(self) -> Float[Array, "n m"]:
        """Return X as one array."""
        return self.X

    def finite(self) -> Bool[Array, "1 m"]:
        """Return which samples have only finite features."""
        return jnp.isfinite(self.X).all(axis=0, keepdims=True)

    def zero_nonfinite(self) -> Dense:
        """Return the same design with its non-finite entries replaced by 0."""
        return Dense(jnp.where(jnp.isfinite(self.X), self.X, 0))

    def validated(self, name: str) -> Dense:
        """Return the same design, its shape and dtype checked."""
        return Dense(check_matrix(name, self.X, ("n", "m"), no_rows=True))

    def check_values(self, name: str) -> None:
        """Raise a ValueError unless all entries that are not traced are finite."""
        if not is_traced(self.X):
            check_range(name, self.X)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Stacked:
    """A split design: features shared by many problems above those of one problem.

    Shapes: shared (n1, m) and own (n2, m), each an array or a design; together
    (n1 + n2, m). The shared features are not copied. The methods are those of `Dense`.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from jlogreg import Params, Stacked, logits
        >>> shared = jnp.array([[1.0, 2.0]])
        >>> own = jnp.array([[[0.0, 1.0]], [[3.0, 0.0]]])  # of two problems
        >>> params = Params(w=jnp.ones((2, 1)), b=jnp.zeros((1, 1)))
        >>> jax.vmap(lambda own: logits(params, Stacked(shared, own)))(own).tolist()
        [[[1.0, 3.0]], [[4.0, 2.0]]]
    """

    shared: Any
    own: Any

    @property
    def shape(self) -> tuple[int, int]:
        """The sizes (n1 + n2, m)."""
        return self.shared.shape[0] + self.own.shape[0], self.own.shape[1]

    @property
    def dtype(self) -> Any:
        """The dtype of the entries."""
        return self.own.dtype

    @property
    def sliceable(self) -> bool:
        """Whether `slice_samples` works, at a cost proportional to `size`."""
        return bool(self.shared.sliceable and self.own.sliceable)

    def slice_samples(self, start: Array | int, size: int) -> Stacked:
        """Return the samples `start` to `start + size - 1`."""
        return Stacked(
            self.shared.slice_samples(start, size), self.own.slice_samples(start, size)
        )

    def forward(self, w: Float[Array, "n K"]) -> Float[Array, "K m"]:
        """Return wT X."""
        n1 = self.shared.shape[0]
        return self.shared.forward(w[:n1]) + self.own.forward(w[n1:])

    def adjoint(self, dz: Float[Array, "K m"]) -> Float[Array, "n K"]:
        """Return X dzT."""
        return jnp.concatenate([self.shared.adjoint(dz), self.own.adjoint(dz)])

    def gram(self, s: Float[Array, "1 m"]) -> Float[Array, "n n"]:
        """Return the sandwich product X diag(s) XT in four blocks."""
        # Under vmap over problems with a common s, the first is computed once.
        across = self.shared.adjoint(s * self.own.dense())
        return jnp.block([[self.shared.gram(s), across], [across.T, self.own.gram(s)]])

    def gram_diagonal(self, s: Float[Array, "1 m"]) -> Float[Array, "n 1"]:
        """Return the diagonal of X diag(s) XT."""
        return jnp.concatenate(
            [self.shared.gram_diagonal(s), self.own.gram_diagonal(s)]
        )

    def dense(self) -> Float[Array, "n m"]:
        """Return X as one array."""
        return jnp.concatenate([self.shared.dense(), self.own.dense()])

    def finite(self) -> Bool[Array, "1 m"]:
        """Return which samples have only finite features."""
        return self.shared.finite() & self.own.finite()

    def zero_nonfinite(self) -> Stacked:
        """Return the same design with its non-finite entries replaced by 0."""
        return Stacked(self.shared.zero_nonfinite(), self.own.zero_nonfinite())

    def validated(self, name: str) -> Stacked:
        """Return the same design, its shapes and dtypes checked."""
        shared = check_design(f"{name}.shared", self.shared)
        own = check_design(f"{name}.own", self.own)
        if shared.shape[1] != own.shape[1]:
            raise ShapeError(
                f"{name}.shared has {shared.shape[1]} samples, but {name}.own has "
                f"{own.shape[1]}"
            )
        if shared.dtype != own.dtype:
            raise DtypeError(
                f"{name}.shared has dtype {shared.dtype}, but {name}.own has "
                f"{own.dtype}: convert it with {name}.own.astype(jnp.{shared.dtype})"
            )
        return Stacked(shared, own)

    def check_values(self, name: str) -> None:
        """Raise a ValueError unless all entries that are not traced are finite."""
        self.shared.check_values(f"{name}.shared")
        self.own.check_values(f"{name}.own")


def check_design(name: str, X: Any) -> Design:
    """Return X as a design, its shapes and dtypes checked.

    Shapes: X (n, m): an array, a BCOO or a design. name is that of X in messages.

    Raises:
        DtypeError, RankError, ShapeError: if X has the wrong type, dtype, rank or
            shape.
    """
    if hasattr(X, "validated"):
        return cast(Design, X).validated(name)
    kind = type(X)
    # By name: the import of jax.experimental.sparse is slow, and rarely needed.
    if kind.__name__ == "BCOO" and kind.__module__.startswith("jax."):
        return cast(Design, Sparse(X).validated(name))
    return Dense(X).validated(name)
