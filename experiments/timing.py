"""Time several ways to do the same work in one run, interleaved, as ratios."""

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

    A way waits for its own result (jax.block_until_ready). The threads of a BLAS
    go on spinning for a while after its last product and would slow down whichever way
    comes next; so before each timed call there is a pause until they sleep, and an
    untimed call of the same way that wakes its own. Machines are noisy, so compare the
    ways round by round with `ratio`.

    Args:
        ways: what to call, by name.
        rounds: how often each way takes its turn.
        once: the ways that take seconds, where waking is nothing: they have had their
            untimed call before, and are called once a round.
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
    """Return the median over the rounds of how many times as fast `fast` is."""
    pairs = zip(seconds[slow], seconds[fast], strict=True)
    return statistics.median(other / own for other, own in pairs)


def median(seconds: Mapping[str, list[float]], name: str) -> float:
    """Return the median of one way's seconds."""
    return statistics.median(seconds[name])
