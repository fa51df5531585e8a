"""Compare ways to do the same work: which of them reach the goal, and how fast."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from rich.console import Console

from experiments.benchmarks.harness.report import report, save
from experiments.timing import interleaved, median, ratio

# Seconds. A peer whose calls are longer needs no untimed call before each, nor does
# jlogreg where its first call, which compiles, is much longer. A peer whose first call
# is much longer has no turns: that call is its time.
LONG, TOO_LONG = 2.0, 60.0
# The tolerances of peers, from loose to tight.
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
# jlogreg is also run with the first of these that reaches the goal.
LOOSE = (0.1, 0.03, 0.01, 0.003, 0.001)


class Work(Protocol):
    """A NamedTuple of sizes, with the goal and the number of rounds."""

    @property
    def goal(self) -> float:
        """The largest error that is accepted, as the check of each way returns it."""

    @property
    def rounds(self) -> int:
        """The number of timed calls of each way."""

    def _asdict(self) -> dict[str, Any]: ...


class Way(NamedTuple):
    """A way to do the work, with a check that returns the error of its answer.

    ours says that it is jlogreg, and bound that it is neither jlogreg nor a peer, but
    less work, so that its time is a lower bound.
    """

    name: str
    run: Callable[[], Any]
    check: Callable[[Any], float]  # of the value of run
    ours: bool = False
    bound: bool = False


class Attempt(NamedTuple):
    """A way after its first call.

    reached is the error of its answer. part is the part of the work that was done, such
    as "8 of 256", or empty for all of it; seconds are extrapolated to all of it. cpu
    are the seconds of all cores, of this process.
    """

    way: Way
    seconds: float
    reached: float
    tol: float | None = None
    part: str = ""
    cpu: float = math.nan


def attempt(way: Way, tol: float | None = None) -> Attempt:
    """Run a way once, and check its answer."""
    start, spent = time.perf_counter(), time.process_time()
    answer = way.run()
    seconds, cpu = time.perf_counter() - start, time.process_time() - spent
    return Attempt(way, seconds, way.check(answer), tol, cpu=cpu)


def loosest(
    make: Callable[[float], Way],
    goal: float,
    tolerances: Sequence[float] = TOLERANCES,
    start: float | None = None,
    patience: float = math.inf,
) -> Attempt:
    """Return the way with the loosest tolerance that reaches the goal, or the last one.

    Args:
        make: returns the way with a tolerance.
        goal: the largest error that is accepted.
        tolerances: from loose to tight.
        start: the loosest of them to try; None for all.
        patience: seconds after which no other tolerance is tried.
    """
    spent = 0.0
    for tol in (tol for tol in tolerances if start is None or tol <= start):
        tried = attempt(make(tol), tol)
        spent += tried.seconds
        if tried.reached <= goal or spent > patience:
            break
    return tried


def rank(goal: float, each: Attempt) -> tuple[bool, float]:
    """Return a key that sorts the fastest first, and last those that miss the goal."""
    return each.reached > goal, each.seconds


def scaled(each: Attempt, rows: int, count: int) -> Attempt:
    """Return an attempt on some of the rows, extrapolated to all of them."""
    seconds, cpu = (spent * count / rows for spent in (each.seconds, each.cpu))
    return each._replace(seconds=seconds, part=f"{rows} of {count}", cpu=cpu)


def ours(
    run: Callable[[float | None], Any], check: Callable[[Any], float], goal: float
) -> list[Attempt]:
    """Return jlogreg by default, and with a looser tolerance that reaches the goal."""

    def make(tol: float | None) -> Way:
        name = "jlogreg" if tol is None else f"jlogreg, tol {tol:g}"
        return Way(name, partial(run, tol), check, ours=True)

    loose = loosest(make, goal, LOOSE)
    return [attempt(make(None)), *([loose] if loose.reached <= goal else [])]


# Over 40 lines: the turns, then their table, their lines and their record.
def compare(
    console: Console,
    name: str,
    work: Work,
    measure: str,
    tried: Sequence[Attempt],
    notes: Sequence[str] = (),
    size: int | None = None,
    cpu: bool = False,
) -> None:
    """Time the ways that reach the goal in turns, print a table and write it as JSON.

    Args:
        console: where to print.
        name: of the benchmark.
        work: sizes, goal and rounds.
        measure: the error that is checked, such as "largest gradient".
        tried: the ways. One that has done a part of the work, or does not reach the
            goal, has a row but no turn.
        notes: lines to print and to write.
        size: bytes of X, to print how fast it is read.
        cpu: whether to print and write the seconds of all cores, too: of ways that do
            their work in this process.
    """
    for note in notes:
        console.print(note)
    tried = [_judged(each) for each in tried]
    able = [each for each in tried if each.reached <= work.goal]
    turns = {each.way.name: each for each in able if not each.part}
    own = [key for key, each in turns.items() if each.way.ours]
    peers = [
        key for key, each in turns.items() if not (each.way.ours or each.way.bound)
    ]
    if not own:
        console.print("jlogreg does not reach the goal")
        return
    spent: dict[str, list[float]] = {key: [] for key in turns}
    seconds = interleaved(
        {key: _clocked(each.way.run, spent[key]) for key, each in turns.items()},
        work.rounds,
        once=[key for key, each in turns.items() if each.seconds > _long(each.way)],
    )
    fastest = partial(median, seconds)
    mine, against = min(own, key=fastest), min(peers or own, key=fastest)
    rows = [_row(each, seconds, mine, against, work.goal) for each in tried]
    if cpu:
        rows = [
            _with_cpu(row, each, spent, mine)
            for row, each in zip(rows, tried, strict=True)
        ]
    reached = {key: f"{each.reached:.1e}" for key, each in turns.items()}
    apart = [_cells(row) for row in rows if row["way"] not in seconds]
    report(console, seconds, against, size, reached=(measure, reached), apart=apart)
    times = ratio(seconds, against, mine)
    console.print(f"{mine}: {times:.2f} times as fast as {against}")
    for row in rows:
        if cpu and row["median_s"] is not None:
            console.print(
                f"{row['way']}: {1e3 * row['cpu_s']:.1f} ms of all cores, "
                f"{row['cpu_ratio']:.2f} times those of {mine}"
            )
    record = {
        "work": work._asdict(),
        "measure": measure,
        "against": against,
        "ratio": times,
        "ways": rows,
        "notes": list(notes),
    }
    save(console, name, record)


def _clocked(run: Callable[[], Any], spent: list[float]) -> Callable[[], Any]:
    """Return the same function, which adds the seconds of all cores to a list."""

    def call() -> Any:
        start = time.process_time()
        answer = run()
        spent.append(time.process_time() - start)
        return answer

    return call


def _with_cpu(row: Any, each: Attempt, spent: dict[str, list[float]], mine: str) -> Any:
    """Return the record with the seconds of all cores, and those over jlogreg's."""
    own = spent.get(each.way.name)
    took = statistics.median(own) if own else each.cpu
    ratio = took / statistics.median(spent[mine])
    return row | {"cpu_s": took, "cpu_ratio": ratio}


def _long(way: Way) -> float:
    """Return the seconds from which a way needs no untimed call before each."""
    if way.bound:
        return math.inf
    return TOO_LONG if way.ours else LONG


def _judged(each: Attempt) -> Attempt:
    if each.part or each.way.ours or each.seconds <= TOO_LONG:
        return each
    return each._replace(part="one call")


def _row(
    each: Attempt,
    seconds: dict[str, list[float]],
    mine: str,
    against: str,
    goal: float,
) -> Any:
    """Return the record of a way, with ratios of the rounds if it had turns."""
    name, fastest = each.way.name, None
    if name in seconds:
        took, fastest = median(seconds, name), min(seconds[name])
        times, behind = ratio(seconds, against, name), ratio(seconds, name, mine)
    else:
        took = each.seconds
        times, behind = median(seconds, against) / took, took / median(seconds, mine)
    able = each.reached <= goal
    return {
        "way": name,
        "part": each.part or None,  # the part of the work it has done, if not all
        "median_s": took if able else None,
        "fastest_s": fastest,
        "reached": each.reached if math.isfinite(each.reached) else None,
        "ratio": times if able else None,  # times as fast as the best peer
        "jlogreg_ratio": behind if able else None,  # its time over jlogreg's fastest
    }


def _cells(row: Any) -> list[str]:
    """Return the row of a way that had no turn."""
    name = f"{row['way']} ({row['part']})" if row["part"] else row["way"]
    reached = "-" if row["reached"] is None else f"{row['reached']:.1e}"
    if row["median_s"] is None:
        return [name, "", "", "", f"{reached}, given up"]
    return [name, f"~{1e3 * row['median_s']:.1f}", "", f"~{row['ratio']:.2f}", reached]
