"""What a compiled program sends between devices, and how long a pass then takes."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import numpy as np

OPERATIONS = (
    *("all-reduce", "all-gather", "reduce-scatter", "all-to-all"),
    *("collective-permute", "collective-broadcast"),
)
# Name of an operation of XLA's text, after the shapes of its result.
LINE = re.compile(rf"= (.+?) ({'|'.join(OPERATIONS)})(?:-start)?\(")
BYTES = {"pred": 1, "f16": 2, "bf16": 2, "f32": 4, "f64": 8}


class Collective(NamedTuple):
    """An operation between devices: its name, its result's shapes, and their bytes."""

    operation: str
    shapes: str
    size: int


def collectives(compiled: Any) -> list[Collective]:
    """Return the collectives in the text of a compiled program, each once.

    One within a loop is sent once a step.
    """
    found = []
    for line in compiled.as_text().splitlines():
        if hit := LINE.search(line):
            shapes = re.findall(r"(\w+)\[([\d,]*)\]", hit[1])
            size = sum(_bytes(kind) * _entries(sizes) for kind, sizes in shapes)
            words = " ".join(f"{kind}[{sizes}]" for kind, sizes in shapes)
            found.append(Collective(hit[2], words, size))
    return found


def _bytes(kind: str) -> int:
    """Return the bytes of a number; integers have them in their names, as s32."""
    return BYTES.get(kind) or int(kind.lstrip("su")) // 8


def _entries(sizes: str) -> int:
    return math.prod(int(size) for size in sizes.split(",") if size)


class Machine(NamedTuple):
    """What the time of a pass depends on, in seconds and bytes.

    second_an_entry is that of a process for an entry of X; spread the standard
    deviation of its time, as a part of it; latency and bandwidth those of a message.
    """

    second_an_entry: float
    spread: float
    latency: float
    bandwidth: float

    def summing(self, entries: float, processes: int) -> float:
        """Return the seconds until the slowest process has summed its samples.

        The largest of N normal numbers is about sqrt(2 log N) deviations above them.
        """
        alone = self.second_an_entry * entries / processes
        return alone * (1 + self.spread * math.sqrt(2 * math.log(processes)))

    def reducing(self, size: float, processes: int, ring: bool = False) -> float:
        """Return the seconds of an all-reduce of so many bytes, by a tree or a ring."""
        steps = processes - 1 if ring else math.ceil(math.log2(processes))
        sent = 2 * size * (processes - 1) / processes / self.bandwidth
        return 2 * steps * self.latency + sent

    def efficiency(
        self, entries: float, size: float, processes: int, ring: bool = False
    ) -> float:
        """Return the time of one process over N times that of N processes."""
        together = self.summing(entries, processes)
        together += self.reducing(size, processes, ring)
        return self.second_an_entry * entries / processes / together


def fitted(record: Any) -> Machine:
    """Return the machine of the record of the benchmark `passes`.

    Of one process the time of an entry and its spread; of the largest number of
    processes the all-reduces of two sizes, which are a latency and a bandwidth.
    """
    work, rows = record["work"], record["ways"]
    alone, most = rows[0], max(rows, key=lambda row: row["processes"])
    entries = work["features"] * work["samples"]
    steps = 2 * math.ceil(math.log2(most["processes"]))
    small, large = most["reduce_s"]
    sizes = np.array(most["reduce_bytes"], float)
    share = 2 * (most["processes"] - 1) / most["processes"]
    a_byte = max((large - small) / (sizes[1] - sizes[0]) / share, 1e-12)
    return Machine(
        second_an_entry=alone["local_s"] / entries,
        spread=alone["deviation_s"] / alone["local_s"],
        latency=float(max(small - share * sizes[0] * a_byte, 0.0)) / steps,
        bandwidth=float(1 / a_byte),
    )
