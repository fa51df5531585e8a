"""Concrete and traced arrays, on the device and on the host."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

__all__ = ["as_array", "canonical_dtype", "is_traced", "on_host", "power_of_two"]

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
    if isinstance(value, np.ndarray | np.generic):
        # By NumPy, and not by jnp.array, which compiles a program for each shape.
        dtype = canonical_dtype(value.dtype if dtype is None else dtype)
        with np.errstate(over="ignore"):
            value = np.array(value, dtype)
    with jax.ensure_compile_time_eval():
        return jnp.asarray(value, dtype)


def on_host(value: Array) -> Any:
    """Return a small concrete array as a NumPy array, and a large one unchanged."""
    small = value.size <= MAX_ON_HOST and value.is_fully_addressable
    return np.asarray(value) if small else value


def canonical_dtype(dtype: Any) -> Any:
    """Return the dtype that JAX stores: one of 32 bits unless x64 is enabled."""
    return jax.dtypes.canonicalize_dtype(dtype)


@partial(jax.jit, inline=True)
def power_of_two(array: Array) -> Float[Array, ""]:
    """Return the largest power of 2 that is not above max |entry|.

    Shapes: array of any shape; result (). Division by it is exact. Its derivative is
    defined as 0, since no final result depends on the scaling.
    """
    _, exponent = jnp.frexp(lax.stop_gradient(jnp.abs(array).max()))
    # XLA multiplies by the reciprocal instead, which must not be flushed to 0.
    largest = np.finfo(array.dtype).maxexp - 2
    return jnp.ldexp(jnp.ones((), array.dtype), jnp.minimum(exponent - 1, largest))
