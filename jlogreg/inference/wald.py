"""Wald's test: z, two-sided p and its logarithm; equation (27) of docs/derivation.md.

Wald, Trans. Am. Math. Soc. 54, 1943.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax.scipy.special import log_ndtr
from jaxtyping import Array

__all__ = ["log10_p_value", "p_value"]


def p_value(z: float) -> float:
    """Return the two-sided p of z = estimate / standard error, a Python float."""
    return math.erfc(abs(z) / math.sqrt(2))


def log10_p_value(z: Array) -> Array:
    """Return the logarithm to the base 10 of the two-sided p, which does not underflow.

    Shapes: z of any shape, and so the result.
    """
    return (log_ndtr(-jnp.abs(z)) + math.log(2)) / math.log(10)
