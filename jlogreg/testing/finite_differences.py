"""Move a point by a little, entry by entry, and see how far a function moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import numpy as np

from jlogreg.base.arrays import as_array
from jlogreg.testing.assertions import leaves_of

__all__ = ["ROUNDINGS", "Leaves", "complex_step", "difference", "rounding"]

Leaves: TypeAlias = dict[str, np.ndarray]


# How many roundings of all that is seen may have added up.
ROUNDINGS = 64
# So often a step is made smaller, to a quarter, where f is not finite.
SMALLER = 8


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
    at most what it changes by when h is doubled; and what f rounds, over h. A bend
    nearer than h would not show in these. It shows in how far the slopes to the right
    and left are apart, which of a smooth f grows as h. Where f ends nearby, h is less.
    """
    due, lost = _zeros(point), _zeros(point)
    noise = sum(float(leaf.sum()) for leaf in rounding(f, point).values())
    value = f(point)
    middle, eps = float(value), _epsilon(point, value)
    for path, place, move in _entries(point):
        h = eps**0.2 * _size(point, path, place)
        for _ in range(SMALLER):
            sides = [_sides(f, middle, move, path, place, h * by) for by in (1, 2, 4)]
            if np.isfinite(sides).all():
                break
            h /= 4
        slopes = [(left + right) / 2 for left, right in sides]
        apart = [right - left for left, right in sides]
        near, far = ((4 * slopes[i] - slopes[i + 1]) / 3 for i in (0, 1))
        bend = max(abs(apart[i + 1] - 2 * apart[i]) for i in (0, 1))
        due[path][place] = near
        lost[path][place] = 4 * abs(near - far) + bend + 4 * noise / h
    return due, lost


def _sides(
    f: Callable[[Any], Any], middle: float, move: Any, path: str, place: Any, h: float
) -> tuple[float, float]:
    """Return the slopes of f from a point to its left and to its right."""
    here = float(leaves_of(move(0))[path][place])

    def slope(by: float) -> float:
        there = move(by)  # as it is rounded
        return (float(f(there)) - middle) / (
            float(leaves_of(there)[path][place]) - here
        )

    return slope(-h), slope(h)


def rounding(f: Callable[[Any], Any], point: Any, *others: Any) -> Leaves:
    """Return how far roundings may carry each entry of f(point).

    They are those of the largest entry, and those of the entries of the point (of 1,
    where they are smaller), times how much f moves with each; in the dtype of the
    point, of f or of the others, whichever is narrowest.
    """
    here = leaves_of(f(point))
    eps = _epsilon(point, here, *others)
    largest = max(float(np.abs(leaf).max(initial=0)) for leaf in here.values())
    within = {path: eps * (np.abs(leaf) + largest) for path, leaf in here.items()}
    for path, place, move in _entries(point):
        by = eps**0.5 * _size(point, path, place)
        for name, leaf in _moved(f, here, move, by).items():
            within[name] = within[name] + eps**0.5 * leaf
    return {path: ROUNDINGS * leaf for path, leaf in within.items()}


def _moved(f: Callable[[Any], Any], here: Leaves, move: Any, by: float) -> Leaves:
    """Return how far f moves, to the left where it ends to the right."""
    for step in (by, -by):
        there = leaves_of(f(move(step)))
        with np.errstate(invalid="ignore"):
            moved = {path: np.abs(there[path] - leaf) for path, leaf in here.items()}
        if all(np.isfinite(leaf).all() for leaf in moved.values()):
            break
    return moved


def _entries(
    point: Any, dtype: Any = None
) -> Iterator[tuple[str, Any, Callable[[Any], Any]]]:
    """Yield each entry's path and place, and what moves the point there."""
    given, structure = jax.tree.flatten(point)
    leaves = [np.asarray(leaf, dtype) for leaf in given]
    of_jax = [isinstance(leaf, jax.Array) and dtype is None for leaf in given]
    for number, (path, leaf) in enumerate(leaves_of(point).items()):
        for place in np.ndindex(leaf.shape):

            def move(by: Any, number: int = number, place: Any = place) -> Any:
                moved: list[Any] = [leaf.copy() for leaf in leaves]
                moved[number][place] += by
                pairs = zip(moved, of_jax, strict=True)
                moved = [as_array(leaf) if own else leaf for leaf, own in pairs]
                return jax.tree.unflatten(structure, moved)

            yield path, place, move


def _size(point: Any, path: str, place: Any) -> float:
    return max(1.0, abs(float(leaves_of(point)[path][place])))


def _epsilon(*trees: Any) -> float:
    """Return the rounding of the narrowest dtype: f may compute in less than given."""
    dtypes = [leaf.dtype for tree in trees for leaf in leaves_of(tree).values()]
    return max(float(np.finfo(dtype).eps) for dtype in dtypes)


def _zeros(point: Any) -> Leaves:
    return {path: np.zeros(leaf.shape) for path, leaf in leaves_of(point).items()}
