"""Tell numbers that are known from traced ones, and move them to the host and back."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

__all__ = ["as_array", "canonical_dtype", "is_traced", "on_host", "power_of_two"]

# So many numbers are looked at by NumPy: for JAX their shape would have to be compiled,
# which takes longer than anything that is done with so few.
MAX_ON_HOST = 65536


def is_traced(value: object) -> bool:
    """Return whether the numbers inside value are unknown, as under jit or grad."""
    return isinstance(value, jax.core.Tracer)


def as_array(value: Any, dtype: Any = None) -> Array:
    """Return value as a JAX array whose numbers are known wherever they are.

    Under jit jnp.asarray would stage a constant, and its numbers would be out of sight.
    What NumPy holds is copied: it may be changed while a computation still runs.
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
    """Return a known array, as NumPy's where it is small."""
    few = value.size <= MAX_ON_HOST and value.is_fully_addressable
    return np.asarray(value) if few else value


def canonical_dtype(dtype: Any) -> Any:
    """Return the dtype that JAX makes of a dtype: without x64, 32 bits of 64."""
    return jax.dtypes.canonicalize_dtype(dtype)


@partial(jax.jit, inline=True)
def power_of_two(array: Array) -> Float[Array, ""]:
    """Return the power of 2 just below the largest |entry|: dividing by it is exact.

    It is a constant for differentiation: nothing that is scaled by it depends on it.
    """
    _, exponent = jnp.frexp(lax.stop_gradient(jnp.abs(array).max()))
    # XLA divides by multiplying with the reciprocal, which must not be flushed to 0.
    largest = np.finfo(array.dtype).maxexp - 2
    return jnp.ldexp(jnp.ones((), array.dtype), jnp.minimum(exponent - 1, largest))
