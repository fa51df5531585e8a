"""The parts of a pass over samples of several processes: summing and all-reduce."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.benchmarks.harness.report import save
from experiments.benchmarks.processes import data, join, start
from experiments.processes.collectives import fitted

MODULE = "experiments.benchmarks.passes"


class Work(NamedTuple):
    """The processes, the samples of each, the sizes of all-reduces, and the calls."""

    processes: tuple[int, ...] = (1, 2)
    features: int = 50
    samples: int = 100_000
    reduced: tuple[int, int] = (51, 2**18)  # numbers
    calls: int = 50


WORK = Work()
# Between the quartiles of a normal distribution, in standard deviations.
QUARTILES = 1.349


def run(console: Console, work: Work = WORK) -> None:
    """Time a pass of one and two processes, and its sums and all-reduce alone."""
    console.print(
        f"cost and gradient of {work.features} x {work.samples} samples in each "
        f"process, which has one core, float32; medians of {work.calls} calls"
    )
    table = Table("processes", "sums ms", "deviation ms", "all-reduce ms", "pass ms")
    rows = []
    for count in work.processes:
        numbers = (work.features, work.samples, *work.reduced, work.calls)
        row = start(MODULE, "pass", count, numbers)
        rows.append({"processes": count, **row})
        reduced = " and ".join(f"{1e3 * each:.2f}" for each in row["reduce_s"])
        times = (row["local_s"], row["deviation_s"])
        words = [f"{1e3 * each:.2f}" for each in times]
        table.add_row(str(count), *words, reduced, f"{1e3 * row['joint_s']:.2f}")
    record = {"work": work._asdict(), "ways": rows}
    console.print(table)
    console.print(f"fitted: {fitted(record)}")
    save(console, "passes", record)


def measured(index: int, count: int, port: int, *numbers: int) -> dict[str, Any]:
    """Return the seconds of the parts of a pass, in this process of several."""
    n, m, small, large, calls = numbers
    meet = join(index, count, 1, 1, port)
    import jax

    import jlogreg

    mesh = jlogreg.mesh()
    X, y = data(n, m, 1, seed=index)
    params = jlogreg.init_params(n, X.dtype)
    summed = jax.jit(jlogreg.value_and_gradient)
    own = jax.device_put((X, y))
    spread = jlogreg.put(mesh, X, y)[:2]
    local = _seconds(lambda: summed(params, *own), calls, meet)
    joint = _seconds(lambda: summed(params, *spread), calls, meet)
    along = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("samples"))
    added = jax.jit(lambda rows: rows.sum(axis=0))
    sizes, reduced = (small, large), []
    for size in sizes:
        row = np.ones((jax.local_device_count(), size), np.float32)
        rows = jax.make_array_from_process_local_data(along, row)
        seconds = _seconds(lambda rows=rows: added(rows), calls, meet)  # type: ignore[misc]
        reduced.append(statistics.median(seconds))
    return {
        "local_s": statistics.median(local),
        "deviation_s": _deviation(local),
        "joint_s": statistics.median(joint),
        "reduce_s": reduced,
        "reduce_bytes": [4 * size for size in sizes],
    }


def _deviation(seconds: list[float]) -> float:
    """Return the standard deviation that normal numbers with these quartiles have."""
    low, high = np.quantile(seconds, [0.25, 0.75])
    return float(high - low) / QUARTILES


def _seconds(
    call: Callable[[], Any], calls: int, meet: Callable[[], Any]
) -> list[float]:
    """Return the seconds of calls, one after the other; all processes begin together.

    They do not meet again: how late one leaves would count as part of a call.
    """
    import jax

    jax.block_until_ready(call())
    meet()
    seconds = []
    for _ in range(calls):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - begin)
    return seconds


if __name__ == "__main__":
    index, count, _, _, port, *numbers = map(int, sys.argv[2:])
    print(json.dumps(measured(index, count, port, *numbers)))
