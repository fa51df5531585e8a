"""Print what a benchmark measured: the machine, the times and the ratios."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping

import jax
from rich.console import Console
from rich.table import Table

from experiments.timing import median, ratio


def report(
    console: Console,
    seconds: Mapping[str, list[float]],
    against: str,
    size: int | None = None,
) -> None:
    """Print a table of medians, and of ratios taken round by round.

    Args:
        console: where to print.
        seconds: the seconds of each way in each round.
        against: the way that the others are compared with.
        size: bytes of X, to print how fast it is read, each byte counted once.
    """
    rounds = len(seconds[against])
    table = Table("way", "median ms", "fastest ms", f"times as fast as {against}")
    if size is not None:
        table.add_column("GB/s of X")
    for name in seconds:
        row = [
            name,
            f"{1e3 * median(seconds, name):.1f}",
            f"{1e3 * min(seconds[name]):.1f}",
            f"{ratio(seconds, against, name):.2f}",
        ]
        if size is not None:
            row.append(f"{size / median(seconds, name) / 1e9:.1f}")
        table.add_row(*row)
    console.print(table)
    console.print(
        f"{rounds} rounds, interleaved; {os.cpu_count()} cores, {platform.machine()}, "
        f"JAX {jax.__version__} on {jax.default_backend()}"
    )
