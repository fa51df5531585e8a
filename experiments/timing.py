"""Time several ways to do the same work, interleaved in one run, and take ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Mapping

PAUSE = 0.25  # seconds
Ways = Mapping[str, Callable[[], object]]


def interleaved(
    ways: Ways, rounds: int, once: Collection[str] = ()
) -> dict[str, list[float]]:
    """Return the seconds of each way in each round: A B C, A B C.

    A way waits for its own result (jax.block_until_ready). The threads of a BLAS keep
    spinning for a while after its last product and would slow down the next way. So
    before each timed call there is a pause until they sleep, and an untimed call of the
    same way, which wakes its own threads. Machines are noisy: compare the ways round by
    round, with `ratio`.

    Args:
        ways: functions to call, by name.
        rounds: the number of timed calls of each.
        once: the ways that take seconds, so that waking does not count: they are called
            once a round, without an untimed call.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            time.sleep(PAUSE)
            if name not in once:
                way()
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: Mapping[str, list[float]], slow: str, fast: str) -> float:
    """Return how many times as fast `fast` is: the median over the rounds."""
    pairs = zip(seconds[slow], seconds[fast], strict=True)
    return statistics.median(other / own for other, own in pairs)


def median(seconds: Mapping[str, list[float]], name: str) -> float:
    """Return the median of one way's seconds."""
    return statistics.median(seconds[name])
