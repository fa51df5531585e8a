"""The rank discipline: a function takes a matrix, or raises an error that names it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jlogreg.testing.assertions import name_of

__all__ = ["check_rank_discipline", "get_at", "with_at"]


def _eager(function: Callable[[Any], Any], array: Any) -> None:
    function(array)


def _with_numpy(function: Callable[[Any], Any], array: Any) -> None:
    function(np.asarray(array))


def _under_jit(function: Callable[[Any], Any], array: Any) -> None:
    jax.jit(function)(array)


def _under_vmap(function: Callable[[Any], Any], array: Any) -> None:
    jax.vmap(function)(np.stack([array, array]))


def _under_grad(function: Callable[[Any], Any], array: Any) -> None:
    def total(array: Any) -> Any:
        return sum(leaf.sum() for leaf in jax.tree.leaves(function(array)))

    jax.grad(total)(array)


def _under_jit_of_vmap_of_grad(function: Callable[[Any], Any], array: Any) -> None:
    jax.jit(jax.vmap(lambda array: _under_grad(function, array)))(
        np.stack([array, array])
    )


MODES: dict[str, Callable[[Callable[[Any], Any], Any], None]] = {
    "eager": _eager,
    "numpy": _with_numpy,
    "jit": _under_jit,
    "vmap": _under_vmap,
    "grad": _under_grad,
    "jit of vmap of grad": _under_jit_of_vmap_of_grad,
}


def check_rank_discipline(
    f: Callable[..., Any],
    arguments: Mapping[str, Any],
    matrices: Sequence[str] | None = None,
    *,
    elements: Sequence[str] = (),
    free: Sequence[str] = (),
    modes: Sequence[str] = ("eager", "jit", "vmap"),
    error: type[Exception] = ValueError,
    message: str = r"\b{name}\b",
) -> None:
    """Raise an AssertionError if f accepts an array of a wrong rank, or transposed.

    Each argument is given with rank 0, 1 and 3 while the others are right, and as its
    transpose if that has another shape. f must raise a ValueError in every mode; for a
    wrong rank the message must name the argument. f must accept the arguments as they
    are.

    Shapes: the arguments have shapes that f accepts. Use different sizes for different
    axes, since a transpose of equal sizes cannot be recognized.

    Args:
        f: the function to check, which takes the arguments by name.
        arguments: valid arguments.
        matrices: names of the arrays of rank 2, with a dot for an array inside an
            argument, as in "params.w". By default all arrays of rank 2 among the
            arguments, and in those that are named tuples, dataclasses or dicts.
        elements: names of the arrays that may have rank 2 or 0.
        free: names of the arrays of any shape, whose transpose is valid, too.
        modes: of "eager", "numpy", "jit", "vmap", "grad" and "jit of vmap of grad".
        error: the error that must be raised, such as `jlogreg.RankError`; for a
            transpose, this or a ValueError.
        message: a regular expression that the message must match, in which {name} is
            the argument and {rank} its wrong rank.

    Raises:
        AssertionError: if f accepts a wrong array, raises another error, or refuses the
            arguments as they are.
        ValueError: if there is nothing to check, or a mode does not exist.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import log_loss
        >>> from jlogreg.testing import check_rank_discipline
        >>> rows = {"z": jnp.ones((1, 3)), "y": jnp.ones((1, 3))}
        >>> check_rank_discipline(log_loss, rows, [], elements=["z", "y"])
        >>> check_rank_discipline(lambda z, y: jnp.sum((z - y) ** 2), rows)
        Traceback (most recent call last):
            ...
        AssertionError: <lambda> takes z of rank 0, shape (), in mode eager
    """
    paths = [*_matrices(arguments)] if matrices is None else [*matrices]
    if not [*paths, *elements]:
        raise ValueError("no argument has rank 2, so there is nothing to check")
    if unknown := {*modes} - {*MODES}:
        raise ValueError(f"modes may be {[*MODES]}, not {sorted(unknown)}")
    _takes(f, arguments)
    for path in [*paths, *elements]:
        ranks = (1, 3) if path in elements else (0, 1, 3)
        for rank in ranks:
            wrong = _of_rank(get_at(arguments, path), rank)
            words = message.format(name=re.escape(path), rank=rank)
            _refuses(f, arguments, path, wrong, modes, ((error,), words))
        turned = jnp.asarray(get_at(arguments, path)).T
        if path not in free and turned.shape != turned.T.shape:
            expected = (error, ValueError), ""
            _refuses(f, arguments, path, turned, modes, expected)


def _takes(f: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    try:
        f(**arguments)
    except Exception as error:
        raise AssertionError(
            f"{name_of(f)} refuses the arguments as they are, by "
            f"{type(error).__name__} {str(error)!r}"
        ) from error


def _refuses(
    f: Callable[..., Any],
    arguments: Mapping[str, Any],
    path: str,
    wrong: Any,
    modes: Sequence[str],
    expected: tuple[tuple[type[Exception], ...], str],
) -> None:
    errors, words = expected
    for mode in modes:
        what = f"{path} of rank {wrong.ndim}, shape {wrong.shape}, in mode {mode}"
        raised = _raised(
            mode, lambda wrong: f(**with_at(arguments, path, wrong)), wrong
        )
        if raised is None:
            raise AssertionError(f"{name_of(f)} takes {what}")
        if not (isinstance(raised, errors) and re.search(words, str(raised))):
            raise AssertionError(
                f"{name_of(f)} refuses {what}, by {type(raised).__name__} "
                f"{str(raised)!r}, and not by a {errors[0].__name__} that matches "
                f"{words!r}"
            )


def _raised(mode: str, function: Callable[[Any], Any], wrong: Any) -> Exception | None:
    try:
        MODES[mode](function, wrong)
    except Exception as raised:
        return raised
    return None


def _matrices(arguments: Mapping[str, Any]) -> Iterator[str]:
    for name, value in arguments.items():
        for path in [f"{name}.{field}" for field in _fields(value)] or [name]:
            if np.ndim(get_at(arguments, path)) == 2:
                yield path


def _fields(value: Any) -> list[str]:
    """Return the names of the fields of a dict, a dataclass or a named tuple."""
    if isinstance(value, Mapping):
        return [*value]
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    return [*getattr(value, "_fields", ())]


def get_at(arguments: Mapping[str, Any], path: str) -> Any:
    """Return the argument at a path, such as "X" or "params.w"."""
    name, _, field = path.partition(".")
    value = arguments[name]
    if not field:
        return value
    return value[field] if isinstance(value, Mapping) else getattr(value, field)


def with_at(arguments: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return the arguments with the value at a path replaced."""
    name, _, field = path.partition(".")
    if field:
        holder = arguments[name]
        if isinstance(holder, Mapping):
            value = {**holder, field: value}
        elif hasattr(holder, "_replace"):
            value = holder._replace(**{field: value})
        else:
            value = dataclasses.replace(holder, **{field: value})
    return {**arguments, name: value}


def _of_rank(array: Any, rank: int) -> Any:
    flat = jnp.ravel(array)
    return {0: flat[0], 1: flat, 3: jnp.asarray(array)[None]}[rank]
