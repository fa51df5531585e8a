"""Move a point by a little, entry by entry, and see how far a function moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import numpy as np

from jlogreg.testing.compare import leaves_of

__all__ = ["ROUNDINGS", "Leaves", "complex_step", "difference", "rounding"]

Leaves: TypeAlias = dict[str, np.ndarray]
# How many roundings of all that is seen may have added up.
ROUNDINGS = 64


def complex_step(formula: Callable[[Any], Any], point: Any) -> Leaves:
    """Return the derivatives of a formula for complex numbers, Im f(x + ih) / h.

    There is no subtraction, so h may be so small that its square is 0.

    Raises:
        TypeError: it returns no complex number.
    """
    due, h = _zeros(point), 1e-30
    for path, place, move in _entries(point, np.complex128):
        value = np.asarray(formula(move(1j * h)))
        if not np.iscomplexobj(value):
            raise TypeError(
                f"formula returns {value.dtype} of complex numbers: write it so that "
                "it keeps them, with no abs, max, real or comparison of its values"
            )
        due[path][place] = value.imag.item() / h
    return due


def difference(f: Callable[[Any], Any], point: Any) -> tuple[Leaves, Leaves]:
    """Return the derivatives of f by central differences, and how far off they may be.

    Two differences, of steps h and 2h, make one whose error grows as h^4. Its error is
    at most what it changes by when h is doubled; and what f rounds, over h.
    """
    due, lost = _zeros(point), _zeros(point)
    noise = sum(float(leaf.sum()) for leaf in rounding(f, point).values())
    for path, place, move in _entries(point):
        h = _epsilon(point) ** 0.2 * _size(point, path, place)
        slopes = [_slope(f, move, path, place, h * wide) for wide in (1, 2, 4)]
        near, far = ((4 * slopes[i] - slopes[i + 1]) / 3 for i in (0, 1))
        due[path][place] = near
        lost[path][place] = 4 * abs(near - far) + 4 * noise / h
    return due, lost


def _slope(
    f: Callable[[Any], Any], move: Any, path: str, place: Any, h: float
) -> float:
    ends = [move(h), move(-h)]
    # As the ends were rounded.
    one, other = (float(leaves_of(end)[path][place]) for end in ends)
    return (float(f(ends[0])) - float(f(ends[1]))) / (one - other)


def rounding(f: Callable[[Any], Any], point: Any) -> Leaves:
    """Return how far roundings may carry each entry of f(point).

    They are those of the largest entry, and those of the entries of the point (of 1,
    where they are smaller), times how much f moves with each.
    """
    eps = _epsilon(point)
    here = leaves_of(f(point))
    largest = max(float(np.abs(leaf).max(initial=0)) for leaf in here.values())
    within = {path: eps * (np.abs(leaf) + largest) for path, leaf in here.items()}
    for path, place, move in _entries(point):
        there = leaves_of(f(move(eps**0.5 * _size(point, path, place))))
        for name, leaf in here.items():
            within[name] = within[name] + eps**0.5 * np.abs(there[name] - leaf)
    return {path: ROUNDINGS * leaf for path, leaf in within.items()}


def _entries(
    point: Any, dtype: Any = None
) -> Iterator[tuple[str, Any, Callable[[Any], Any]]]:
    """Yield each entry's path and place, and what moves the point there."""
    leaves = [np.asarray(leaf, dtype) for leaf in jax.tree.leaves(point)]
    structure = jax.tree.structure(point)
    for number, (path, leaf) in enumerate(leaves_of(point).items()):
        for place in np.ndindex(leaf.shape):

            def move(by: Any, number: int = number, place: Any = place) -> Any:
                moved = [leaf.copy() for leaf in leaves]
                moved[number][place] += by
                return jax.tree.unflatten(structure, moved)

            yield path, place, move


def _size(point: Any, path: str, place: Any) -> float:
    return max(1.0, abs(float(leaves_of(point)[path][place])))


def _epsilon(point: Any) -> float:
    return max(float(np.finfo(leaf.dtype).eps) for leaf in leaves_of(point).values())


def _zeros(point: Any) -> Leaves:
    return {path: np.zeros(leaf.shape) for path, leaf in leaves_of(point).items()}
