"""The comparison of numbers, with a message that says where and how far they differ."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

__all__ = ["assert_close", "leaves_of", "name_of"]


def assert_close(result: Any, expected: Any, within: Any, what: str = "") -> None:
    """Raise an AssertionError unless arrays agree to `within`, elementwise.

    The message names the worst place, its difference and the difference allowed.
    """
    result, expected = _numbers(result), _numbers(expected)
    if result.shape != expected.shape:
        raise AssertionError(f"{what}shape {result.shape}, expected {expected.shape}")
    within = np.broadcast_to(np.asarray(within, float), expected.shape)
    off = np.asarray(np.abs(result - expected))
    wrong = ~(off <= within)  # also where a number is NaN
    if wrong.any():
        excess = np.where(wrong, off - within, -np.inf)
        worst = np.unravel_index(np.argmax(excess), excess.shape)  # NaN first
        far = "NaN" if np.isnan(off[worst]) else "too far"
        raise AssertionError(
            f"{what}at {tuple(map(int, worst))}: found {result.item(worst)!r}, "
            f"expected {expected.item(worst)!r}, {far}: {off[worst]:.3g} apart, "
            f"{within[worst]:.3g} allowed"
        )


def _numbers(array: Any) -> Any:
    """Return numbers to subtract: integers as Python integers, which are exact."""
    array = np.asarray(array)
    whole = array.dtype.kind in "biu"
    return array.astype(object if whole else np.result_type(array.dtype, float))


def leaves_of(tree: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a tree by their paths, such as ".w"."""
    pairs, _ = jax.tree.flatten_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in pairs}


def name_of(f: Any) -> str:
    """Return the name of a function for messages."""
    return getattr(f, "__name__", None) or type(f).__name__
