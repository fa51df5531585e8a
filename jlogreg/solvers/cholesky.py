"""Scaled Cholesky factors of positive semidefinite matrices, and their singularity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.custom_batching
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import largest

__all__ = [
    "Factor",
    "ReversedFactor",
    "factorize",
    "factorize_reversed",
    "rounding_level",
]

# Up to this number of unknowns the arithmetic of a batch is written out, and vectorised
# over the problems: a call of LAPACK for each of many small matrices takes longer than
# its work. For one matrix the call is the smaller program.
MAX_UNROLLED = 8
# Up to this number LAPACK inverts a triangle sooner than products of its halves do.
MAX_SOLVED = 32


class Factor(NamedTuple):
    """The Cholesky factor L of a matrix that is scaled to a diagonal of ones.

    Shapes: L (k, k), scale (k, 1). If singular, L is the factor of the matrix with a
    little added to its diagonal.
    """

    L: Float[Array, "k k"]
    scale: Float[Array, "k 1"]
    singular: Bool[Array, ""]

    def solve(self, right: Float[Array, "k c"]) -> Float[Array, "k c"]:
        """Return the inverse of the matrix times right."""
        return self.scale * _solve(self.L, self.scale * right)

    def log_det(self) -> Float[Array, ""]:
        """Return the logarithm of the determinant of the matrix."""
        return 2 * jnp.sum(jnp.log(jnp.diagonal(self.L)[:, None] / self.scale))

    def inverse_root(self) -> Float[Array, "k k"]:
        """Return a square root R of the inverse of the matrix: R RT is the inverse."""
        unit = jnp.eye(len(self.L), dtype=self.L.dtype)
        return self.scale * _solve_lower(self.L, unit).T


class ReversedFactor(NamedTuple):
    """The factor of a matrix with its rows and columns in reverse order.

    inflation () is the largest entry of the diagonal of the inverse, once the matrix is
    scaled to a diagonal of ones: the largest variance inflation factor.
    """

    factor: Factor
    inflation: Float[Array, ""]

    @property
    def scale(self) -> Float[Array, "k 1"]:
        """The scale of the factor, in the order of the matrix."""
        return jnp.flip(self.factor.scale, 0)

    @property
    def singular(self) -> Bool[Array, ""]:
        """Whether the matrix is singular."""
        return self.factor.singular

    def solve(self, right: Float[Array, "k c"]) -> Float[Array, "k c"]:
        """Return the inverse of the matrix times right."""
        return jnp.flip(self.factor.solve(jnp.flip(right, 0)), 0)

    def log_det(self) -> Float[Array, ""]:
        """Return the logarithm of the determinant of the matrix."""
        return self.factor.log_det()

    def inverse_root(self) -> Float[Array, "k k"]:
        """Return a square root R of the inverse of the matrix: R RT is the inverse."""
        return jnp.flip(self.factor.inverse_root(), 0)


def factorize_reversed(
    matrix: Float[Array, "k k"], inspected: Array | bool = True
) -> ReversedFactor:
    """Return the factor of a matrix whose last unknown is eliminated first.

    If that is the bias, what remains of the others are their variations about their
    means, and a combination of features that is constant, but not 0, is found singular
    as exactly as one that is 0. Where it is inspected, the matrix is singular, too, if
    a column has no more than rounding error left after all the others are projected
    out, in whatever order: one over an entry of the inverse's diagonal. The remainder
    of a column after those before it may consist of their roundings, enlarged by a
    small remainder among them.

    Args:
        matrix: (k, k).
        inspected: whether to compute the inflation, which takes an inverse of L; it is
            0 otherwise.
    """
    factor = factorize(jnp.flip(matrix))
    inflation = _inflation(factor.L, jnp.asarray(inspected))
    enough = inflation * rounding_level(len(matrix), matrix.dtype) < 1
    factor = factor._replace(singular=factor.singular | ~enough)
    return ReversedFactor(factor, inflation)


def factorize(
    matrix: Float[Array, "k k"], roundings: int | None = None, repaired: bool = True
) -> Factor:
    """Return the factor of a symmetric positive semidefinite matrix.

    Its rows and columns are scaled to a diagonal of ones first, so that units of
    measurement change neither accuracy nor singularity. The matrix is singular if the
    remainder of a column, after those before it are projected out, is no larger than
    rounding error. In 3000 random matrices of 4 to 40 columns, collinear columns left
    up to 210 roundings, and in 999 of 1000 fewer than the default of 100 + 10 k.

    Args:
        matrix: (k, k).
        roundings: the rounding error of a remainder, in eps; by default 100 + 10 k.
        repaired: whether to add a little to the diagonal of a singular matrix; without
            it, L is of no use there.
    """
    # Scale rows and columns to a diagonal of ones.
    k, eps = matrix.shape[0], float(np.finfo(matrix.dtype).eps)
    small = rounding_level(k, matrix.dtype) if roundings is None else roundings * eps
    diagonal = jnp.diagonal(matrix)[:, None]
    # Near underflow digits are lost one by one, so such a diagonal counts as zero.
    positive = ~(diagonal <= float(np.finfo(matrix.dtype).tiny) / eps)  # or NaN
    matrix = jnp.where(positive & positive.T, matrix, 0.0)
    scale = jnp.where(positive, lax.rsqrt(jnp.where(positive, diagonal, 1.0)), 1.0)
    unit = matrix * scale * scale.T
    # Factorize; the squared diagonal of L holds the remainders.
    L = _cholesky(unit)
    singular = ~(jnp.square(jnp.diagonal(L)) > small).all()
    return Factor(_repair_if(singular, unit, L) if repaired else L, scale, singular)


def rounding_level(k: int, dtype: Any) -> float:
    """Return the relative size of a column's remainder that is rounding error."""
    return (100 + 10 * k) * float(np.finfo(dtype).eps)


def _batched_by(unrolled: Callable[..., Array]) -> Callable[..., Any]:
    """Return a decorator of functions of one matrix, which call LAPACK.

    A batch of small matrices is taken by the unrolled function. On a CPU a batch of
    large ones is taken one after the other: LAPACK is called on a whole batch there by
    a thread that waits for others of its own pool. With two cores and a matrix product
    at the same time, all may wait, and forever.
    """

    def decorate(function: Callable[..., Array]) -> Callable[..., Array]:
        small = jax.custom_batching.custom_vmap(function)
        one_by_one = jax.custom_batching.sequential_vmap(function)

        @small.def_vmap
        def take_batch(_: int, mapped: Any, *arguments: Array) -> tuple[Array, bool]:
            axes = [0 if is_mapped else None for is_mapped in mapped]
            return jax.vmap(unrolled, in_axes=axes)(*arguments), True

        def apply(*arguments: Array) -> Array:
            if len(arguments[0]) <= MAX_UNROLLED:
                return small(*arguments)
            on_cpu = jax.default_backend() == "cpu"
            return (one_by_one if on_cpu else function)(*arguments)

        return apply

    return decorate


def _unrolled_cholesky(matrix: Array) -> Array:
    k = matrix.shape[0]
    L: list[list[Array]] = []
    for i in range(k):
        row: list[Array] = []
        for j in range(i):
            rest = matrix[i, j] - sum(row[p] * L[j][p] for p in range(j))
            row.append(rest / L[j][j])
        row.append(jnp.sqrt(matrix[i, i] - sum(entry * entry for entry in row)))
        L.append(row)
    zero = jnp.zeros((), matrix.dtype)
    return jnp.stack([jnp.stack([*row, *[zero] * (k - len(row))]) for row in L])


def _unrolled_solve_lower(L: Array, right: Array) -> Array:
    x: list[Array] = []
    for i in range(L.shape[0]):
        x.append((right[i] - sum(L[i, j] * x[j] for j in range(i))) / L[i, i])
    return jnp.stack(x)


def _unrolled_solve(L: Array, right: Array) -> Array:
    k = L.shape[0]
    half = _unrolled_solve_lower(L, right)
    x: list[Array] = [right[0]] * k
    for i in reversed(range(k)):
        known = sum(L[j, i] * x[j] for j in range(i + 1, k))
        x[i] = (half[i] - known) / L[i, i]
    return jnp.stack(x)


@_batched_by(_unrolled_cholesky)
def _cholesky(matrix: Array) -> Array:
    return lax.linalg.cholesky(matrix, symmetrize_input=False)


def _unrolled_inflation(L: Array, needed: Array) -> Array:
    root = _unrolled_solve_lower(L, jnp.eye(len(L), dtype=L.dtype))
    return jnp.where(needed, largest(jnp.sum(jnp.square(root), axis=0)), 0.0)


@_batched_by(_unrolled_inflation)
def _inflation(L: Array, needed: Array) -> Array:
    def compute() -> Array:
        return largest(jnp.sum(jnp.square(_inverse_of_lower(L)), axis=0))

    return lax.cond(needed, compute, lambda: jnp.zeros((), L.dtype))


def _inverse_of_lower(L: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """Return the inverse of a lower triangular matrix.

    Of a large one by products of halves: that of [[A, 0], [C, B]] is [[A', 0],
    [-B' C A', B']], A' and B' the inverses; all blocks of one size are taken together.
    """
    k, size = len(L), 1
    if k <= MAX_SOLVED:
        return solve_triangular(L, jnp.eye(k, dtype=L.dtype), lower=True)
    padding = (1 << (k - 1).bit_length()) - k
    whole = jnp.pad(L, (0, padding)) + jnp.diag(
        (jnp.arange(k + padding) >= k).astype(L.dtype)
    )
    inverses = (1 / jnp.diagonal(whole))[:, None, None]
    while len(inverses) > 1:
        pairs = len(inverses) // 2
        blocks = whole.reshape(pairs, 2, size, pairs, 2, size)[:, 1, :, :, 0]
        C = jnp.moveaxis(jnp.diagonal(blocks, axis1=0, axis2=2), -1, 0)
        A, B = inverses[::2], inverses[1::2]
        corner = -_product(B, _product(C, A))
        inverses = jnp.block([[A, jnp.zeros_like(A)], [corner, B]])
        size *= 2
    return inverses[0, :k, :k]


def _product(one: Array, other: Array) -> Array:
    return jnp.matmul(one, other, precision=lax.Precision.HIGHEST)


@_batched_by(_unrolled_solve_lower)
def _solve_lower(L: Array, right: Array) -> Array:
    return solve_triangular(L, right, lower=True)


@_batched_by(_unrolled_solve)
def _solve(L: Array, right: Array) -> Array:
    half = solve_triangular(L, right, lower=True)
    return solve_triangular(L, half, lower=True, trans=1)


@jax.custom_batching.custom_vmap
def _repair_if(singular: Array, unit: Array, L: Array) -> Array:
    """Return L, or where it is of no use the factor of a little more than the matrix.

    For a batch that is done only if there is any such: mapped, both ways would be gone.
    """
    return lax.cond(singular, lambda: _cholesky(_shifted(unit)), lambda: L)


@_repair_if.def_vmap
def _repair_if_any(
    size: int, mapped: Any, singular: Array, unit: Array, L: Array
) -> tuple[Array, bool]:
    def spread(value: Array, is_mapped: bool) -> Array:
        return value if is_mapped else jnp.broadcast_to(value, (size, *value.shape))

    singular, unit, L = map(spread, (singular, unit, L), mapped)

    def instead() -> Array:
        more = jax.vmap(lambda unit: _cholesky(_shifted(unit)))(unit)
        return jnp.where(singular[:, None, None], more, L)

    return lax.cond(singular.any(), instead, lambda: L), True


def _shifted(unit: Array) -> Array:
    k = unit.shape[0]
    return unit + 10 * k * float(np.finfo(unit.dtype).eps) * jnp.eye(
        k, dtype=unit.dtype
    )
