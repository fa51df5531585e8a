"""Let several ways go for the same goal: who reaches it, and how fast."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from rich.console import Console

from experiments.benchmarks.harness.report import report, save
from experiments.timing import interleaved, median, ratio

# Seconds. A call of a peer that takes as long needs no waking before; one that takes
# so much longer has no turns: its one call stands.
LONG, TOO_LONG = 2.0, 60.0
# Ours is tried with these too: a looser one is kept where it reaches the goal.
LOOSE = (0.1, 0.03, 0.01, 0.003, 0.001)


class Work(Protocol):
    """Say what a NamedTuple of sizes holds beside them."""

    @property
    def goal(self) -> float:
        """How small what is checked must be."""

    @property
    def rounds(self) -> int:
        """How often each way takes its turn."""

    def _asdict(self) -> dict[str, Any]: ...


class Way(NamedTuple):
    """Hold a way to do the work, and a check that says how good its answer is."""

    name: str
    run: Callable[[], Any]
    check: Callable[[Any], float]  # of what run returns; small is good
    ours: bool = False


class Tried(NamedTuple):
    """Hold a way that has run once.

    part is how much of the work it has done, as in "8 of 256", or empty: all of it.
    seconds are those of all the work, extrapolated where only a part was done.
    """

    way: Way
    seconds: float
    reached: float
    tol: float | None = None
    part: str = ""


def attempt(way: Way, tol: float | None = None) -> Tried:
    """Run a way once, and check its answer."""
    start = time.perf_counter()
    answer = way.run()
    seconds = time.perf_counter() - start
    return Tried(way, seconds, way.check(answer), tol)


def loosest(
    make: Callable[[float], Way],
    goal: float,
    tolerances: Sequence[float],
    patience: float = math.inf,
) -> Tried:
    """Return the way with the loosest tolerance that reaches the goal, or the last one.

    Args:
        make: returns the way with a tolerance.
        goal: what is checked must be at most this.
        tolerances: from loose to tight.
        patience: seconds after which no other tolerance is tried.
    """
    spent = 0.0
    for tol in tolerances:
        tried = attempt(make(tol), tol)
        spent += tried.seconds
        if tried.reached <= goal or spent > patience:
            break
    return tried


def rank(goal: float, each: Tried) -> tuple[bool, float]:
    """Return what sorts the fastest first, and those last that miss the goal."""
    return each.reached > goal, each.seconds


def scaled(each: Tried, rows: int, count: int) -> Tried:
    """Return what all rows would take, from some of them."""
    seconds = each.seconds * count / rows
    return each._replace(seconds=seconds, part=f"{rows} of {count}")


def ours(
    run: Callable[[float | None], Any], check: Callable[[Any], float], goal: float
) -> list[Tried]:
    """Return jlogreg as it comes, and with a looser tolerance where that is enough."""

    def make(tol: float | None) -> Way:
        name = "jlogreg" if tol is None else f"jlogreg, tol {tol:g}"
        return Way(name, partial(run, tol), check, ours=True)

    loose = loosest(make, goal, LOOSE)
    return [attempt(make(None)), *([loose] if loose.reached <= goal else [])]


def compare(
    console: Console,
    name: str,
    work: Work,
    measure: str,
    tried: Sequence[Tried],
    notes: Sequence[str] = (),
) -> None:
    """Time the ways that reach the goal in turns, print a table and write it as JSON.

    Args:
        console: where to print.
        name: of the benchmark.
        work: sizes, goal and rounds.
        measure: what is checked, as in "largest gradient".
        tried: the ways. One that has done a part of the work, or does not reach the
            goal, has a row but no turn.
        notes: lines to print and to write.
    """
    for note in notes:
        console.print(note)
    tried = [_judged(each) for each in tried]
    able = [each for each in tried if each.reached <= work.goal]
    turns = {each.way.name: each for each in able if not each.part}
    peers = [key for key, each in turns.items() if not each.way.ours]
    own = [key for key in turns if key not in peers]
    if not own:
        console.print("jlogreg does not reach the goal")
        return
    seconds = interleaved(
        {key: each.way.run for key, each in turns.items()},
        work.rounds,
        once=[key for key in peers if turns[key].seconds > LONG],
    )
    fastest = partial(median, seconds)
    mine, against = min(own, key=fastest), min(peers or own, key=fastest)
    rows = [_row(each, seconds, mine, against, work.goal) for each in tried]
    reached = {key: f"{each.reached:.1e}" for key, each in turns.items()}
    apart = [_cells(row) for row in rows if row["way"] not in seconds]
    report(console, seconds, against, reached=(measure, reached), apart=apart)
    times = ratio(seconds, against, mine)
    console.print(f"{mine}: {times:.2f} times as fast as {against}")
    record = {
        "work": work._asdict(),
        "measure": measure,
        "against": against,
        "ratio": times,
        "ways": rows,
        "notes": list(notes),
    }
    save(console, name, record)


def _judged(each: Tried) -> Tried:
    if each.part or each.way.ours or each.seconds <= TOO_LONG:
        return each
    return each._replace(part="one call")


def _row(
    each: Tried, seconds: dict[str, list[float]], mine: str, against: str, goal: float
) -> Any:
    """Return what is known of a way; ratios are taken round by round where they can."""
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
        "part": each.part or None,  # how much of the work it has done, if not all
        "median_s": took if able else None,
        "fastest_s": fastest,
        "reached": each.reached if math.isfinite(each.reached) else None,
        "ratio": times if able else None,  # times as fast as the best peer
        "jlogreg_ratio": behind if able else None,  # jlogreg's fastest, over this one
    }


def _cells(row: Any) -> list[str]:
    """Return the row of a way that had no turn."""
    name = f"{row['way']} ({row['part']})" if row["part"] else row["way"]
    reached = "-" if row["reached"] is None else f"{row['reached']:.1e}"
    if row["median_s"] is None:
        return [name, "", "", "", f"{reached}, given up"]
    return [name, f"~{1e3 * row['median_s']:.1f}", "", f"~{row['ratio']:.2f}", reached]
