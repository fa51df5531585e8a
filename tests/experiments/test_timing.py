"""Times are compared round by round, in turns; the benchmarks print them."""

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from experiments import timing
from experiments.benchmarks import descent, one_pass
from experiments.benchmarks.harness.report import report
from experiments.timing import interleaved, median, ratio


class Clock:
    """Stand in for `time`: it stands still but when told, and notes what happens."""

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
    ("slow", "fast", "due"),
    [
        ([4.0], [2.0], 2.0),
        ([2.0], [4.0], 0.5),
        # The median of the ratios 1, 2, 10, where the ratio of the medians is 3 / 2.
        ([1.0, 4.0, 30.0], [1.0, 2.0, 3.0], 2.0),
        # The mean of the middle two of 1, 2, 4, 8.
        ([1.0, 2.0, 4.0, 8.0], [1.0, 1.0, 1.0, 1.0], 3.0),
    ],
)
def test_ratio_is_the_median_of_the_rounds(slow, fast, due):
    assert ratio({"slow": slow, "fast": fast}, "slow", "fast") == due


def test_ratio_needs_as_many_rounds_of_both():
    with pytest.raises(ValueError, match="shorter"):
        ratio({"slow": [1.0, 2.0], "fast": [1.0]}, "slow", "fast")


@pytest.mark.parametrize(
    ("seconds", "due"), [([3.0, 1.0, 2.0], 2.0), ([4.0, 1.0, 2.0, 100.0], 3.0)]
)
def test_median(seconds, due):
    assert median({"way": seconds, "other": [9.0]}, "way") == due


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


def test_a_report_without_a_size_shows_no_speed(console):
    report(console, {"NumPy": [1.0]}, against="NumPy")
    assert cells_of(console.file.getvalue()) == [["NumPy", "1000.0", "1000.0", "1.00"]]
    assert "GB/s" not in console.file.getvalue()


@pytest.mark.usefixtures("no_pause")
def test_the_descent_is_measured_against_numpy(console, monkeypatch):
    for name, value in [
        ("FEATURES", 24), ("SAMPLES", 10), ("STEPS", 30), ("ROUNDS", 3)
    ]:  # fmt: skip
        monkeypatch.setattr(descent, name, value)
    descent.main(console)
    text = console.file.getvalue()
    assert "30 steps of gradient descent, 24 x 10, float32" in text
    costs = re.search(
        r"J from 0\.693147 to (\S+) \(NumPy\), to (\S+) \(jlogreg\); w differs by at "
        r"most (\S+), w is at most (\S+)",
        text,
    )
    theirs, ours, difference, largest = map(float, costs.groups())
    assert 0 < theirs < 0.693
    assert ours == pytest.approx(theirs, abs=2e-6)
    assert difference <= 1e-5 * largest
    assert [row[0] for row in cells_of(text)] == [
        "NumPy", "jlogreg, on X itself", "jlogreg"
    ]  # fmt: skip
    assert cells_of(text)[0][3] == "1.00"
    assert "3 rounds, interleaved; " in text


@pytest.mark.usefixtures("no_pause")
def test_one_pass_is_measured_against_numpy(console, monkeypatch):
    for name, value in [("FEATURES", 5), ("SAMPLES", 200), ("ROUNDS", 3)]:
        monkeypatch.setattr(one_pass, name, value)
    one_pass.main(console)
    text = console.file.getvalue()
    assert "one cost and gradient, 5 x 200, float32" in text
    numbers = re.search(
        r"J (\S+) \(NumPy\), (\S+) \(jlogreg\); dw differs by at most (\S+), dw is at "
        r"most (\S+)",
        text,
    )
    theirs, ours, difference, largest = map(float, numbers.groups())
    assert ours == pytest.approx(theirs, abs=2e-6)
    assert difference <= 1e-5 * largest
    names = [row[0] for row in cells_of(text)]
    assert names == ["NumPy", "jlogreg", "plain sum of X"]
    assert "GB/s of X" in text
