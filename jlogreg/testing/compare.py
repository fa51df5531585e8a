"""Compare numbers with what is due, and say where and how far they are apart."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

__all__ = ["assert_close", "leaves_of", "name_of"]


def assert_close(found: Any, due: Any, within: Any, what: str = "") -> None:
    """Raise an AssertionError unless arrays agree to `within`, elementwise.

    The message names the worst place, how far it is off and how far it may be.
    """
    found, due = np.asarray(found, float), np.asarray(due, float)
    assert found.shape == due.shape, f"{what}shape {found.shape}, due {due.shape}"
    within = np.broadcast_to(np.asarray(within, float), due.shape)
    excess = np.abs(found - due) - within
    assert not np.isnan(excess).any(), f"{what}NaN: found {found}, due {due}"
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    assert excess[worst] <= 0, (
        f"{what}at {tuple(map(int, worst))}: found {float(found[worst])!r}, due "
        f"{float(due[worst])!r}, too far: {abs(found[worst] - due[worst]):.3g} apart, "
        f"{within[worst]:.3g} allowed"
    )


def leaves_of(tree: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a tree by their paths, such as ".w"."""
    pairs, _ = jax.tree.flatten_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in pairs}


def name_of(f: Any) -> str:
    """Return what a message calls a function."""
    return getattr(f, "__name__", None) or type(f).__name__
