"""Concrete and traced arrays, on the device and on the host."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jaxtyping import Array, Float

from jlogreg.base.programs import program

__all__ = [
    "as_array",
    "at_least",
    "at_most",
    "canonical_dtype",
    "gathered",
    "is_subnormal",
    "is_traced",
    "largest",
    "on_host",
    "power_of_two",
    "smallest",
]

# Arrays up to this size are inspected with NumPy: JAX would compile a program for their
# shape, which takes longer than the inspection.
MAX_ON_HOST = 65536


def is_traced(value: object) -> bool:
    """Return whether value is traced: under jit or grad its entries are unknown."""
    return isinstance(value, jax.core.Tracer)


def as_array(value: Any, dtype: Any = None) -> Array:
    """Return value as a JAX array, concrete unless value itself is traced.

    Under jit jnp.asarray would turn a constant into a traced array. NumPy arrays are
    copied, since they may be changed while a computation still runs.
    """
    if is_traced(value):
        return value if dtype is None else value.astype(dtype)
    if isinstance(value, jax.Array) and value.dtype != canonical_dtype(value.dtype):
        value = np.asarray(value)  # from when JAX's precision was another
    is_number = isinstance(value, int | float) and dtype is not None
    if is_number or isinstance(value, np.ndarray | np.generic):
        # By NumPy, and not by jnp.array, which compiles a program for each shape.
        dtype = canonical_dtype(value.dtype if dtype is None else dtype)
        with np.errstate(over="ignore"):
            value = np.array(value, dtype)
    with jax.ensure_compile_time_eval():
        return jnp.asarray(value, dtype)


def on_host(value: Any) -> Any:
    """Return a small concrete array as a NumPy array, and a large one unchanged."""
    if isinstance(value, np.ndarray):
        return value
    small = value.size <= MAX_ON_HOST and value.is_fully_addressable
    return np.asarray(value) if small else value


def gathered(value: Array) -> Any:
    """Return a known array that lies on several devices as a NumPy array.

    Also of other processes, which must then call this, too; another unchanged.
    """
    if len(value.sharding.device_set) == 1:
        return value
    if value.is_fully_addressable:
        return np.asarray(value)
    return np.asarray(multihost_utils.process_allgather(value, tiled=True))


def is_subnormal(array: Any) -> Any:
    """Return a mask of the numbers that arithmetic takes for 0, though they are not.

    By their bits: a comparison would take them for 0, too.
    """
    kind = {4: np.int32, 8: np.int64}[array.dtype.itemsize]
    bits: Any
    if isinstance(array, np.ndarray):
        bits = abs(array).view(kind)
    else:
        bits = lax.bitcast_convert_type(jnp.abs(array), kind)
    return (bits != 0) & (bits < np.finfo(array.dtype).tiny.view(kind))


def canonical_dtype(dtype: Any) -> Any:
    """Return the dtype that JAX stores: one of 32 bits unless x64 is enabled."""
    return jax.dtypes.canonicalize_dtype(dtype)


# On a CPU a maximum or minimum, of two arrays or of the entries of one, may pass over
# NaN where there are 4096 numbers or more (issue 21461 of openxla/xla). So nothing in
# this package takes one but the functions below, which keep NaN by a comparison.


def at_least(array: Array, low: Any) -> Array:
    """Return the entries, `low` in place of smaller ones; NaN stays."""
    return _where(array < low, low, array)


def at_most(array: Array, high: Any) -> Array:
    """Return the entries, `high` in place of larger ones; NaN stays."""
    return _where(array > high, high, array)


def _where(condition: Any, then: Any, other: Any) -> Any:
    """Return one or the other, on the host if they are there."""
    on_device = isinstance(condition, jax.Array)
    return (jnp if on_device else np).where(condition, then, other)


def largest(array: Array, axis: int | None = None) -> Array:
    """Return the largest entry, NaN where an entry is NaN, -inf where there is none."""
    undefined = jnp.isnan(array).any(axis=axis)
    initial = None if array.size else -jnp.inf
    return jnp.where(undefined, jnp.nan, array.max(axis=axis, initial=initial))


def smallest(array: Array, axis: int | None = None) -> Array:
    """Return the smallest entry, NaN where an entry is NaN, inf where there is none."""
    # Not by the largest of -array, which XLA would write to memory.
    undefined = jnp.isnan(array).any(axis=axis)
    initial = None if array.size else jnp.inf
    return jnp.where(undefined, jnp.nan, array.min(axis=axis, initial=initial))


@partial(program, inline=True)
def power_of_two(array: Array) -> Float[Array, ""]:
    """Return the largest power of 2 that is not above max |entry|.

    Shapes: array of any shape; result (). Division by it is exact. Its derivative is
    defined as 0, since no final result depends on the scaling.
    """
    _, exponent = jnp.frexp(lax.stop_gradient(largest(jnp.abs(array))))
    # XLA multiplies by the reciprocal instead, which must not be flushed to 0.
    most = np.finfo(array.dtype).maxexp - 2
    return jnp.ldexp(jnp.ones((), array.dtype), at_most(exponent - 1, most))
