"""Hold the shape discipline: arrays of rank 2, or a clear error at trace time.

Everything here is known from shapes and dtypes alone, so it is checked in eager mode
and under every transformation, and costs nothing once a function is compiled. What
depends on the numbers inside the arrays is in `validate`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

__all__ = [
    "AnyArray",
    "DtypeError",
    "Params",
    "RankError",
    "Samples",
    "ShapeError",
    "broadcast_shape",
    "check_array",
    "check_count",
    "check_elementwise",
    "check_matrix",
    "check_number",
    "check_params",
    "check_samples",
    "flatten_images",
    "init_params",
    "is_traced",
]


AnyArray: TypeAlias = Array | np.ndarray


class RankError(ValueError):
    """Say that an array has another rank than the one its role asks for."""


class ShapeError(ValueError):
    """Say that an array has the right rank, but sizes that do not fit."""


class DtypeError(TypeError):
    """Say that an argument does not hold floating-point numbers of the right kind."""


class Params(NamedTuple):
    """Hold the parameters of one model, or of K models side by side.

    Shapes: w (n, 1), b (1, 1); for K stacked models w (n, K), b (K, 1).
    """

    w: Float[Array, "n K"]
    b: Float[Array, "K 1"]


class Samples(NamedTuple):
    """Hold what is known about m samples, one column each; absent rows are None.

    Shapes: X (n, m); y, weight and offset (1, m).
    """

    X: Float[Array, "n m"]
    y: Float[Array, "1 m"]
    weight: Float[Array, "1 m"] | None = None
    offset: Float[Array, "1 m"] | None = None


def init_params(n: int, dtype: Any = None) -> Params:
    """Return the zero parameters that every descent here starts from.

    Shapes: w (n, 1), b (1, 1). The cost is convex, so the start decides nothing.

    Args:
        n: number of features, at least 1.
        dtype: float32 or float64; by default JAX's own default.

    Raises:
        ValueError: n is less than 1.
        DtypeError: n is no whole number, or dtype is not float32 or float64.
    """
    n = check_count("n", n, least=1)
    dtype = jax.dtypes.canonicalize_dtype(float if dtype is None else dtype)
    _check_dtype("dtype", dtype, "pass dtype=jnp.float32")
    return Params(w=jnp.zeros((n, 1), dtype), b=jnp.zeros((1, 1), dtype))


def flatten_images(images: Num[Any, "m ..."]) -> Num[Array, "n m"]:
    """Flatten every image into one column.

    Shapes: images (m, h, w, c) or (m, h, w), of any numeric dtype, which is kept;
    result (h * w * c, m). Down a column the image runs in its own C order: rows,
    then pixels along a row, then colours. Equation (1) of docs/derivation.md.

    Raises:
        RankError: images has rank other than 3 or 4; one image is images[None].
        ShapeError: a size is 0.
        DtypeError: images is not an array of numbers.
    """
    images = check_array("images", images, floating=False)
    if images.ndim not in (3, 4):
        raise RankError(
            f"images has rank {images.ndim}, shape {images.shape}, but must be (m, h, "
            "w, c) or (m, h, w): write images[None] for a single image"
        )
    if 0 in images.shape:
        raise ShapeError(f"images has shape {images.shape}: a size of 0 holds nothing")
    return images.reshape(images.shape[0], -1).T


def broadcast_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape that arrays of these shapes have once broadcast together.

    The general principle: an (r, c) matrix with a (1, c) row, an (r, 1) column or a
    scalar, by + - * or /, is as if the row, column or scalar were repeated to (r, c).
    Hence in each position the sizes are equal, or one of them is 1.

    Args:
        shapes: one or more shapes of rank 2, or () for a scalar.

    Raises:
        RankError: a shape has rank 1, or more than 2, or no shape is given.
        ShapeError: in some position two sizes differ and neither is 1, or a size is
            negative.
    """
    if not shapes:
        raise RankError("broadcast_shape needs at least one shape")
    sizes = [tuple(operator.index(size) for size in shape) for shape in shapes]
    for shape in sizes:
        if len(shape) not in (0, 2):
            raise RankError(
                f"the shape {shape} has rank {len(shape)}, but must have rank 2 (or 0, "
                "a scalar): write (1, c) for a row, (r, 1) for a column"
            )
        if any(size < 0 for size in shape):
            raise ShapeError(f"the shape {shape} has a negative size")
    matrices = [shape for shape in sizes if shape]
    result = []
    for position in zip(*matrices, strict=True):
        others = {size for size in position if size != 1}
        if len(others) > 1:
            raise ShapeError(
                f"the shapes {', '.join(map(str, sizes))} do not broadcast: in each "
                "position sizes must be equal, or one of them 1"
            )
        result.append(others.pop() if others else 1)
    return tuple(result)


# --- checks ---------------------------------------------------------------------------


def is_traced(value: object) -> bool:
    """Return whether the numbers inside value are unknown, as under jit or grad."""
    return isinstance(value, jax.core.Tracer)


def check_count(name: str, value: Any, least: int) -> int:
    """Return value as a whole number of at least `least`.

    Raises:
        DtypeError: value is no whole number.
        ValueError: value is smaller than `least`.
    """
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise DtypeError(
            f"{name} must be a whole number, but is {value!r} of type "
            f"{type(value).__name__}"
        )
    count = operator.index(value)
    if count < least:
        raise ValueError(f"{name} must be at least {least}, but is {count}")
    return count


def check_array(name: str, value: Any, floating: bool = True) -> Array:
    """Return value as a JAX array of float32 or float64 (or of any number at all).

    NumPy arrays are taken as JAX takes them: float64 becomes float32 unless x64 is on.

    Raises:
        DtypeError: value is not an array, or its dtype is not one of these.
    """
    if not isinstance(value, jax.Array | np.ndarray | np.generic):
        raise DtypeError(
            f"{name} must be an array of floating-point numbers, but is of type "
            f"{type(value).__name__}: convert it, for example with jnp.asarray(...)"
        )
    if floating:
        _check_dtype(name, value.dtype, f"convert it with {name}.astype(jnp.float32)")
    elif value.dtype.kind not in "biuf":
        raise DtypeError(f"{name} has dtype {value.dtype}, but must hold real numbers")
    return jnp.asarray(value)


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
        return jnp.asarray(value, dtype)
    array = check_array(name, value)
    if array.ndim != 0:
        raise RankError(
            f"{name} has rank {array.ndim}, shape {array.shape}, but must be a number: "
            "to try several at once, map over them with jax.vmap"
        )
    return array.astype(dtype)


def check_params(
    params: Params, n: int | str, dtype: Any = None, K: int | str = 1, name: str = ""
) -> Params:
    """Return params with w (n, K) and b (K, 1) checked.

    Raises:
        DtypeError: params is no Params, or a dtype is another one.
        RankError, ShapeError: w or b has another shape.
    """
    if not isinstance(params, Params):
        raise DtypeError(
            f"{name or 'params'} must be Params(w, b), but is of type "
            f"{type(params).__name__}"
        )
    prefix = f"{name}." if name else ""
    w = check_matrix(f"{prefix}w", params.w, (n, K), dtype)
    b = check_matrix(f"{prefix}b", params.b, (w.shape[1], 1), w.dtype)
    return Params(w=w, b=b)


def check_samples(X: Any, y: Any, weight: Any = None, offset: Any = None) -> Samples:
    """Return the samples with every row checked against X (n, m).

    Raises:
        DtypeError: an argument is no array of floats, or the dtypes differ.
        RankError, ShapeError: an argument has another shape than its role asks for.
    """
    X = check_matrix("X", X, ("n", "m"))

    def row(name: str, value: Any) -> Array:
        return check_matrix(name, value, (1, X.shape[1]), X.dtype)

    return Samples(
        X=X,
        y=row("y", y),
        weight=None if weight is None else row("weight", weight),
        offset=None if offset is None else row("offset", offset),
    )


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
        name: jnp.asarray(value) if type(value) is float else check_array(name, value)
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


def _check_dtype(name: str, dtype: Any, cure: str) -> None:
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
