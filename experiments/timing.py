"""Time several ways to do the same work in one run, interleaved, as ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Ways = Mapping[str, Callable[[], object]]


def interleaved(ways: Ways, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way in each round: A B C, A B C, after a warm-up.

    A way waits for its own result (jax.block_until_ready). Machines are noisy, so
    compare the ways round by round with `ratio`.
    """
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: Mapping[str, list[float]], slow: str, fast: str) -> float:
    """Return the median over the rounds of how many times as fast `fast` is."""
    pairs = zip(seconds[slow], seconds[fast], strict=True)
    return statistics.median(other / own for other, own in pairs)


def median(seconds: Mapping[str, list[float]], name: str) -> float:
    """Return the median of one way's seconds."""
    return statistics.median(seconds[name])
