"""Sigmoid and log loss of one logit in two forms, exact and fast.

Both start from e = exp(-|z|), which never overflows. The fast form computes each step
in the working precision. The exact form carries the rounding error of each step in a
second number (a result is high + low), and is accurate to about 1 ulp. It takes two to
three times as long, and is not worth it in sums over samples, which lose more digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from jlogreg.base.arrays import at_most
from jlogreg.base.programs import program

__all__ = ["EXACT", "FAST", "Tails"]


class Tails(NamedTuple):
    """Two functions of the logit z, from which all others are computed.

    Shapes: z and y of any shape, and so the results. sigmoid(z) is sigmoid(-|z|), in
    [0, 1/2]. log_loss(z, y) is s |z| + log(1 + exp(-|z|)) with s = 1 - y for z >= 0 and
    s = y for z < 0, in nats: the right-hand form of equation (6) of docs/derivation.md,
    a sum without cancellation.
    """

    sigmoid: Callable[[Array], Array]
    log_loss: Callable[[Array, Array], Array]


class _Format(NamedTuple):
    """Constants of a floating-point format: layout of the bits, and lengths of series.

    log 2 = high + low, where high has so few bits that its multiples k high are exact.
    """

    integer: type
    exponent: int
    mantissa: int
    bias: int
    largest: float  # |z| beyond which exp(-|z|) is not a normal number
    high: float
    low: float
    exp_terms: int
    log_terms: int


_FORMATS = {
    "float32": _Format(
        *(np.int32, 8, 23, 127, 88.0),
        *(0.693359375, -2.1219444005469057e-4, 7, 5),
    ),
    "float64": _Format(
        *(np.int64, 11, 52, 1023, 709.0),
        *(6.93147180369123816490e-01, 1.90821492927058770002e-10, 13, 11),
    ),
}


def _fast_sigmoid(z: Array) -> Array:
    e = jnp.exp(-jnp.abs(z))
    return e / (1 + e)


def _fast_log_loss(z: Array, y: Array) -> Array:
    distance = jnp.abs(z)
    against = _against(distance, jnp.where(z >= 0, 1 - y, y))
    return against + jnp.log1p(jnp.exp(-distance))


def _against(distance: Array, s: Array) -> Array:
    """Return s |z|, and 0 where s = 0: |z| may be infinite there."""
    return jnp.where(s == 0, 0, s * distance)


def _rounded(x: Array) -> Array:
    """Return x, rounded to its format here, whatever the compiler does.

    Otherwise it would simplify (1 + e) - 1 to e, and the rounding error would be lost.
    """
    form = _FORMATS[x.dtype.name]
    return lax.reduce_precision(x, form.exponent, form.mantissa)


def _halves(x: Array, bits: int) -> tuple[Array, Array]:
    """Return x as a sum of its leading bits (this many) and the rest."""
    high = lax.reduce_precision(x, _FORMATS[x.dtype.name].exponent, bits)
    return high, x - high


def _exp(z: Array) -> tuple[Array, Array]:
    """Return exp(-|z|) as high + low.

    With k the integer nearest to |z| / log 2 and r = k log 2 - |z|, it is exp(r) / 2^k.
    Since |r| <= 0.35, exp(r) is a short Taylor series.
    """
    form = _FORMATS[z.dtype.name]
    distance = at_most(jnp.abs(z), form.largest)
    # r and its rounding error `lost`; k high - |z| is exact.
    k = jnp.round(distance * (1 / math.log(2)))
    far = k * form.high - distance
    r = _rounded(far + k * form.low)
    lost = k * form.low - (r - far)
    # (exp(r) - 1 - r) / r^2, by Horner's rule.
    series = jnp.full_like(r, 1 / math.factorial(form.exp_terms))
    for power in range(form.exp_terms - 1, 1, -1):
        series = series * r + 1 / math.factorial(power)
    rest = r * r * series + lost
    # exp(r) = 1 + r + rest, as high + low.
    change = _rounded(r + rest)
    high = _rounded(1 + change)
    low = (change - (high - 1)) + (rest - (change - r))
    # 2^-k by its bits, which are those of 0 for the largest k.
    scale = (form.bias - k.astype(form.integer)) << form.mantissa
    scale = lax.bitcast_convert_type(scale, z.dtype)
    return high * scale, low * scale


def _exact_sigmoid(z: Array) -> Array:
    """Return e / (1 + e) by a division that is corrected by its remainder."""
    e, low = _exp(z)
    # 1 + e + low = total + lost.
    total = _rounded(1 + e)
    lost = e - (total - 1) + low
    a = e / total
    # remainder = e - a total, without rounding: products of halves are exact.
    bits = _FORMATS[z.dtype.name].mantissa // 2
    (a1, a2), (t1, t2) = _halves(a, bits), _halves(total, bits)
    remainder = (((e - a1 * t1) - a1 * t2) - a2 * t1) - a2 * t2
    return a + (remainder + (low - a * lost)) / total


def _exact_log_loss(z: Array, y: Array) -> Array:
    """Return s |z| + log(1 + e), corrected by the rounding errors of s and the sum."""
    distance, largest = jnp.abs(z), _FORMATS[z.dtype.name].largest
    # s + lost is 1 - y or y.
    other = _rounded(1 - y)
    s = jnp.where(z >= 0, other, y)
    lost = jnp.where(z >= 0, (1 - other) - y, 0)
    against = _against(distance, s)
    first, rest = _log1p(*_exp(z))
    # against + first and its rounding error (Knuth's TwoSum).
    total = _rounded(against + first)
    part = _rounded(total - against)
    rest = rest + (against - _rounded(total - part)) + (first - part)
    near = total + (rest + lost * at_most(distance, largest))
    return jnp.where(distance > largest, against, near)  # e is 0 there


def _log1p(e: Array, low: Array) -> tuple[Array, Array]:
    """Return log(1 + e + low) as first + rest, by log(1 + f) = 2 artanh(f / (2 + f)).

    For e < 1/2, f = e. For e >= 1/2 it is log 2 + log(1 + f) with f = (e - 1) / 2. The
    argument s = f / (2 + f) of artanh is at most 1/5, and 2 s = f - s f.
    """
    form = _FORMATS[e.dtype.name]
    upper = e >= 0.5
    f = jnp.where(upper, (e - 1) / 2, e)
    s = f / (2 + f)
    square = s * s
    # (2 artanh(s) - 2 s) / s^3, by Horner's rule.
    series = jnp.full_like(s, 2 / (2 * form.log_terms + 1))
    for term in range(form.log_terms - 1, 0, -1):
        series = series * square + 2 / (2 * term + 1)
    # 2 artanh(s) - f + low / (1 + e), where 2 s - f = s f^2 / 2 - f^2 / 2.
    half = f * f / 2
    small = s * (half + series * square) - half + low / (1 + e)
    first = jnp.where(upper, form.high, f)
    return first, jnp.where(upper, f + (small + form.low), small)


# Compiled as a whole: in eager mode each of their many steps would be a program.
EXACT = Tails(program(_exact_sigmoid), program(_exact_log_loss))
FAST = Tails(_fast_sigmoid, _fast_log_loss)
