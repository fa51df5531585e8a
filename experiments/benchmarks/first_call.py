"""The wait for a first result: import, tracing, compilation and fit."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from experiments.benchmarks.harness.report import save

PROGRAM = """
import sys, time
n, m = map(int, sys.argv[1:])
start = time.perf_counter()
import numpy as np
from jlogreg import fit
imported = time.perf_counter()
random = np.random.default_rng(0)
X = random.standard_normal((n, m), dtype=np.float32)
y = (random.random((1, m)) < 0.5).astype(np.float32)
made = time.perf_counter()
fit(X, y).params.w.block_until_ready()
fitted = time.perf_counter()
fit(X, y, l2=0.1).params.w.block_until_ready()
again = time.perf_counter()
print(imported - start, fitted - made, again - fitted)
"""


class Work(NamedTuple):
    """The sizes, and the rounds."""

    features: int = 100
    samples: int = 2000
    rounds: int = 5


WORK = Work()


def run(console: Console, work: Work = WORK) -> None:
    """Time import and first fit of 100 x 2000 in a fresh process."""
    console.print(
        f"the first fit of {work.features} x {work.samples}, float32, in a fresh "
        "process"
    )
    command = [sys.executable, "-c", PROGRAM, str(work.features), str(work.samples)]
    rounds = []
    for _ in range(work.rounds):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rounds.append([float(word) for word in done.stdout.split()])
    imports, first, second = zip(*rounds, strict=True)
    both = [a + b for a, b in zip(imports, first, strict=True)]
    parts = {
        "import": imports,
        "first fit": first,
        "import and first fit": both,
        "second fit, another l2": second,
    }
    rows = [
        {"way": name, "median_s": statistics.median(s), "fastest_s": min(s)}
        for name, s in parts.items()
    ]
    table = Table("part", "median s", "fastest s")
    for row in rows:
        table.add_row(row["way"], f"{row['median_s']:.3f}", f"{row['fastest_s']:.3f}")
    console.print(table)
    save(console, "first_call", {"work": work._asdict(), "ways": rows})
