"""Time what a user waits for the first time: import, tracing, compiling, fitting."""

from __future__ import annotations

import subprocess
import sys

from rich.console import Console
from rich.table import Table

ROUNDS = 5
PROGRAM = """
import time
start = time.perf_counter()
import numpy as np
from jlogreg import fit
imported = time.perf_counter()
random = np.random.default_rng(0)
X = random.standard_normal((100, 2000), dtype=np.float32)
y = (random.random((1, 2000)) < 0.5).astype(np.float32)
made = time.perf_counter()
fit(X, y).params.w.block_until_ready()
fitted = time.perf_counter()
fit(X, y, l2=0.1).params.w.block_until_ready()
again = time.perf_counter()
print(imported - start, fitted - made, again - fitted)
"""


def main(console: Console) -> None:
    """Run the benchmark and print its table."""
    console.print("the first fit of 100 x 2000, float32, in a fresh process")
    rounds = []
    for _ in range(ROUNDS):
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rounds.append([float(word) for word in done.stdout.split()])
    table = Table("part", "median s", "fastest s")
    parts = zip(*rounds, strict=True)
    imports, first, second = (sorted(part) for part in parts)
    both = sorted(a + b for a, b, _ in rounds)
    for name, seconds in (
        ("import", imports),
        ("first fit", first),
        ("import and first fit", both),
        ("second fit, another l2", second),
    ):
        table.add_row(name, f"{seconds[ROUNDS // 2]:.3f}", f"{seconds[0]:.3f}")
    console.print(table)
