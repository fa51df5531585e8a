"""How the time and the memory of a pass grow with n, m, K and V."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.benchmarks.harness.report import save
from jlogreg import (
    fit,
    fit_many,
    hessian,
    init_params,
    scan_features,
    value_and_gradient,
)


class Work(NamedTuple):
    """The sizes along each axis, those of the other axes, and the rounds."""

    features: tuple[int, ...] = (32, 128, 512)
    samples: tuple[int, ...] = (50_000, 200_000, 800_000)
    problems: tuple[int, ...] = (500, 2000, 8000)
    variants: tuple[int, ...] = (5000, 20_000, 80_000)
    n: int = 32
    m: int = 20_000  # where n grows
    few: int = 1000  # samples where K or V grows
    rounds: int = 5


WORK = Work()


class Measured(NamedTuple):
    """The seconds of all cores of a call, and the temporary bytes of its program.

    There is no such number for a call that runs several programs.
    """

    seconds: float
    temporary: int | None


def run(console: Console, work: Work = WORK) -> None:
    """Measure how time and temporary memory grow with n, m, K and V."""
    console.print(
        "seconds of all cores of a call after the first, and the temporary bytes of "
        "its compiled program, float32; ~ is the exponent of growth, by least squares"
    )
    table = Table("what", "axis", "sizes", "ms", "time ~", "temporary MiB", "memory ~")
    ways = []
    for name, axis, sizes, measure in _cases(work):
        found = [measure(size, work) for size in sizes]
        way: dict[str, Any] = {
            "way": name,
            "axis": axis,
            "sizes": sizes,
            "seconds": [each.seconds for each in found],
            "temporary_bytes": [each.temporary for each in found],
            "time_exponent": exponent(sizes, [each.seconds for each in found]),
            "memory_exponent": exponent(sizes, [each.temporary for each in found]),
        }
        ways.append(way)
        table.add_row(
            *(name, axis, _words(sizes, "d")),
            *(_words([1e3 * s for s in way["seconds"]], ".3g"), _word(way, "time")),
            _words([b and b / 2**20 for b in way["temporary_bytes"]], ".3g"),
            _word(way, "memory"),
        )
    console.print(table)
    save(console, "growth", {"work": work._asdict(), "ways": ways})


def exponent(sizes: Any, values: Any) -> float | None:
    """Return the slope of log value over log size, None where a value is missing."""
    if not all(values):
        return None
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(values, float))
    x = x - x.mean()
    return float(x @ y / (x @ x))


def _cases(work: Work) -> list[tuple[str, str, tuple[int, ...], Any]]:
    """Return what is measured, along which axis, at which sizes, and how."""
    n, m, K, V = work.features, work.samples, work.problems, work.variants
    pair, curvature, newton = value_and_gradient, hessian, _fit_pass
    return [
        ("cost and gradient", "m", m, lambda m, w: _pass(pair, w.n, m, w)),
        ("cost and gradient", "n", n, lambda n, w: _pass(pair, n, w.m, w)),
        ("Hessian", "m", m, lambda m, w: _pass(curvature, w.n, m, w)),
        ("Hessian", "n", n, lambda n, w: _pass(curvature, n, w.m, w)),
        ("fit, a step", "m", m, lambda m, w: _pass(newton, w.n, m, w)),
        ("cost and gradient of K", "K", K, _problems_pass),
        ("fit_many, all of it", "K", K, _many),
        ("scan_features, all of it", "V", V, _scan),
    ]


def _fit_pass(params: Any, X: Any, y: Any) -> Any:
    return fit(X, y, init=params, max_steps=1)


def _pass(function: Callable[..., Any], n: int, m: int, work: Work) -> Measured:
    X, y = _data(n, m, 1)
    return _compiled(function, work.rounds, init_params(n, X.dtype), X, y)


def _problems_pass(K: int, work: Work) -> Measured:
    X, Y = _data(work.n, work.few, K)
    params = jax.tree.map(
        lambda leaf: jnp.stack([leaf] * K), init_params(work.n, X.dtype)
    )

    def every(params: Any, X: Any, Y: Any) -> Any:
        return jax.vmap(value_and_gradient, (0, None, 0))(params, X, Y[:, None])

    return _compiled(every, work.rounds, params, X, Y)


def _many(K: int, work: Work) -> Measured:
    X, Y = _data(work.n, work.few, K)
    call = lambda: fit_many(X, Y, l2=0.01, memory_limit=2**28)  # noqa: E731
    return Measured(_fastest(call, work.rounds), None)


def _scan(V: int, work: Work) -> Measured:
    C, y = _data(5, work.few, 1)
    G = np.random.default_rng(1).integers(0, 3, (V, work.few), np.int8)
    return Measured(_fastest(lambda: scan_features(G, C, y), work.rounds), None)


def _compiled(function: Callable[..., Any], rounds: int, *given: Any) -> Measured:
    program = jax.jit(function).lower(*given).compile()
    memory: Any = program.memory_analysis()
    seconds = _fastest(lambda: program(*given), rounds)
    return Measured(seconds, int(memory.temp_size_in_bytes))


def _fastest(call: Callable[[], Any], rounds: int) -> float:
    """Return the fewest seconds of all cores of a call, after the first."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.process_time()
        jax.block_until_ready(call())
        seconds.append(time.process_time() - start)
    return min(seconds[1:])


def _data(n: int, m: int, K: int) -> tuple[jax.Array, jax.Array]:
    """Return features (n, m) and labels (K, m) that depend on them a little."""
    random = np.random.default_rng(0)
    X = random.standard_normal((n, m), np.float32)
    w = random.standard_normal((K, n)).astype(np.float32) / np.sqrt(n)
    chance = 1 / (1 + np.exp(-w @ X))
    return jnp.asarray(X), jnp.asarray((random.random((K, m)) < chance) * np.float32(1))


def _words(values: Any, form: str) -> str:
    return ", ".join("" if value is None else f"{value:{form}}" for value in values)


def _word(way: dict[str, Any], what: str) -> str:
    found = way[f"{what}_exponent"]
    return "" if found is None else f"{found:.2f}"
