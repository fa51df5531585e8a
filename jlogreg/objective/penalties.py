"""The penalties of the cost J: checks, values, and the L1 penalty as solvers see it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import at_least, canonical_dtype, is_traced
from jlogreg.base.checks import check_matrix, check_number, check_range
from jlogreg.base.errors import DtypeError, RankError
from jlogreg.base.params import Params

__all__ = [
    "L1",
    "check_column",
    "check_grid",
    "check_l1",
    "check_penalty",
    "is_single",
    "l1_value",
    "penalty_value",
]


# Up to this many penalties are written out in an error.
FEW = 6
NUMBERS = (int, float, np.number)


def check_penalty(l2: Any, n: int, dtype: Any, name: str = "l2") -> Array:
    """Return a penalty as an array () or (n, 1), its dtype and shape checked.

    Raises:
        DtypeError, RankError, ShapeError: if it has the wrong type, dtype, rank or
            shape.
    """
    rank = getattr(l2, "ndim", 0)
    if rank == 0:
        return check_number(name, l2, dtype)
    if rank != 2:
        raise RankError(
            f"{name} has rank {rank}, shape {l2.shape}, but must be a number, or a "
            f"column of one a feature, {name}.reshape(-1, 1); map over several numbers "
            "with jax.vmap"
        )
    return check_matrix(name, l2, (n, 1), dtype)


def check_l1(l1: Any, n: int, dtype: Any) -> Array | None:
    """Return the L1 penalty as an array () or (n, 1); None where it is known to be 0.

    So a cost without it is computed as if there were no such penalty.

    Raises:
        DtypeError, RankError, ShapeError: if l1 has the wrong type, dtype, rank or
            shape.
        ValueError: if a known number is negative, NaN or infinite.
    """
    l1 = check_range("l1", check_penalty(l1, n, dtype, "l1"), 0.0)
    return l1 if is_traced(l1) or np.asarray(l1).any() else None


def check_grid(l2: Any, l1: Any, dtype: Any) -> tuple[Array, Array | None]:
    """Return the penalties of a path as columns (L, 1); None for l1 known to be 0.

    One of them may be a number, but not l2 unless l1 is a column.

    Raises:
        DtypeError, RankError, ShapeError: if one has the wrong type, dtype, rank or
            shape, or their lengths differ.
        ValueError: if a known number is negative, NaN or infinite.
    """
    is_column = not is_single(l1)
    rows: int | str = "L"
    if is_column:
        l1 = check_column("l1", l1, "L", dtype)
        rows = len(l1)
    else:
        l1 = check_number("l1", l1, dtype)[None, None]
    l1 = check_range("l1", l1, 0.0)
    if is_column and is_single(l2):
        l2 = jnp.broadcast_to(check_number("l2", l2, dtype), l1.shape)
    l2 = check_range("l2", check_column("l2", l2, rows, dtype), 0.0)
    known_zero = not is_traced(l1) and not np.asarray(l1).any()
    return l2, None if known_zero else jnp.broadcast_to(l1, l2.shape)


def is_single(penalty: Any) -> bool:
    """Return whether a penalty is one number, or no array at all, not several."""
    return getattr(penalty, "ndim", 0) == 0 and not isinstance(penalty, list | tuple)


def check_column(name: str, value: Any, rows: int | str, dtype: Any) -> Array:
    """Return one penalty in each row (rows, 1), their dtype and shape checked.

    Raises:
        DtypeError, RankError, ShapeError: if they have the wrong type, dtype, rank or
            shape; for a list, or an array of rank 1, with the column to write instead.
    """
    if isinstance(value, list | tuple) and not any(map(np.ndim, value)):
        raise DtypeError(
            f"{name} is a {type(value).__name__}, but must be an array of shape "
            f"({rows}, 1): write {_as_column(name, value, dtype)}"
        )
    if getattr(value, "ndim", 0) == 1 and not is_traced(value) and len(value) <= FEW:
        raise RankError(
            f"{name} has rank 1, shape {value.shape}, but must have rank 2, shape "
            f"({rows}, 1): write {name}.reshape(-1, 1) for a column, which is "
            f"{_as_column(name, value, dtype)}"
        )
    return check_matrix(name, value, (rows, 1), dtype)


def _as_column(name: str, value: Any, dtype: Any) -> str:
    """Return how to write numbers as a column; by their name if they are many."""
    given = value if isinstance(value, list | tuple) else np.asarray(value).tolist()
    few = len(given) <= FEW and all(isinstance(one, NUMBERS) for one in given)
    row = f"[{', '.join(f'{one:g}' for one in given)}]" if few else name
    other = "" if dtype == canonical_dtype(float) else f", np.{dtype}"
    return f"np.array([{row}]{other}).T"


def penalty_value(params: Params, l2: Array) -> Array:
    """Return the penalty 1/2 sum_j l2_j w_j^2, the second term of equation (8).

    Shapes: params.w (n, 1), l2 () or (n, 1); result ().
    """
    # In this order the result is 0 for l2 = 0, even where w^2 overflows.
    return jnp.sum((l2 * params.w) * params.w) / 2


def l1_value(params: Params, l1: Array | None) -> Array | float:
    """Return the penalty sum_j l1_j |w_j|, equation (47); 0 where there is none.

    Shapes: params.w (n, 1), l1 () or (n, 1); result ().
    """
    if l1 is None:
        return 0.0
    return L1(jnp.broadcast_to(l1, params.w.shape)).value(params.w)


class L1(NamedTuple):
    """The penalty sum_j weights_j |theta_j| of unknowns theta (k, 1), one weight each.

    An unknown of weight 0 is free. The penalty is separable, and so is this object: its
    rows are the penalty of some of the unknowns.
    """

    weights: Float[Array, "k 1"]

    def value(self, point: Float[Array, "k 1"]) -> Float[Array, ""]:
        """Return the penalty, whose derivative at 0 is 0."""
        return jnp.sum((self.weights * point) * jnp.sign(point))

    def change(self, point: Array, other: Array) -> Float[Array, ""]:
        """Return the penalty at another point less that at the point, term by term."""
        return jnp.sum(self.weights * (jnp.abs(other) - jnp.abs(point)))

    def slope(self, point: Array) -> Float[Array, "k 1"]:
        """Return the derivative, 0 at 0."""
        return self.weights * jnp.sign(point)

    def slope_before(self, point: Array, step: Array) -> Float[Array, ""]:
        """Return the derivative along the step that has led to a point, from before."""
        sides = jnp.sign(jnp.where(point == 0, -step, point))
        return jnp.sum(self.weights * sides * step)

    def prox(self, point: Array, step: Array) -> Float[Array, "k 1"]:
        """Return argmin_v of (v - point)^2 / (2 step) + the penalty, for each unknown.

        Soft thresholding: equation (49).
        """
        size = at_least(jnp.abs(point) - step * self.weights, 0.0)
        return jnp.sign(point) * size

    def part_to_kink(self, point: Array, step: Array) -> Float[Array, "k 1"]:
        """Return the part of a step at which each unknown is 0; infinity if it is not.

        A step that ends at 0 does not pass it.
        """
        passes = (self.weights > 0) & (jnp.sign(point) * (point + step) < 0)
        passes &= point != 0
        return jnp.where(passes, -point / jnp.where(passes, step, 1.0), jnp.inf)

    def subdiff_distance(self, point: Array, gradient: Array) -> Float[Array, "k 1"]:
        """Return the distance of -gradient to the subdifferential, for each unknown.

        All are 0 at a minimum of a function with this gradient plus the penalty;
        equation (48).
        """
        return jnp.abs(self.least_subgradient(point, gradient))

    def least_subgradient(self, point: Array, gradient: Array) -> Float[Array, "k 1"]:
        """Return the subgradient of least norm, of a function plus the penalty."""
        at_zero = gradient - jnp.sign(gradient) * self.weights
        at_zero = jnp.where(jnp.abs(gradient) <= self.weights, 0.0, at_zero)
        is_kink = (point == 0) & (self.weights > 0)
        return jnp.where(is_kink, at_zero, gradient + self.slope(point))

    def generalized_support(self, point: Array) -> Bool[Array, "k 1"]:
        """Return which unknowns have a derivative of the penalty: they are not at 0."""
        return (point != 0) | (self.weights == 0)

    def may_move(self, gradient: Array, slack: Array) -> Bool[Array, "k 1"]:
        """Return which unknowns other than 0 agree with a gradient known to a slack."""
        size = jnp.abs(gradient)
        near = (size >= self.weights - slack) & (size >= 0.99 * self.weights)
        return near | (self.weights == 0)
