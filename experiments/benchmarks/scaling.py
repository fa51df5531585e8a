"""Time and memory of fit_many against the number of problems on one X."""

from __future__ import annotations

import ctypes
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.benchmarks.harness.report import save
from experiments.config import CONFIGS
from experiments.errors import UserError
from jlogreg import Status, fit_many

ROOT = CONFIGS.parent.parent
STATUS, REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Work(NamedTuple):
    """The numbers of problems, the sizes, the memory limit, and the rounds."""

    counts: tuple[int, ...] = (1, 10, 100, 1000, 10_000, 100_000)
    features: int = 32
    samples: int = 500
    memory_MiB: int = 256
    rounds: int = 3


WORK = Work()


def run(console: Console, work: Work = WORK) -> None:
    """Measure time and memory of 1 to 100 000 label rows on one 32 x 500."""
    console.print(
        f"fit_many of K label rows on one {work.features} x {work.samples} matrix, "
        f"float32, l2 = 1/m, within {work.memory_MiB} MiB in addition to arguments and "
        "result; each K in a fresh process"
    )
    rows = [_row(count, work) for count in work.counts]
    table = Table(
        "K", "median s", "fastest s", "µs a problem", "first call s", "converged",
        "memory MiB", "limit MiB",
    )  # fmt: skip
    for row in rows:
        memory = row["memory_MiB"]
        table.add_row(
            str(row["problems"]),
            f"{row['median_s']:.4f}",
            f"{row['fastest_s']:.4f}",
            f"{row['us_a_problem']:.1f}",
            f"{row['first_s']:.2f}",
            str(row["converged"]),
            "unknown" if memory is None else f"{memory:.0f}",
            str(work.memory_MiB),
        )
    console.print(table)
    console.print("memory: the peak of a call, without its arguments and its result")
    save(console, "scaling", {"work": work._asdict(), "ways": rows})


def _row(count: int, work: Work) -> Any:
    """Return the measurement of a fresh process, which has no freed memory to reuse."""
    words = [str(value) for value in (count, *work[1:])]
    command = [sys.executable, "-m", "experiments.benchmarks.scaling", *words]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        raise UserError(f"K = {count}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def _measure(count: int, n: int, m: int, memory_MiB: int, rounds: int) -> Any:
    random = np.random.default_rng(0)
    X = random.standard_normal((n, m), dtype=np.float32)
    w = random.standard_normal((count, n), dtype=np.float32) / np.sqrt(n)
    Y = random.random((count, m), dtype=np.float32)
    # In place and in pieces: memory freed here would be reused and not be counted.
    for rows in np.array_split(np.arange(count), -(-count // 1000)):
        Y[rows] = Y[rows] < 1 / (1 + np.exp(-(w[rows] @ X)))
    shared, limit = jnp.asarray(X), memory_MiB * 2**20

    def call() -> tuple[float, Any]:
        start = time.perf_counter()
        found = fit_many(shared, Y, l2=1 / m, memory_limit=limit)
        jax.block_until_ready(found)
        return time.perf_counter() - start, found

    first, found = call()
    seconds = [call()[0] for _ in range(rounds)]
    converged = int((found.status == Status.CONVERGED).sum())
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(found))
    del found
    peak = _peak(call)
    return {
        "problems": count,
        "median_s": statistics.median(seconds),
        "fastest_s": min(seconds),
        "us_a_problem": 1e6 * statistics.median(seconds) / count,
        "first_s": first,
        "converged": converged,
        "memory_MiB": None if peak is None else (peak - size) / 2**20,
    }


def _peak(call: Callable[[], object]) -> int | None:
    """Return by how many bytes memory rises at most during a call; None if unknown."""
    device = jax.devices()[0]
    stats = device.memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        before = int(stats["bytes_in_use"])
        call()
        return int(device.memory_stats()["peak_bytes_in_use"]) - before
    if not REFS.exists():
        return None
    # Return freed memory to the system, and reset the peak.
    ctypes.CDLL(None).malloc_trim(0)
    REFS.write_text("5")
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def _resident(key: str) -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    print(json.dumps(_measure(*map(int, sys.argv[1:]))))
