"""Checks of single arguments, with messages that name the cure.

Rank, shape and dtype are known at trace time, so these checks work in eager mode and
under every transformation, and cost nothing once a function is compiled. The entries of
an array may be traced, and then no error can be raised: `check_range` replaces invalid
entries by NaN instead, so that no plausible result is computed from them.
"""

# Over 300 lines: the checks of all arguments, most of them the words of errors.

from __future__ import annotations

import operator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jlogreg.base.arrays import as_array, canonical_dtype, gathered, is_traced, on_host
from jlogreg.base.errors import DtypeError, RankError, ShapeError
from jlogreg.base.programs import program

__all__ = [
    "AnyArray",
    "check_array",
    "check_count",
    "check_dtype",
    "check_key",
    "check_matrix",
    "check_number",
    "check_range",
    "refuse_traced",
    "reshape_cure",
]

AnyArray: TypeAlias = Array | np.ndarray


def check_count(name: str, value: Any, least: int, below: int = 2**31) -> int:
    """Return value as a whole number of at least `least` and below `below`.

    Raises:
        DtypeError: if value is not a whole number.
        ValueError: if value is out of this range; the default limit is that of 32 bits.
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
    """Return value as a JAX array of float32 or float64, or of any real dtype.

    NumPy arrays are converted as by JAX: float64 becomes float32 unless x64 is enabled.
    Whole numbers of 64 bits would lose digits, so they are an error.

    Args:
        name: of the argument in messages.
        value: the argument.
        floating: whether only float32 and float64 are allowed.

    Raises:
        DtypeError: if value is not an array, or its dtype is not allowed.
    """
    arrays = jax.Array | np.ndarray | np.generic
    if not isinstance(value, arrays) or isinstance(value, np.ma.MaskedArray):
        raise DtypeError(
            f"{name} must be an array of floating-point numbers, but is of type "
            f"{type(value).__name__}: {_array_cure(name, value)}"
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


def _array_cure(name: str, value: Any) -> str:
    """Return how to make an array of a value that is none."""
    if hasattr(value, "tocoo"):
        return (
            "convert a matrix of SciPy with jax.experimental.sparse.BCOO."
            f"from_scipy_sparse({name}), its columns the samples"
        )
    if hasattr(value, "to_numpy"):
        return (
            f"convert it with {name}.to_numpy(), the samples as columns, or fit it by "
            "jlogreg.tables"
        )
    if isinstance(value, np.ma.MaskedArray):
        return f"write {name}.filled(number), with a weight of 0 where it is masked"
    if isinstance(value, str) and name in ("l2", "l1"):
        return (
            "give a number; jlogreg.cross_validate(X, y) chooses one of those that it "
            "proposes"
        )
    if isinstance(value, str):
        return "read its numbers first, with NumPy or jlogreg.tables"
    return "convert it, for example with jnp.asarray(..., jnp.float32)"


def check_matrix(
    name: str,
    value: Any,
    shape: tuple[int | str, int | str],
    dtype: Any = None,
    *,
    no_rows: bool = False,
) -> Array:
    """Return value as a JAX array of rank 2, of this shape and dtype.

    Args:
        name: of the argument in messages.
        value: the argument.
        shape: two sizes; a letter stands for any size but 0.
        dtype: of the other arguments, or None.
        no_rows: whether the first letter stands for 0 too: X without features.

    Raises:
        DtypeError: if value is not an array of float32 or float64, or not of `dtype`.
        RankError: if the rank is not 2.
        ShapeError: if the sizes are other ones.
    """
    array = check_array(name, value)
    expected = f"({shape[0]}, {shape[1]})"
    subject = f"{name} has rank {array.ndim}, shape {array.shape}"
    if array.ndim != 2:
        raise RankError(
            f"{subject}, but must have rank 2, shape {expected}: "
            f"{reshape_cure(name, shape)}"
        )
    least = tuple(0 if size == 0 else 1 for size in shape)
    if array.shape[0] < least[0] - no_rows or array.shape[1] < least[1]:
        raise ShapeError(f"{subject}: a size of 0 leaves nothing to compute with")
    sizes = zip(shape, array.shape, strict=True)
    if any(isinstance(size, int) and size != actual for size, actual in sizes):
        transposed = all(
            size in (actual, str(size))
            for size, actual in zip(shape, array.shape[::-1], strict=True)
        )
        cure = reshape_cure(name, shape) if 1 in shape else f"write {name}.T"
        hint = f": {cure}" if transposed else ""
        raise ShapeError(f"{subject}, but must have shape {expected}{hint}")
    if dtype is not None and array.dtype != dtype:
        raise DtypeError(
            f"{name} has dtype {array.dtype}, but the other arrays have {dtype}: "
            f"convert it with {name}.astype(jnp.{dtype})"
        )
    return array


def check_number(name: str, value: Any, dtype: Any) -> Array:
    """Return a setting (a Python number or a scalar of rank 0) as an array of dtype.

    Raises:
        DtypeError: if value is not a number.
        RankError: if value is an array of rank 1 or more.
        ValueError: if value does not fit a floating-point number.
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


def check_range(
    name: str,
    value: Array,
    low: float | None = None,
    high: float | None = None,
    *,
    above: bool = False,
) -> Array:
    """Return value, with every entry finite and in [low, high].

    In a traced array, invalid entries become NaN, since nothing can be raised; so do
    derivatives of what depends on them.

    Args:
        name: of the argument in messages.
        value: an array.
        low: the smallest valid number, or None.
        high: the largest valid number, or None.
        above: whether low itself is invalid.

    Raises:
        ValueError: if an entry is invalid and not traced.
    """
    if is_traced(value):
        # A sum, for its derivative; chosen only where invalid, since sums take
        # subnormal numbers for 0. NaN is computed for no valid entry.
        inside = _inside(value, low, high, above)
        mark = jnp.where(inside, 0, jnp.nan).astype(value.dtype)
        return jnp.where(inside, value, value + mark)
    with jax.ensure_compile_time_eval():
        numbers = on_host(value)
        test = _all_inside if isinstance(numbers, np.ndarray) else _all_inside_compiled
        if test(numbers, low, high, above):
            return value
        if isinstance(numbers, jax.Array):
            numbers = gathered(numbers)
        invalid = ~_inside(numbers, low, high, above)
        count = int(invalid.sum())
        place = np.unravel_index(int(invalid.argmax()), value.shape)
        first = float(numbers[place])
    rule = "finite"
    if low is not None:
        rule = f"{'greater than' if above else 'at least'} {low:g}"
    if low is not None and high is not None:
        between = f"in {'(' if above else '['}{low:g}, {high:g}]"
        rule = f"{low:g}" if low == high else between
    if not place:
        raise ValueError(f"{name} must be {rule}, but is {first:g}")
    raise ValueError(
        f"{name} must be {rule} everywhere, but {count} of {value.size} entries are "
        f"not; the first is {name}[{place[0]}, {place[1]}] = {first:g}"
    )


def _inside(value: Any, low: float | None, high: float | None, above: bool) -> Any:
    inside = (np if isinstance(value, np.ndarray) else jnp).isfinite(value)
    if low is not None:
        inside &= (value > low) if above else (value >= low)
    if high is not None:
        inside &= value <= high
    return inside


def _all_inside(value: Any, low: float | None, high: float | None, above: bool) -> Any:
    return _inside(value, low, high, above).all()


# Compiled, so that the pass over a large X needs no temporary array of its size.
_all_inside_compiled = program(_all_inside, static_argnums=(1, 2, 3))


def check_key(key: Any) -> Array:
    """Return a key of jax.random, of the new kind or the old.

    Raises:
        DtypeError: if it is another thing, such as a seed.
    """
    dtype, shape = getattr(key, "dtype", np.dtype(bool)), np.shape(key)
    if jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ():
        return key
    if dtype == np.uint32 and shape in ((2,), (4,)):
        return as_array(key)
    seed = key if isinstance(key, int) and not isinstance(key, bool) else 0
    raise DtypeError(
        f"key must be one key of jax.random, such as jax.random.key({seed}), but is "
        f"{key!r}"
    )


def _is_real(dtype: Any) -> bool:
    kinds = (np.bool_, jnp.integer, jnp.floating)
    return any(jnp.issubdtype(dtype, kind) for kind in kinds)


def check_dtype(name: str, dtype: Any, cure: str) -> None:
    """Raise a DtypeError that names the cure unless dtype is float32 or float64."""
    if dtype not in (np.float32, np.float64):
        raise DtypeError(
            f"{name} has dtype {dtype}, but must be float32 or float64: {cure}"
        )


def reshape_cure(name: str, shape: tuple[int | str, int | str]) -> str:
    """Return how to make an array of rank 2 of one of rank 1, for this shape."""
    row = f"{name}.reshape(1, -1) for a row"
    column = f"{name}.reshape(-1, 1) for a column"
    if shape[0] == 1:
        return f"write {row}"
    if shape[1] == 1:
        return f"write {column}"
    return f"write {row}, {column}; flatten_images makes columns of images"


def refuse_traced(function: str, instead: str, *arguments: Any) -> None:
    """Raise a TypeError if an argument of a function of the host is traced.

    Args:
        function: its name.
        instead: the alternative, in words.
        arguments: of the function.
    """
    if any(map(is_traced, jax.tree.leaves(arguments))):
        raise TypeError(
            f"{function} runs on the host and takes no traced arguments: {instead}"
        )
