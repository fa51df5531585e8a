"""Features in parts of equal height: cut, dealt to devices, and joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from jlogreg.feature_scan.null_model import NullModel

__all__ = ["Nulls", "Parts", "among", "copied", "in_parts", "joined"]

# Calls under way at a time.
MAX_IN_FLIGHT = 4

# The null model on each device, and what a function made of some features.
Nulls = tuple[NullModel, ...]
Parts = list[Any]


def copied(blocks: Iterable[Any]) -> Iterator[Any]:
    """Return copies of the blocks: a reader may fill the same memory with the next."""
    for block in blocks:
        yield np.array(block) if isinstance(block, np.ndarray) else block


def among(count: int, own: slice, rows: np.ndarray) -> np.ndarray:
    """Return the rows of some features in a table of so many."""
    table = np.zeros((count, *rows.shape[1:]), rows.dtype)
    table[own] = rows[: own.stop - own.start]
    return table


def in_parts(
    function: Callable[[NullModel, np.ndarray], Any],
    nulls: Nulls,
    G: np.ndarray,
    height: int,
) -> Parts:
    """Return function(null, part) of parts of equal height, on each device in turn."""
    parts: Parts = []
    most = MAX_IN_FLIGHT * len(nulls)
    for start in range(0, len(G), height):
        part = G[start : start + height]
        if len(part) < height:
            # By one of the features, which takes no more steps than it does itself.
            part = np.pad(part, ((0, height - len(part)), (0, 0)), mode="edge")
        parts.append(function(nulls[len(parts) % len(nulls)], part))
        # A few are under way while the next are cut out, and no more.
        if len(parts) >= most:
            jax.block_until_ready(parts[-most])
    return parts


def joined(parts: Parts, size: int) -> Any:
    """Return the parts one below the other, as NumPy arrays."""
    return jax.tree.map(lambda *rows: np.concatenate(rows)[:size], *parts)
