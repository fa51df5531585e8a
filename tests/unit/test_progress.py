"""The printers of progress: bars in a terminal, lines in a log."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import jlogreg.progress as shown


def state(done, total=4, per_second=2.0):
    return SimpleNamespace(
        finished=(np.arange(total) < done)[:, None], per_second=per_second
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_in_a_log_say_what_is_done_and_what_is_left():
    file = io.StringIO()
    bar = shown.bar("probes", file=file)
    for done in (1, 2, 4):
        bar(state(done))
    bar(state(0, per_second=0.0))  # of the next call
    first, last, other = file.getvalue().splitlines()
    assert first == "probes: 1 of 4 in 0.0 s, about 1.5 s left"
    assert last == "probes: 4 of 4 in 0.0 s"
    assert other == "probes: 0 of 4 in 0.0 s"


@pytest.mark.parametrize("without", [(), ("rich",), ("rich", "tqdm")])
def test_a_terminal_has_the_bar_of_what_is_installed(without, monkeypatch):
    for name in [*sys.modules]:
        if name.partition(".")[0] in without:
            monkeypatch.setitem(sys.modules, name, None)
    file = Terminal()
    bar = shown.bar("probes", file=file)
    for done in (1, 4):
        bar(state(done))
    text = file.getvalue()
    assert "probes" in text
    assert ("4/4" in text) is (len(without) < 2)
    assert ("4 of 4" in text) is (len(without) == 2)


def test_a_bar_ends_where_its_call_raises(monkeypatch):
    closed = []
    monkeypatch.setattr(shown._Lines, "close", lambda self: closed.append(self))

    def interrupted():
        with shown.bar(file=io.StringIO()) as bar:
            bar(state(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert closed


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.04, "0.0 s"), (9.4, "9.4 s"), (59.4, "59 s"), (59.6, "1 min 0 s")),
        *((61, "1 min 1 s"), (3600, "1 h 0 min"), (7384, "2 h 3 min")),
    ],
)
def test_durations_have_two_units(seconds, text):
    assert shown._duration(seconds) == text


def test_a_label_is_a_string():
    with pytest.raises(TypeError, match="label must be a string, but is of type int"):
        shown.bar(3)
