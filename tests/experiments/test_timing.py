"""Ways are timed in turns, and compared round by round."""

from types import SimpleNamespace

import pytest

from experiments import timing
from experiments.benchmarks.harness.report import report, times
from experiments.timing import interleaved, ratio
from tests.experiments.conftest import table_cells


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


def test_ways_take_turns_and_every_second_call_counts_but_of_slow_ones(clock):
    ways = {
        "A": clock.way("A", [100, 1, 100, 2, 100, 4]),
        "slow": clock.way("slow", [8, 16, 32]),
    }
    seconds = interleaved(ways, rounds=3, once=["slow"])
    assert seconds == {"A": [1, 2, 4], "slow": [8, 16, 32]}
    pause = f"sleep {timing.PAUSE}"
    assert clock.events == [pause, "A", "A", pause, "slow"] * 3
    assert timing.PAUSE > 0


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


SECONDS = {"NumPy": [0.4, 0.1, 0.3], "ours": [0.1, 0.1, 0.1]}


def test_a_way_that_was_not_timed_in_turns_keeps_its_columns(console):
    apart = [["slow", "~9.0", "", "~0.01", "1e-07"]]
    reached = ("error", {"NumPy": "1e-06", "ours": "1e-05"})
    report(console, SECONDS, "NumPy", 6 * 10**8, reached=reached, apart=apart)
    assert table_cells(console.file.getvalue()) == [
        ["NumPy", "300.0", "100.0", "1.00", "2.0", "1e-06"],
        ["ours", "100.0", "100.0", "3.00", "6.0", "1e-05"],
        ["slow", "~9.0", "", "~0.01", "", "1e-07"],
    ]
    assert "GB/s of X" in console.file.getvalue()


def test_times_are_recorded_in_seconds():
    assert times(SECONDS, "NumPy") == [
        {"way": "NumPy", "median_s": 0.3, "fastest_s": 0.1, "ratio": 1.0},
        {"way": "ours", "median_s": 0.1, "fastest_s": 0.1, "ratio": pytest.approx(3)},
    ]
