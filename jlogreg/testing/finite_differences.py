"""Derivatives and rounding errors of a function, by a small step in each entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import numpy as np

from jlogreg.base.arrays import as_array
from jlogreg.testing.assertions import leaves_of

__all__ = ["ROUNDINGS", "Leaves", "complex_step", "difference", "rounding"]

Leaves: TypeAlias = dict[str, np.ndarray]


# The number of roundings that may have added up.
ROUNDINGS = 64
# The number of times that a step is divided by 4 where f is not finite.
SMALLER = 8


def complex_step(formula: Callable[[Any], Any], point: Any) -> Leaves:
    """Return the derivatives of a formula for complex numbers, Im f(x + ih) / h.

    Without a subtraction nothing cancels, so h may be so small that its square is 0
    (Squire and Trapp, 1998).

    Raises:
        TypeError: if it returns a real number.
    """
    derivatives, h = _zeros(point), 1e-30
    for path, place, move in _entries(point, np.complex128):
        value = np.asarray(formula(move(1j * h)))
        if not np.iscomplexobj(value):
            raise TypeError(
                f"formula returns {value.dtype} of complex numbers: write it so that "
                "it keeps them, with no abs, max, real or comparison of its values"
            )
        derivatives[path][place] = value.imag.item() / h
    return derivatives


def difference(f: Callable[[Any], Any], point: Any) -> tuple[Leaves, Leaves]:
    """Return the derivatives of f by central differences, and bounds of their errors.

    Two differences, of steps h and 2h, are combined into one whose error grows as h^4
    (Richardson). The error is bounded by its change when h is doubled, plus the
    rounding of f over h, plus an estimate of a kink nearer than h. A kink does not
    change the central difference but the gap between the slopes to the right and to the
    left, which is proportional to h if f is smooth. Near the end of the domain of f, h
    is smaller.
    """
    derivatives, lost = _zeros(point), _zeros(point)
    noise = sum(float(leaf.sum()) for leaf in rounding(f, point).values())
    value = f(point)
    middle, eps = float(value), _epsilon(point, value)
    # With an error of h^4 and a rounding of eps / h, the best step is near eps^(1/5).
    for path, place, move in _entries(point):
        h = eps**0.2 * _size(point, path, place)
        for _ in range(SMALLER):
            sides = [_sides(f, middle, move, path, place, h * by) for by in (1, 2, 4)]
            if np.isfinite(sides).all():
                break
            h /= 4
        # Central differences D(h), D(2h), D(4h), and (4 D(h) - D(2h)) / 3 of two pairs.
        slopes = [(left + right) / 2 for left, right in sides]
        apart = [right - left for left, right in sides]
        near, far = ((4 * slopes[i] - slopes[i + 1]) / 3 for i in (0, 1))
        kink = max(abs(apart[i + 1] - 2 * apart[i]) for i in (0, 1))
        derivatives[path][place] = near
        lost[path][place] = 4 * abs(near - far) + kink + 4 * noise / h
    return derivatives, lost


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
    """Return a bound of the rounding error of each entry of f(point).

    It covers the rounding of the largest entry, and the rounding of each entry of the
    point (at least that of 1) times the slope of f in it. The precision is the lowest
    among the dtypes of the point, of f and of the others.
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
    """Return the change of f by a step right, or left where it is not finite."""
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
    """Yield each entry's path and place, and a function that adds to it."""
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
    """Return the largest eps among the dtypes: f may compute in a lower precision."""
    dtypes = [leaf.dtype for tree in trees for leaf in leaves_of(tree).values()]
    return max(float(np.finfo(dtype).eps) for dtype in dtypes)


def _zeros(point: Any) -> Leaves:
    return {path: np.zeros(leaf.shape) for path, leaf in leaves_of(point).items()}
