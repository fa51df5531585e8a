"""Some features of a design, as one array."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jlogreg.data.design import Dense, Design, Stacked
from jlogreg.data.sparse import Sparse
from jlogreg.data.standardized import Standardized

__all__ = ["take_features"]


def take_features(X: Design, rows: Int[Array, " p"]) -> Float[Array, "p m"]:
    """Return some features; zeros for a row of n, which stands for none."""
    if isinstance(X, Stacked):
        first, second = X.shared.shape[0], X.own.shape[0]
        of_own = (rows >= first) & (rows < first + second)
        shared = take_features(X.shared, jnp.where(rows < first, rows, first))
        own = take_features(X.own, jnp.where(of_own, rows - first, second))
        return shared + own
    if isinstance(X, Standardized):
        mean = jnp.take(X.mean, rows, axis=0, mode="fill", fill_value=0)
        scale = jnp.take(X.scale, rows, axis=0, mode="fill", fill_value=1)
        return (take_features(X.X, rows) - mean) / scale
    if isinstance(X, Sparse):
        row, column = X.X.indices.T
        p, n = len(rows), X.shape[0]
        # The place of each feature among the rows; p is outside.
        order = jnp.arange(p, dtype=jnp.int32)
        places = jnp.full(n, p, jnp.int32).at[rows].set(order, mode="drop")
        place = places.at[row].get(mode="fill", fill_value=p)
        zeros = jnp.zeros((p, X.shape[1]), X.dtype)
        return zeros.at[place, column].add(X.X.data, mode="drop")
    whole = X.X if isinstance(X, Dense) else X.dense()
    return jnp.take(whole, rows, axis=0, mode="fill", fill_value=0)
