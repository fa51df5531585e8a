"""One process with one core or two, and two processes with a core each."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.benchmarks.harness.report import save
from experiments.config import CONFIGS
from experiments.errors import UserError
from experiments.processes.join import schedule_as_batch

ROOT = CONFIGS.parent.parent
MODULE = "experiments.benchmarks.processes"


class Work(NamedTuple):
    """The sizes of three calls; how often processes start, and calls of each."""

    fit: tuple[int, int] = (20, 1_000_000)  # features, samples
    fit_many: tuple[int, int, int] = (256, 512, 2000)  # labels, features, samples
    scan_features: tuple[int, int] = (200_000, 2000)  # variants, samples
    rounds: int = 3
    calls: int = 5


WORK = Work()
# Processes, cores of each, and devices of each.
WAYS = {
    "one process, one core": (1, 1, 1),
    "two processes, a core each": (2, 1, 1),
    "one process, two cores": (1, 2, 1),
    "one process, two cores, two devices": (1, 2, 2),
}
ONE = next(iter(WAYS))
# How far the sums of the weights of two ways may differ, of float32.
CLOSE = 1e-3


def run(console: Console, work: Work = WORK) -> None:
    """Time fit, fit_many and scan_features on one core, and in two processes."""
    console.print(
        f"the same call in processes that are pinned to cores, float32; {work.rounds} "
        f"rounds of fresh processes in turns, the median of {work.calls} calls in each"
    )
    table = Table("call", "way", "median ms", "fastest ms", f"times as fast as {ONE}")
    rows = []
    for job in ("fit", "fit_many", "scan_features"):
        sizes = getattr(work, job)
        said = {name: [] for name in WAYS}  # type: dict[str, list[Any]]
        for _ in range(work.rounds):
            for name, way in WAYS.items():
                said[name].append(_measured(job, sizes, way, work.calls))
        for name, found in said.items():
            one = [each["median_s"] for each in said[ONE]]
            own = [each["median_s"] for each in found]
            ratio = statistics.median(a / b for a, b in zip(one, own, strict=True))
            _check(f"{job}: {name}", found[0]["sum"], said[ONE][0]["sum"])
            row = {
                "call": job,
                "way": name,
                "median_s": statistics.median(own),
                "fastest_s": min(each["fastest_s"] for each in found),
                "ratio": ratio,
            }
            rows.append(row)
            times = (f"{1e3 * row[key]:.1f}" for key in ("median_s", "fastest_s"))
            table.add_row(job, name, *times, f"{ratio:.2f}")
    console.print(table)
    save(console, "processes", {"work": work._asdict(), "ways": rows})


def _check(name: str, found: float, expected: float) -> None:
    if not abs(found - expected) <= CLOSE * abs(expected):
        raise UserError(f"{name} has another answer: {found} instead of {expected}")


def _measured(
    job: str, sizes: tuple[int, ...], way: tuple[int, int, int], calls: int
) -> dict[str, float]:
    """Return what the first of some fresh processes says of its calls."""
    count, cores, devices = way
    return start(MODULE, job, count, (calls, *sizes), cores, devices)


def start(
    module: str,
    job: str,
    count: int,
    numbers: tuple[int, ...],
    cores: int = 1,
    devices: int = 1,
) -> dict[str, Any]:
    """Return what the first of some fresh processes of a module says at last.

    Each is given the job, its number, the number of all, its cores and devices, the
    port on which they meet, and the numbers.

    Raises:
        UserError: if one of them fails.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    running = []
    for index in range(count):
        given = [index, count, cores, devices, port, *numbers]
        command = [sys.executable, "-m", module, job, *map(str, given)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running.append(subprocess.Popen(command, cwd=ROOT, text=True, **pipes))
    try:
        said = [one.communicate() for one in running]
    finally:
        for one in running:
            one.kill()
    for one, (_, errors) in zip(running, said, strict=True):
        if one.returncode:
            raise UserError(f"{job}, {count} processes: {errors.strip()[-500:]}")
    found: dict[str, Any] = json.loads(said[0][0].splitlines()[-1])
    return found


def join(
    index: int, count: int, cores: int, devices: int, port: int
) -> Callable[[], Any]:
    """Join this process to the others; return a function in which all meet.

    It is pinned to some cores, each process to its own.
    """
    mine = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, mine[index % len(mine) :][:cores])
    schedule_as_batch()
    import jax
    from jax.experimental.multihost_utils import process_allgather

    jax.config.update("jax_num_cpu_devices", devices)
    if count == 1:
        return lambda: None
    jax.distributed.initialize(f"127.0.0.1:{port}", count, index)
    return lambda: process_allgather(np.zeros(1))


def _worker(job: str, *numbers: int) -> dict[str, float]:
    """Make the calls in this process, which is one of several, and time them."""
    index, count, cores, devices, port, calls, *sizes = numbers
    meet = join(index, count, cores, devices, port)
    call = JOBS[job](index, count, *sizes)
    total = float(call())
    seconds = []
    for _ in range(calls):
        meet()
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return {
        "median_s": statistics.median(seconds),
        "fastest_s": min(seconds),
        "sum": total,
    }


def _fit(index: int, count: int, n: int, m: int) -> Callable[[], float]:
    import jlogreg

    # With some seeds rounding decides about a last step, and so do the processes.
    X, y = data(n, m, 1, seed=1)
    own = slice(m * index // count, m * (index + 1) // count)
    given = jlogreg.put(jlogreg.mesh(), X[:, own], y[:, own])

    def call() -> float:
        found = jlogreg.fit(given[0], given[1], weight=given[2])
        return float(np.abs(found.params.w).sum())

    return call


def _fit_many(index: int, count: int, K: int, n: int, m: int) -> Callable[[], float]:
    import jlogreg

    X, labels = data(n, m, K)
    Y, l2 = _whole(labels), 1 / m
    return lambda: float(np.abs(jlogreg.fit_many(X, Y, l2=l2).params.w).sum())


def _scan_features(index: int, count: int, V: int, m: int) -> Callable[[], float]:
    import jlogreg

    C, labels = data(5, m, 1)
    G = np.random.default_rng(1).integers(0, 3, (V, m), np.int8)
    y = _whole(labels)
    return lambda: float(np.abs(jlogreg.scan_features(G, C, y).z).sum())


JOBS: dict[str, Callable[..., Callable[[], float]]] = {
    "fit": _fit,
    "fit_many": _fit_many,
    "scan_features": _scan_features,
}


def _whole(rows: np.ndarray) -> Any:
    """Return rows that are whole on each device, by which problems are dealt."""
    import jax

    import jlogreg

    whole = jax.sharding.NamedSharding(jlogreg.mesh(), jax.sharding.PartitionSpec())
    return jax.make_array_from_process_local_data(whole, rows, rows.shape)


def data(n: int, m: int, K: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features (n, m) and labels (K, m) that depend on them a little."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, m), np.float32)
    w = random.standard_normal((K, n)).astype(np.float32) / np.sqrt(n)
    chance = 1 / (1 + np.exp(-w @ X))
    return X, (random.random((K, m)) < chance).astype(np.float32)


if __name__ == "__main__":
    print(json.dumps(_worker(sys.argv[1], *map(int, sys.argv[2:]))))
