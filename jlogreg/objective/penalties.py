"""The penalty of the cost J: checks and value."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from jlogreg.base.checks import check_matrix, check_number
from jlogreg.base.errors import RankError
from jlogreg.base.params import Params

__all__ = ["check_penalty", "penalty_value"]


def check_penalty(l2: Any, n: int, dtype: Any) -> Array:
    """Return the penalty l2 as an array () or (n, 1), its dtype and shape checked.

    Raises:
        DtypeError, RankError, ShapeError: if l2 has the wrong type, dtype, rank or
            shape.
    """
    rank = getattr(l2, "ndim", 0)
    if rank == 0:
        return check_number("l2", l2, dtype)
    if rank != 2:
        raise RankError(
            f"l2 has rank {rank}, shape {l2.shape}, but must be a number, or a column "
            "of one a feature, l2.reshape(-1, 1); map over several numbers with "
            "jax.vmap"
        )
    return check_matrix("l2", l2, (n, 1), dtype)


def penalty_value(params: Params, l2: Array) -> Array:
    """Return the penalty 1/2 sum_j l2_j w_j^2, the second term of equation (8).

    Shapes: params.w (n, 1), l2 () or (n, 1); result ().
    """
    # In this order the result is 0 for l2 = 0, even where w^2 overflows.
    return jnp.sum((l2 * params.w) * params.w) / 2
