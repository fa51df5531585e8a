"""Print what a benchmark measured: the machine, the times and the ratios."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from experiments.timing import median, ratio

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("jlogreg", "jax", "jaxlib", "numpy", "scipy", "scikit-learn", "nemos")


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
        reached: the head of a last column, and what each way has there.
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
        table.add_row(*other)
    console.print(table)
    console.print(
        f"{rounds} rounds, interleaved; {os.cpu_count()} cores, {platform.machine()}, "
        f"JAX {jax.__version__} on {jax.default_backend()}"
    )


def save(console: Console, name: str, record: Mapping[str, Any]) -> None:
    """Write what a benchmark measured, and on what machine, as a small JSON file."""
    whole = {"benchmark": name, "machine": machine(), **record}
    path = RESULTS / f"{name}-{jax.default_backend()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".writing-{path.name}")
    temporary.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
    console.print(f"written to {path}", soft_wrap=True)


def machine() -> dict[str, Any]:
    """Return what the times depend on: processor, cores, memory, device, versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_GiB": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "device": jax.devices()[0].device_kind,
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    cpus = Path("/proc/cpuinfo")
    for line in cpus.read_text().splitlines() if cpus.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "not known"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
