"""Errors of every elementwise function and of its peers, in units in the last place.

They are measured in float32 at every number with 2^-26 <= |z| < 128, in float64 at a
million random and chosen ones. The reference is the next wider format (float64, or the
long double of the machine), which is itself compared with mpmath. If the exact value is
not a normal number, 0 is also correct.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console
from rich.table import Table

from experiments.benchmarks.harness.report import report, save, times
from experiments.benchmarks.ulp import (
    LABELS,
    Error,
    Function,
    error,
    float32_chunks,
    float64_chunks,
    references,
    slope,
    unit,
    ways,
)
from experiments.errors import UserError
from experiments.timing import interleaved
from jlogreg.losses import elementwise as losses
from jlogreg.losses.arithmetic import EXACT, FAST


class Work(NamedTuple):
    """The numbers to measure at, and the elements and rounds of the timing."""

    stride: int = 1  # every number of float32, or every stride-th
    points: int = 1_000_000  # numbers of float64
    checked: int = 500  # numbers at which the references are compared with mpmath
    elements: int = 2**20
    rounds: int = 21


WORK = Work()
# The largest errors that are accepted in float32; in float64 3 for all.
LIMITS = {"sigmoid": 2.0, "log_sigmoid": 2.0, "log_loss": 2.0, "dz": 2.1, "dz2": 3.5}
LIMIT_64 = 3.0


def run(console: Console, work: Work = WORK) -> None:
    """Measure errors of sigmoid and losses in ulp, and of jax.nn, optax and scipy.

    Raises:
        UserError: if an error of jlogreg is larger than accepted.
    """
    with jax.enable_x64(True):
        _check_references(console, work.checked)
        worst = {
            "float32": _worst(float32_chunks(work.stride), np.float32, np.float64),
            "float64": _worst(float64_chunks(work.points), np.float64, np.longdouble),
        }
        for dtype, errors in worst.items():
            console.print(_table(dtype, errors))
        seconds: dict[str, Any] = {}
        for dtype in worst:
            check_infinity(np.dtype(dtype))
            seconds |= _time(console, np.dtype(dtype), work)
    record = {
        dtype: {
            f"{name}: {whose}": {"ulp": error.size, "z": error.at}
            for (name, whose), error in errors.items()
        }
        for dtype, errors in worst.items()
    }
    save(
        console,
        "accuracy",
        {"work": work._asdict(), "worst": record, "times": seconds},
    )
    over = [
        f"{name} in {dtype} errs by {error.size:.2f}, more than {limit(name, dtype)}"
        for dtype, errors in worst.items()
        for (name, whose), error in errors.items()
        if whose == "jlogreg" and not error.size <= limit(name, dtype)
    ]
    if over:
        raise UserError("; ".join(over))


def limit(name: str, dtype: str) -> float:
    """Return the largest error that is accepted of a function of jlogreg."""
    return LIMIT_64 if dtype == "float64" else LIMITS[name.partition(",")[0]]


def _worst(
    chunks: Iterator[np.ndarray], dtype: Any, wide: type
) -> dict[tuple[str, str], Error]:
    """Return the largest error of each function over all chunks."""
    functions = ways(dtype)

    def measure(z: np.ndarray) -> dict[tuple[str, str], Error]:
        exact = references(z, wide)
        units = {name: unit(value, dtype) for name, value in exact.items()}
        with jax.enable_x64(True):  # a setting of the thread
            return {
                (name, whose): error(function(z), exact[name], units[name], z)
                for (name, whose), function in functions.items()
            }

    worst = dict.fromkeys(functions, Error())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # In batches: a pool would take all chunks in at once.
        while batch := list(itertools.islice(chunks, 64)):
            for errors in pool.map(measure, batch):
                worst = {key: max(worst[key], errors[key]) for key in worst}
    return worst


def check_infinity(dtype: Any) -> None:
    """Raise an AssertionError unless every function has its limit at +-infinity."""
    z = np.array([np.inf, -np.inf], dtype)
    limits = {
        "sigmoid": (1, 0),
        "log_sigmoid": (0, -np.inf),
        "dz2": (0, 0),
        "dz, y = 0": (1, 0),
        "dz, y = 1": (0, -1),
        "log_loss, y = 0": (np.inf, 0),
        "log_loss, y = 1": (0, np.inf),
        **{f"log_loss, y = {soft}": (np.inf, np.inf) for soft in (*LABELS,)[2:]},
    }
    for (name, whose), function in ways(dtype).items():
        if whose.startswith("jlogreg"):
            np.testing.assert_array_equal(function(z), limits[name], f"{name}, {whose}")


def _check_references(console: Console, checked: int) -> None:
    """Compare the references with mpmath, at numbers of all sizes.

    Raises:
        UserError: if mpmath is missing, or long double is not wider than float64.
    """
    try:
        import mpmath  # noqa: F401
    except ModuleNotFoundError as missing:
        raise UserError('mpmath is missing; pip install "jlogreg[peers]"') from missing
    if np.finfo(np.longdouble).nmant <= np.finfo(float).nmant:
        raise UserError("long double is not wider than float64 on this machine")
    for dtype, wide in ((np.float32, float), (np.float64, np.longdouble)):
        reach = 87 if dtype is np.float32 else 708
        sizes = np.exp(np.random.default_rng(1).uniform(-17, math.log(reach), checked))
        z = np.concatenate([sizes, -sizes]).astype(dtype)
        largest = max(
            _distance(name, value, z) for name, value in references(z, wide).items()
        )
        console.print(
            f"{np.dtype(dtype)}: the reference, {np.dtype(wide)}, is within "
            f"{largest:.4f} ulp of mpmath's 350 digits"
        )


def _distance(name: str, reference: np.ndarray, z: np.ndarray) -> float:
    """Return the largest error of a reference, in units in the last place of z."""
    from mpmath import mp

    dtype, wide, largest = z.dtype.type, reference.dtype.type, 0.0
    with mp.workdps(350):  # enough for 1 + exp(-708) to differ from 1
        units = unit(reference, dtype)
        for at, value, one in zip(z, reference, units, strict=True):
            # A long double as the sum of two Python floats.
            high = float(value)
            given = mp.mpf(high) + mp.mpf(float(value - wide(high)))
            exact = _exact(name, mp.mpf(float(at)), dtype)
            largest = max(largest, float(abs(given - exact) / float(one)))
    return largest


def _exact(name: str, z: Any, dtype: Any) -> Any:
    """Return the value of a function, by its definition, in mpmath."""
    from mpmath import mp

    a, other = 1 / (1 + mp.exp(-z)), 1 / (1 + mp.exp(z))
    name, _, text = name.partition(", y = ")
    if not text:
        return {"sigmoid": a, "log_sigmoid": mp.log(a), "dz2": a * other}[name]
    y = mp.mpf(float(dtype(LABELS[text])))
    if name == "dz":
        return (1 - y) * a - y * other
    return -y * mp.log(a) - (1 - y) * mp.log(other)


def _table(dtype: str, worst: Mapping[tuple[str, str], Error]) -> Table:
    names = list(dict.fromkeys(name for name, _ in worst))
    columns = list(dict.fromkeys(whose for _, whose in sorted(worst)))
    columns.sort(key=lambda whose: not whose.startswith("jlogreg"))
    table = Table(f"largest error, {dtype}, ulp", "at most", *columns)
    for name in sorted(names):
        cells = (worst.get((name, whose)) for whose in columns)
        texts = (f"{error.size:.3g}" if error else "" for error in cells)
        table.add_row(name, f"{limit(name, dtype)}", *texts)
    return table


def _time(console: Console, dtype: Any, work: Work) -> dict[str, Any]:
    """Time the loss and its slope, of each element and of the sum; return the times."""
    random = np.random.default_rng(0)
    z = jnp.asarray(random.normal(0, 5, work.elements), dtype)
    y = jnp.asarray(random.random(work.elements) < 0.5, dtype)
    loss: dict[str, Function] = {
        "optax": optax.sigmoid_binary_cross_entropy,
        "jlogreg": lambda z, y: losses.log_loss(EXACT, z, y),
        "jlogreg, in sums": lambda z, y: losses.log_loss(FAST, z, y),
    }

    def each(function: Function) -> Function:
        return jax.jit(lambda z, y: (function(z, y), slope(function, z, y)))

    def summed(function: Function) -> Function:
        return jax.jit(jax.value_and_grad(lambda z, y: function(z, y).sum()))

    records = {}
    for what, make in (("each loss", each), ("the sum", summed)):
        console.print(f"{what} and its slope, {work.elements} elements, {dtype}")
        made = {name: make(function) for name, function in loss.items()}
        runs = {
            name: lambda run=run: jax.block_until_ready(run(z, y))
            for name, run in made.items()
        }
        seconds = interleaved(runs, work.rounds)
        report(console, seconds, against="optax")
        records[f"{what}, {dtype}"] = times(seconds, against="optax")
    return records
