"""Resampling as rows of weights: cross-validation folds and bootstrap replicates.

A weight of 0 excludes a sample and a weight of 2 counts it twice, so a fit on a subset
or on a resample is a fit of all the samples with another row of weights.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.arrays import canonical_dtype
from jlogreg.base.checks import check_count, check_dtype, check_key
from jlogreg.base.programs import program

__all__ = ["bootstrap_weights", "fold_weights"]


def fold_weights(
    key: Any, m: int, folds: int, *, dtype: Any = None
) -> Float[Array, "folds m"]:
    """Return one row of weights per fold: 0 for the samples that are held out, else 1.

    Shapes: result (folds, m). The samples are dealt to the folds at random: each is
    held out in one fold, and the folds' sizes differ by at most 1.

    Args:
        key: a key of jax.random.
        m: number of samples.
        folds: number of folds, from 2 to m.
        dtype: float32 or float64; by default JAX's own default.

    Raises:
        DtypeError: if key is not a key, m or folds not a whole number, or dtype not
            float32 or float64.
        ValueError: if folds is not in 2, ..., m.

    Examples:
        >>> import jax
        >>> from jlogreg import fold_weights
        >>> folds = fold_weights(jax.random.key(0), 6, 3)
        >>> folds.sum(axis=1).tolist()  # each fold holds two of six samples out
        [4.0, 4.0, 4.0]
        >>> folds.sum(axis=0).tolist()  # and each sample is held out once
        [2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    """
    m, folds = check_count("m", m, least=2), check_count("folds", folds, least=2)
    if folds > m:
        raise ValueError(f"folds must be at most m = {m}, but is {folds}")
    return _dealt(check_key(key), m, folds, _dtype(dtype))


@partial(program, static_argnums=(1, 2, 3))
def _dealt(key: Any, m: int, folds: int, dtype: Any) -> Float[Array, "folds m"]:
    held = jax.random.permutation(key, jnp.arange(m) % folds)
    return (held[None] != jnp.arange(folds)[:, None]).astype(dtype)


def bootstrap_weights(
    key: Any, m: int, replicates: int, *, dtype: Any = None
) -> Float[Array, "replicates m"]:
    """Return one row of weights per replicate: how often each sample was drawn.

    Shapes: result (replicates, m), whole numbers; each row sums to m. A replicate is m
    draws from the m samples, with replacement (Efron, Ann. Statist. 7, 1979).

    Args:
        key: a key of jax.random.
        m: number of samples.
        replicates: number of replicates.
        dtype: float32 or float64; by default JAX's own default.

    Raises:
        DtypeError: if key is not a key, m or replicates not a whole number, or dtype
            not float32 or float64.
        ValueError: if m or replicates is less than 1.

    Examples:
        >>> import jax
        >>> from jlogreg import bootstrap_weights
        >>> replicates = bootstrap_weights(jax.random.key(0), 6, 3)
        >>> replicates.shape, replicates.sum(axis=1).tolist()
        ((3, 6), [6.0, 6.0, 6.0])
    """
    m = check_count("m", m, least=1)
    replicates = check_count("replicates", replicates, least=1)
    return _drawn(check_key(key), m, replicates, _dtype(dtype))


@partial(program, static_argnums=(1, 2, 3))
def _drawn(
    key: Any, m: int, replicates: int, dtype: Any
) -> Float[Array, "replicates m"]:
    def row(key: Any) -> Array:
        drawn = jax.random.randint(key, (m,), 0, m)
        return jnp.zeros(m, dtype).at[drawn].add(jnp.ones((), dtype))

    return jax.lax.map(row, jax.random.split(key, replicates), batch_size=256)


def _dtype(dtype: Any) -> Any:
    dtype = canonical_dtype(float if dtype is None else dtype)
    check_dtype("dtype", dtype, "pass dtype=jnp.float32")
    return dtype
