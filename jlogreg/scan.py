"""Scan many features: one fit for each of them, beside the same covariates.

The features go through a few of Newton's steps side by side, many in a call; those that
are left, through more; and the few that are left then, through `fit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from jlogreg.beside import Null, Scan, by_fit, by_newton, null_of
from jlogreg.checks import AnyArray, DtypeError, RankError, ShapeError, is_traced
from jlogreg.status import Status

__all__ = ["scan_blocks", "scan_features"]

# Entries of features that are taken side by side: what is computed of them stays in the
# cache. With 2000 samples 512 features took 4.4 us each, 256 took 4.8, 1024 took 5.
ENTRIES, FEWEST, MOST = 2**20, 8, 512
# So many batches of them go into one call.
BATCHES = 16
# Newton's steps for all features, and for those that have no certificate then.
STEPS, MORE_STEPS = {4: 2, 8: 3}, 8
# Features that `fit` takes side by side.
TOGETHER = 64


def scan_features(
    G: Num[AnyArray, "V m"] | Iterable[Num[AnyArray, "V m"]],
    covariates: Float[AnyArray, "p m"] | None,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    tol: Any = None,
) -> Scan:
    """Return one fit for each feature, adjusted for covariates; host only.

    Shapes: G (V, m), a row per feature, or an iterator of such blocks; covariates
    (p, m) or None, y, weight and offset (1, m); result Scan of (V, 1). The fit of a
    feature is `fit` on the standardised covariates stacked above it, without a penalty,
    to the same tolerance and with the same status: equation (8) of docs/derivation.md;
    standard error, z and p are those of Wald's test, equation (27) (Wald, Trans. Am.
    Math. Soc. 54, 1943).

    Args:
        G: whole numbers from 0 up as int8, where -1 is missing, or floats like y, where
            NaN is; what is missing leaves the sample out of that feature's fit.
        covariates: what each feature is adjusted for, beside the bias.
        y: labels.
        weight: at least 0, how often each sample counts.
        offset: added to the logits.
        tol: as for `fit`.

    Raises:
        DtypeError, RankError, ShapeError: an argument is no such array.
        TypeError: an argument is traced.
        ValueError: a number in the covariates, y, weight or offset is out of range. A
            row of G with one has the status BAD_INPUT.
    """
    blocks = [G] if isinstance(G, jax.Array | np.ndarray) else G
    found = list(
        scan_blocks(blocks, covariates, y, weight=weight, offset=offset, tol=tol)
    )
    if not found:
        raise ShapeError("G has no blocks")
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *found)


def scan_blocks(
    blocks: Iterable[Num[AnyArray, "V m"]],
    covariates: Float[AnyArray, "p m"] | None,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    tol: Any = None,
) -> Iterator[Scan]:
    """Return an iterator of the scans of blocks, one after the other; host only.

    Shapes: each block (V, m), the others as for `scan_features`, whose arguments and
    errors these are. So what was found can be written while the next block is read.
    """
    null = null_of(covariates, y, weight, offset, tol)
    return _scans(null, blocks)


def _scans(null: Null, blocks: Iterable[Any]) -> Iterator[Scan]:
    height = 0
    for block in blocks:
        G = _check_block(block, null.z)
        # All the blocks go through what was compiled for the first.
        height = height or len(G)
        yield _scan(null, G, height)


def _scan(null: Null, G: np.ndarray, height: int) -> Scan:
    """Return what is found of some features, `height` of them in a call at most."""
    enough = 1 << (height - 1).bit_length()
    width = min(max(FEWEST, min(MOST, ENTRIES // G.shape[1])), enough)
    calls = -(-height // (width * BATCHES))
    height = -(-height // (width * calls)) * width
    missing = bool((G == -1).any() if G.dtype.kind == "i" else np.isnan(G).any())
    few = partial(by_newton, STEPS[null.z.dtype.itemsize], missing, width, null)
    found = _in_parts(few, G, height)
    more = partial(by_newton, MORE_STEPS, missing, width, null)
    for function, side_by_side in ((more, width), (partial(by_fit, null), TOGETHER)):
        left = np.flatnonzero(found.status[:, 0] == Status.MAX_STEPS)
        if left.size:
            rows = _in_parts(function, G[left], side_by_side)
            for table, part in zip(found, rows, strict=True):
                table[left] = part
    return Scan(*map(jnp.asarray, found))


def _check_block(G: Any, z: Array) -> np.ndarray:
    """Return some features as an array of NumPy's."""
    if is_traced(G):
        raise TypeError(
            "a scan runs on the host and takes no traced arguments: map fit over "
            "Stacked designs with jax.vmap instead"
        )
    if not isinstance(G, jax.Array | np.ndarray):
        raise DtypeError(f"G must be an array, but is of type {type(G).__name__}")
    if G.ndim != 2:
        raise RankError(
            f"G has rank {G.ndim}, shape {G.shape}, but must have rank 2, shape (V, "
            f"{z.shape[1]}): write G.reshape(1, -1) for one feature"
        )
    if G.shape[1] != z.shape[1] or not len(G):
        raise ShapeError(
            f"G has shape {G.shape}, but must have (V, {z.shape[1]}), a row per feature"
        )
    if G.dtype not in (np.int8, z.dtype):
        raise DtypeError(
            f"G has dtype {G.dtype}, but must be int8, or {z.dtype} like y"
        )
    return np.asarray(G)


def _in_parts(
    function: Callable[[np.ndarray], Scan], G: np.ndarray, width: int
) -> Scan:
    """Return function(part) of parts of equal width, one below the other."""
    parts: list[Scan] = []
    for start in range(0, len(G), width):
        part = G[start : start + width]
        parts.append(function(np.pad(part, ((0, width - len(part)), (0, 0)))))
        # A few are under way while the next are cut out, and no more.
        jax.block_until_ready(parts[-4:][0])
    return jax.tree.map(lambda *rows: np.concatenate(rows)[: len(G)], *parts)
