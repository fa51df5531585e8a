"""Check one argument at a time, with words that say how to mend it.

Rank, shape and dtype are known at trace time, so those checks hold in eager mode and
under every transformation, and cost nothing once a function is compiled. The numbers
inside an array may be traced, and then nothing can be raised: `check_range` makes NaN
of what is out of range, so that no plausible result comes of it.
"""

from __future__ import annotations

import operator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jlogreg.base.arrays import as_array, canonical_dtype, is_traced, on_host
from jlogreg.base.errors import DtypeError, RankError, ShapeError

__all__ = [
    "AnyArray",
    "check_array",
    "check_count",
    "check_dtype",
    "check_elementwise",
    "check_matrix",
    "check_number",
    "check_range",
    "refuse_traced",
]

AnyArray: TypeAlias = Array | np.ndarray


def check_count(name: str, value: Any, least: int, below: int = 2**31) -> int:
    """Return value as a whole number of at least `least`; by default one of 32 bits.

    Raises:
        DtypeError: value is no whole number.
        ValueError: value is smaller than `least`, or too large.
    """
    try:
        count = operator.index(value)
    except TypeError:
        count = None
    if count is None or isinstance(value, bool | np.bool_):
        raise DtypeError(
            f"{name} must be a whole number, but is {value!r} of type "
            f"{type(value).__name__}"
        )
    if not least <= count < below:
        most = "at least" if count < least else f"below {below} and at least"
        raise ValueError(f"{name} must be {most} {least}, but is {count}")
    return count


def check_array(name: str, value: Any, floating: bool = True) -> Array:
    """Return value as a JAX array of float32 or float64 (or of any number at all).

    NumPy arrays are taken as JAX takes them: float64 becomes float32 unless x64 is on.
    Whole numbers, which would lose digits so, are refused.

    Raises:
        DtypeError: value is not an array, or its dtype is not one of these.
    """
    arrays = jax.Array | np.ndarray | np.generic
    if not isinstance(value, arrays) or isinstance(value, np.ma.MaskedArray):
        raise DtypeError(
            f"{name} must be an array of floating-point numbers, but is of type "
            f"{type(value).__name__}: convert it, for example with "
            "jnp.asarray(..., jnp.float32)"
        )
    if floating:
        check_dtype(name, value.dtype, f"convert it with {name}.astype(jnp.float32)")
    elif not _is_real(value.dtype):
        raise DtypeError(f"{name} has dtype {value.dtype}, but must hold real numbers")
    elif value.dtype.kind in "iu" and value.dtype != canonical_dtype(value.dtype):
        raise DtypeError(
            f"{name} has dtype {value.dtype}, which JAX would cut to 32 bits: convert "
            f"it with {name}.astype(np.uint8), say, or turn x64 on"
        )
    return as_array(value)


def check_matrix(
    name: str, value: Any, shape: tuple[int | str, int | str], dtype: Any = None
) -> Array:
    """Return value as a JAX array of rank 2, of this shape and dtype.

    Args:
        name: what the message calls the argument.
        value: the argument.
        shape: two sizes; a letter stands for a size that is free, but not 0.
        dtype: the dtype that the other arguments have, or None.

    Raises:
        DtypeError: value is no array of floats, or its dtype is another one.
        RankError: value has not rank 2.
        ShapeError: value has other sizes.
    """
    array = check_array(name, value)
    expected = f"({shape[0]}, {shape[1]})"
    found = f"{name} has rank {array.ndim}, shape {array.shape}"
    if array.ndim != 2:
        raise RankError(
            f"{found}, but must have rank 2, shape {expected}: {_cure(name, shape)}"
        )
    if 0 in array.shape:
        raise ShapeError(f"{found}: a size of 0 leaves nothing to compute with")
    sizes = zip(shape, array.shape, strict=True)
    if any(isinstance(due, int) and due != size for due, size in sizes):
        turned = array.shape[::-1] == shape
        hint = f": {_cure(name, shape)}" if turned else ""
        raise ShapeError(f"{found}, but must have shape {expected}{hint}")
    if dtype is not None and array.dtype != dtype:
        raise DtypeError(
            f"{name} has dtype {array.dtype}, but the other arrays have {dtype}: "
            f"convert it with {name}.astype(jnp.{dtype})"
        )
    return array


def check_number(name: str, value: Any, dtype: Any) -> Array:
    """Return a setting (a Python number or a scalar of rank 0) as an array of dtype.

    Raises:
        DtypeError: value is not a number.
        RankError: value is an array of rank 1 or more.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return as_array(float(value), dtype)
        except OverflowError:
            raise ValueError(f"{name} does not fit a floating-point number") from None
    if callable(value):
        raise DtypeError(
            f"{name} must be a number, but is a function: a schedule belongs into an "
            "optimizer, as in optimizer=optax.sgd(schedule)"
        )
    array = check_array(name, value)
    if array.ndim != 0:
        raise RankError(
            f"{name} has rank {array.ndim}, shape {array.shape}, but must be a number: "
            "to try several at once, map over them with jax.vmap"
        )
    return as_array(array, dtype)


def check_elementwise(**arguments: Any) -> tuple[Array, ...]:
    """Return the arguments of an elementwise function as arrays.

    Each is a scalar or a matrix. Two matrices have equal shapes: nothing is repeated
    silently, so a (1, m) row never meets an (m, 1) column to become (m, m).

    Raises:
        DtypeError: an argument is neither an array of floats nor a Python float.
        RankError: an argument has rank 1, or more than 2.
        ShapeError: two matrices have different shapes.
    """
    arrays = {
        name: as_array(value) if type(value) is float else check_array(name, value)
        for name, value in arguments.items()
    }
    for name, array in arrays.items():
        if array.ndim not in (0, 2):
            raise RankError(
                f"{name} has rank {array.ndim}, shape {array.shape}, but must have "
                f"rank 2 (or 0, a scalar): {_cure(name, ('r', 'c'))}"
            )
    matrices = {name: array for name, array in arrays.items() if array.ndim}
    if len({array.shape for array in matrices.values()}) > 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in matrices.items())
        raise ShapeError(f"shapes must be equal, but are {shapes}")
    if len({array.dtype for array in matrices.values()}) > 1:
        kinds = ", ".join(f"{name} {array.dtype}" for name, array in matrices.items())
        raise DtypeError(f"dtypes must be equal, but are {kinds}")
    return tuple(arrays.values())


def check_range(
    name: str,
    value: Array,
    low: float | None = None,
    high: float | None = None,
    *,
    above: bool = False,
) -> Array:
    """Return value; raise a ValueError unless all of it is finite and in [low, high].

    A traced value cannot raise; there what is out of range is NaN in the result.

    Args:
        name: what the message calls the argument.
        value: an array.
        low: the smallest value allowed, or None.
        high: the largest value allowed, or None.
        above: whether low itself is refused.
    """
    if is_traced(value):
        return jnp.where(_inside(value, low, high, above), value, jnp.nan)
    with jax.ensure_compile_time_eval():
        numbers = on_host(value)
        look = _all_are_inside if isinstance(numbers, np.ndarray) else _all_inside
        if look(numbers, low, high, above):
            return value
        bad = ~_inside(numbers, low, high, above)
        count = int(bad.sum())
        place = np.unravel_index(int(bad.argmax()), value.shape)
        found = float(numbers[place])
    due = "finite"
    if low is not None:
        due = f"{'greater than' if above else 'at least'} {low:g}"
    if low is not None and high is not None:
        due = f"in {'(' if above else '['}{low:g}, {high:g}]"
    if not place:
        raise ValueError(f"{name} must be {due}, but is {found:g}")
    raise ValueError(
        f"{name} must be {due} everywhere, but {count} of {value.size} entries are "
        f"not; the first is {name}[{place[0]}, {place[1]}] = {found:g}"
    )


def _inside(value: Any, low: float | None, high: float | None, above: bool) -> Any:
    inside = (np if isinstance(value, np.ndarray) else jnp).isfinite(value)
    if low is not None:
        inside &= (value > low) if above else (value >= low)
    if high is not None:
        inside &= value <= high
    return inside


def _all_are_inside(
    value: Any, low: float | None, high: float | None, above: bool
) -> Any:
    return _inside(value, low, high, above).all()


# Compiled, so that one pass over a large X makes no temporary array of its size.
_all_inside = jax.jit(_all_are_inside, static_argnums=(1, 2, 3))


def _is_real(dtype: Any) -> bool:
    kinds = (np.bool_, jnp.integer, jnp.floating)
    return any(jnp.issubdtype(dtype, kind) for kind in kinds)


def check_dtype(name: str, dtype: Any, cure: str) -> None:
    """Raise a DtypeError, with the cure in its words, unless dtype is a float's."""
    if dtype not in (np.float32, np.float64):
        raise DtypeError(
            f"{name} has dtype {dtype}, but must be float32 or float64: {cure}"
        )


def _cure(name: str, shape: tuple[int | str, int | str]) -> str:
    row = f"{name}.reshape(1, -1) for a row"
    column = f"{name}.reshape(-1, 1) for a column"
    if shape[0] == 1:
        return f"write {row}"
    if shape[1] == 1:
        return f"write {column}"
    return f"write {row}, {column}; flatten_images makes columns of images"


def refuse_traced(what: str, instead: str, *given: Any) -> None:
    """Raise a TypeError if an argument of what runs on the host is traced.

    Args:
        what: what runs on the host.
        instead: what to do instead.
        given: the arguments.
    """
    if any(map(is_traced, jax.tree.leaves(given))):
        raise TypeError(
            f"{what} runs on the host and takes no traced arguments: {instead}"
        )
