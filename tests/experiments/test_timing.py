"""Ways are timed in turns, and compared round by round."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from experiments import timing
from experiments.benchmarks.harness.report import report, times
from experiments.timing import interleaved, median, ratio


class Clock:
    """A stand-in for `time` that advances only on request, and records the calls."""

    def __init__(self):
        self.now, self.events = 0.0, []

    def sleep(self, seconds):
        self.events.append(f"sleep {seconds}")
        self.now += seconds

    def perf_counter(self):
        return self.now

    def way(self, name, durations):
        left = iter(durations)

        def run():
            self.events.append(name)
            self.now += next(left)

        return run


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    tools = SimpleNamespace(sleep=clock.sleep, perf_counter=clock.perf_counter)
    monkeypatch.setattr(timing, "time", tools)
    return clock


def test_ways_take_turns_and_every_second_call_counts(clock):
    ways = {
        "A": clock.way("A", [100, 1, 100, 2, 100, 4]),
        "B": clock.way("B", [200, 8, 200, 16, 200, 32]),
    }
    assert interleaved(ways, rounds=3) == {"A": [1, 2, 4], "B": [8, 16, 32]}
    pause = f"sleep {timing.PAUSE}"
    assert clock.events == [pause, "A", "A", pause, "B", "B"] * 3
    assert timing.PAUSE > 0


def test_no_rounds_time_nothing(clock):
    assert interleaved({"A": clock.way("A", [])}, rounds=0) == {"A": []}
    assert clock.events == []


@pytest.mark.parametrize(
    ("slow", "fast", "expected"),
    [
        ([4.0], [2.0], 2.0),
        ([2.0], [4.0], 0.5),
        # The median of the ratios 1, 2, 10, where the ratio of the medians is 3 / 2.
        ([1.0, 4.0, 30.0], [1.0, 2.0, 3.0], 2.0),
        # The mean of the middle two of 1, 2, 4, 8.
        ([1.0, 2.0, 4.0, 8.0], [1.0, 1.0, 1.0, 1.0], 3.0),
    ],
)
def test_ratio_is_the_median_of_the_rounds(slow, fast, expected):
    assert ratio({"slow": slow, "fast": fast}, "slow", "fast") == expected


def test_ratio_needs_the_same_number_of_rounds():
    with pytest.raises(ValueError, match="shorter"):
        ratio({"slow": [1.0, 2.0], "fast": [1.0]}, "slow", "fast")


@pytest.mark.parametrize(
    ("seconds", "expected"), [([3.0, 1.0, 2.0], 2.0), ([4.0, 1.0, 2.0, 100.0], 3.0)]
)
def test_median(seconds, expected):
    assert median({"way": seconds, "other": [9.0]}, "way") == expected


def cells_of(text):
    """Return the rows of a table on the terminal as lists of text."""
    rows = [line for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=120)


def test_a_report_shows_medians_fastest_and_ratios(console):
    seconds = {"NumPy": [0.4, 0.1, 0.3], "ours": [0.1, 0.1, 0.1]}
    report(console, seconds, against="NumPy", size=6 * 10**8)
    text = console.file.getvalue()
    assert cells_of(text) == [
        ["NumPy", "300.0", "100.0", "1.00", "2.0"],
        ["ours", "100.0", "100.0", "3.00", "6.0"],
    ]
    assert "times as fast as NumPy" in text
    assert "GB/s of X" in text
    assert "3 rounds, interleaved; " in text


def test_a_way_that_was_not_timed_in_turns_keeps_its_columns(console):
    apart = [["slow", "~9.0", "", "~0.01", "1e-07"]]
    reached = ("error", {"NumPy": "1e-06"})
    report(console, {"NumPy": [0.5]}, "NumPy", 10**9, reached=reached, apart=apart)
    assert cells_of(console.file.getvalue()) == [
        ["NumPy", "500.0", "500.0", "1.00", "2.0", "1e-06"],
        ["slow", "~9.0", "", "~0.01", "", "1e-07"],
    ]


def test_times_are_recorded_in_seconds():
    seconds = {"NumPy": [4.0, 1.0, 3.0], "ours": [1.0, 1.0, 2.0]}
    assert times(seconds, "NumPy") == [
        {"way": "NumPy", "median_s": 3.0, "fastest_s": 1.0, "ratio": 1.0},
        {"way": "ours", "median_s": 1.0, "fastest_s": 1.0, "ratio": 1.5},
    ]


def test_a_report_without_a_size_shows_no_speed(console):
    report(console, {"NumPy": [1.0]}, against="NumPy")
    assert cells_of(console.file.getvalue()) == [["NumPy", "1000.0", "1000.0", "1.00"]]
    assert "GB/s" not in console.file.getvalue()
