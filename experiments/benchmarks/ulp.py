"""Functions, numbers and references of `accuracy`, and errors in ulp.

The reference is the next wider format: float64, or the long double of the machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import special

from jlogreg.losses import elementwise as losses
from jlogreg.losses.arithmetic import EXACT, FAST

LOW, HIGH = 2.0**-26, 128.0
CHUNK = 2**16
LABELS = {"0": 0.0, "1": 1.0, "0.3": 0.3, "0.9999": 0.9999, "1e-6": 1e-6}
HARD = ("0", "1")
Function = Callable[..., Any]


class Error(NamedTuple):
    """The largest error of a function, in units in the last place, at z = at."""

    size: float = 0.0
    at: float = 0.0


def float32_chunks(stride: int = 1) -> Iterator[np.ndarray]:
    """Return every number of the range and its negative, or every stride-th."""
    first, last = np.array([LOW, HIGH], np.float32).view(np.int32)
    for start in range(first, last, CHUNK * stride):
        bits = np.arange(
            start, min(start + CHUNK * stride, last), stride, dtype=np.int32
        )
        yield np.concatenate([bits.view(np.float32), -bits.view(np.float32)])


def float64_chunks(points: int) -> Iterator[np.ndarray]:
    """Return random numbers of all sizes, and those next to changes of formula."""
    random = np.random.default_rng(0)
    half = points // 2
    sizes = np.exp(random.uniform(math.log(2.0**-55), math.log(745), half // 2))
    middle = random.uniform(0, 40, half - half // 2)
    # |z| / ln 2 is rounded to a whole number, which changes at halves; e = 1/2 at ln 2.
    edges = np.arange(1, 2150) * (math.log(2) / 2)
    near = edges[:, None] * (1 + np.arange(-8, 9) * np.finfo(float).eps)
    for part in np.array_split(np.concatenate([sizes, middle, near.ravel()]), 32):
        yield np.concatenate([part, -part])


def references(z: np.ndarray, wide: type) -> dict[str, np.ndarray]:
    """Return the exact values of all functions, in a wider format."""
    signed: Any = z.astype(wide)
    distance, positive = np.abs(signed), signed >= 0
    e = np.exp(-distance)
    small, large, log = e / (1 + e), 1 / (1 + e), np.log1p(e)
    found = {
        "sigmoid": np.where(positive, large, small),
        "log_sigmoid": np.minimum(signed, 0) - log,
        "dz2": small * large,
        "dz, y = 0": np.where(positive, large, small),
        "dz, y = 1": -np.where(positive, small, large),
    }
    for text, label in LABELS.items():
        y = z.dtype.type(label).astype(wide)
        found[f"log_loss, y = {text}"] = np.where(positive, 1 - y, y) * distance + log
    return found


def ways(dtype: Any) -> dict[tuple[str, str], Function]:
    """Return functions of z, by the names of the function and of its implementation."""
    made: dict[tuple[str, str], Function] = {
        ("sigmoid", "jax.nn"): jax.jit(jax.nn.sigmoid),
        ("sigmoid", "scipy"): special.expit,
        ("log_sigmoid", "jax.nn"): jax.jit(jax.nn.log_sigmoid),
        ("log_sigmoid", "scipy"): special.log_expit,
        ("dz2", "a (1 - a)"): jax.jit(
            lambda z: jax.nn.sigmoid(z) * (1 - jax.nn.sigmoid(z))
        ),
    }
    for whose, tails in (("jlogreg", EXACT), ("jlogreg, in sums", FAST)):
        for name, function in (
            ("sigmoid", losses.sigmoid),
            ("log_sigmoid", losses.log_sigmoid),
            ("dz2", losses.log_loss_dz2),
        ):
            made[name, whose] = _jit(function, tails)
        for text, label in LABELS.items():
            y = jnp.asarray(label, dtype)
            made[f"log_loss, y = {text}", whose] = _jit(losses.log_loss, tails, y)
            if text in HARD:
                made[f"dz, y = {text}", whose] = _jit(losses.log_loss_dz, tails, y)
    peer = optax.sigmoid_binary_cross_entropy
    for text, label in LABELS.items():
        y = jnp.asarray(label, dtype)
        made[f"log_loss, y = {text}", "optax"] = jax.jit(lambda z, y=y: peer(z, y))
        if text in HARD:
            made[f"dz, y = {text}", "optax"] = jax.jit(lambda z, y=y: slope(peer, z, y))
            made[f"dz, y = {text}", "a - y"] = jax.jit(
                lambda z, y=y: jax.nn.sigmoid(z) - y
            )
    return made


def _jit(function: Function, tails: Any, *labels: Any) -> Function:
    return jax.jit(lambda z: function(tails, z, *labels))


def slope(loss: Function, z: Any, y: Any) -> Any:
    """Return the derivative of a loss in z, element by element."""
    value, pull = jax.vjp(lambda z: loss(z, y), z)
    return pull(jnp.ones_like(value))[0]


def unit(exact: np.ndarray, dtype: Any) -> np.ndarray:
    """Return the unit in the last place of numbers that have a wider format.

    It is infinite where the number is not normal in dtype: there, 0 is also correct.
    """
    kind = np.finfo(dtype)
    size = np.abs(exact)
    units = np.ldexp(exact.dtype.type(kind.eps), np.frexp(size)[1] - 1)
    return np.where(size < kind.smallest_normal, np.inf, units)


def error(computed: Any, exact: np.ndarray, units: np.ndarray, z: np.ndarray) -> Error:
    """Return the largest error in units in the last place; infinity for NaN."""
    errors = np.abs(np.asarray(computed).astype(exact.dtype) - exact) / units
    errors[np.isnan(errors)] = np.inf
    place = int(errors.argmax())
    return Error(float(errors[place]), float(z[place]))
