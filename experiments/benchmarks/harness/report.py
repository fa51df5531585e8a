"""Print and write the times of a benchmark, their ratios, and the machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from experiments.environment import machine
from experiments.timing import median, ratio

RESULTS = Path(__file__).parents[1] / "results"


def report(
    console: Console,
    seconds: Mapping[str, list[float]],
    against: str,
    size: int | None = None,
    reached: tuple[str, Mapping[str, str]] | None = None,
    apart: Iterable[Sequence[str]] = (),
) -> None:
    """Print a table of medians, and of ratios taken round by round.

    Args:
        console: where to print.
        seconds: the seconds of each way in each round.
        against: the way that the others are compared with.
        size: bytes of X, to print how fast it is read, each byte counted once.
        reached: the head of a last column, and its entry for each way.
        apart: rows of ways that were not timed in turns.
    """
    rounds = len(seconds[against])
    table = Table("way", "median ms", "fastest ms", f"times as fast as {against}")
    if size is not None:
        table.add_column("GB/s of X")
    if reached is not None:
        table.add_column(reached[0])
    for name in seconds:
        row = [
            name,
            f"{1e3 * median(seconds, name):.1f}",
            f"{1e3 * min(seconds[name]):.1f}",
            f"{ratio(seconds, against, name):.2f}",
        ]
        if size is not None:
            row.append(f"{size / median(seconds, name) / 1e9:.1f}")
        if reached is not None:
            row.append(reached[1][name])
        table.add_row(*row)
    for other in apart:
        # The speed of reading X, if it is shown, stands before the last column.
        table.add_row(*other[:4], *([""] if size is not None else []), *other[4:])
    console.print(table)
    console.print(
        f"{rounds} rounds, interleaved; {os.cpu_count()} cores, {platform.machine()}, "
        f"JAX {jax.__version__} on {jax.default_backend()}"
    )


def times(seconds: Mapping[str, list[float]], against: str) -> list[dict[str, Any]]:
    """Return the record of ways that were timed in turns, for `save`."""
    return [
        {
            "way": name,
            "median_s": median(seconds, name),
            "fastest_s": min(seconds[name]),
            "ratio": ratio(seconds, against, name),
        }
        for name in seconds
    ]


def save(console: Console, name: str, record: Mapping[str, Any]) -> None:
    """Write the record of a benchmark, with the machine, as a JSON file."""
    whole = {"benchmark": name, "machine": machine(), **record}
    path = RESULTS / f"{name}-{jax.default_backend()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".writing-{path.name}")
    temporary.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
    console.print(f"written to {path}", soft_wrap=True)
