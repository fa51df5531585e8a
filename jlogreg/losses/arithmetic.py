"""Compute the tail of the sigmoid, and log(1 + e), in two forms: exact and fast.

Both start from e = exp(-|z|), which never overflows. The fast form takes each step in
the working precision. The exact one carries what each step rounds away in a second
number (a sum is held as high + low), and is right to about one unit in the last place;
it takes two to three times as long, and in sums over samples, which round more than
that, it is not worth it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

__all__ = ["EXACT", "FAST", "Tails"]


class Tails(NamedTuple):
    """Hold two functions of a logit z, from which all others are made.

    sigmoid: z to a = sigmoid(-|z|), in [0, 1/2]. log_loss: z and a label y in [0, 1] to
    s |z| + log(1 + exp(-|z|)), where s = 1 - y for z >= 0 and y for z < 0: a sum
    without cancellation.
    """

    sigmoid: Callable[[Array], Array]
    log_loss: Callable[[Array, Array], Array]


class _Format(NamedTuple):
    """Hold what a floating-point format needs: how its bits lie, and how far to sum.

    ln2 is split into high, of so few bits that its multiples are exact, and low.
    """

    integer: type
    exponent: int
    mantissa: int
    bias: int
    largest: float  # |z| beyond which exp(-|z|) is no normal number
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
    """Return s |z|; at z = +-infinity with the right label s is 0, and so is this."""
    return jnp.where(s == 0, 0, s * distance)


def _rounded(x: Array) -> Array:
    """Return x, as a number that the compiler must round here.

    Else it would see that (1 + e) - 1 is e, and nothing would be left to carry.
    """
    form = _FORMATS[x.dtype.name]
    return lax.reduce_precision(x, form.exponent, form.mantissa)


def _halves(x: Array, bits: int) -> tuple[Array, Array]:
    """Return a number of this many leading bits, and the rest."""
    high = lax.reduce_precision(x, _FORMATS[x.dtype.name].exponent, bits)
    return high, x - high


def _exp(z: Array) -> tuple[Array, Array]:
    """Return exp(-|z|) as high + low.

    With k the whole number next to |z| / ln 2 and r = k ln 2 - |z|, it is exp(r) / 2^k,
    and exp(r) is its Taylor series: |r| is at most 0.35.
    """
    form = _FORMATS[z.dtype.name]
    distance = jnp.minimum(jnp.abs(z), form.largest)
    k = jnp.round(distance * (1 / math.log(2)))
    far = k * form.high - distance
    r = _rounded(far + k * form.low)
    lost = k * form.low - (r - far)
    series = jnp.full_like(r, 1 / math.factorial(form.exp_terms))
    for power in range(form.exp_terms - 1, 1, -1):
        series = series * r + 1 / math.factorial(power)
    rest = r * r * series + lost
    change = _rounded(r + rest)
    high = _rounded(1 + change)
    low = (change - (high - 1)) + (rest - (change - r))
    # 2^-k by its bits; for the largest k they are those of 0.
    scale = (form.bias - k.astype(form.integer)) << form.mantissa
    scale = lax.bitcast_convert_type(scale, z.dtype)
    return high * scale, low * scale


def _exact_sigmoid(z: Array) -> Array:
    """Return e / (1 + e) by a division, corrected by the remainder it leaves."""
    e, low = _exp(z)
    total = _rounded(1 + e)
    lost = e - (total - 1) + low
    a = e / total
    # a * total without rounding, by halves.
    bits = _FORMATS[z.dtype.name].mantissa // 2
    (a1, a2), (t1, t2) = _halves(a, bits), _halves(total, bits)
    remainder = (((e - a1 * t1) - a1 * t2) - a2 * t1) - a2 * t2
    return a + (remainder + (low - a * lost)) / total


def _exact_log_loss(z: Array, y: Array) -> Array:
    """Return s |z| + log(1 + e), with what s and the last sum round away."""
    distance, largest = jnp.abs(z), _FORMATS[z.dtype.name].largest
    other = _rounded(1 - y)
    s = jnp.where(z >= 0, other, y)
    lost = jnp.where(z >= 0, (1 - other) - y, 0)
    against = _against(distance, s)
    first, rest = _log1p(*_exp(z))
    # against + first, and what that rounds away.
    total = _rounded(against + first)
    part = _rounded(total - against)
    rest = rest + (against - _rounded(total - part)) + (first - part)
    near = total + (rest + lost * jnp.minimum(distance, largest))
    return jnp.where(distance > largest, against, near)  # e is 0 there


def _log1p(e: Array, low: Array) -> tuple[Array, Array]:
    """Return log(1 + e + low) as first + rest, by log(1 + f) = 2 artanh(f / (2 + f)).

    For e >= 1/2 it is log 2 + log(1 + f), f = (e - 1) / 2; else f = e. The series of
    artanh in s = f / (2 + f), at most 1/5, is summed beyond its first term: 2 s is
    f - s f.
    """
    form = _FORMATS[e.dtype.name]
    upper = e >= 0.5
    f = jnp.where(upper, (e - 1) / 2, e)
    s = f / (2 + f)
    square = s * s
    series = jnp.full_like(s, 2 / (2 * form.log_terms + 1))
    for term in range(form.log_terms - 1, 0, -1):
        series = series * square + 2 / (2 * term + 1)
    half = f * f / 2
    small = s * (half + series * square) - half + low / (1 + e)
    first = jnp.where(upper, form.high, f)
    return first, jnp.where(upper, f + (small + form.low), small)


# Compiled as one: in eager mode each of their many steps would be a program.
EXACT = Tails(jax.jit(_exact_sigmoid), jax.jit(_exact_log_loss))
FAST = Tails(_fast_sigmoid, _fast_log_loss)
