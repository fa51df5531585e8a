"""Runs that die, or find the disk full, at any moment: each in a fork of this process.

`python -m tests.experiments.victim TEST FOLDER` makes one of the tests below. What runs
is the whole command line with a program that computes next to nothing. A fresh
interpreter would take a second to import what a run needs; a fork takes milliseconds.
"""

import errno
import itertools
import os
import resource
import signal
import sys
import types
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

if __name__ == "__main__":
    # A fork copies the tables of all that its parent holds. JAX, with which nothing is
    # computed here, would make it ten times as slow.
    for name, held in {
        "jax": {"config": types.SimpleNamespace(jax_enable_compilation_cache=False)},
        "jlogreg": {"Progress": None},
        "jlogreg.base": {},
        "jlogreg.base.checks": {"AnyArray": None},
        "jlogreg.data": {},
        "jlogreg.data.devices": {},
        "jlogreg.data.devices.mesh": {"gather_bytes": None},
        "experiments.datasets": {},
        "experiments.datasets.files": {
            "Files": type("Files", (), {}),
            "fingerprint": None,
        },
    }.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(held)

from experiments import __main__ as cli
from experiments import programs, runner
from experiments.config import Count, Section

DEAD = 99  # the code of a process that ended itself
STEPS = 2
# Eight files that are written whole, two lines, and the lock, each opened, and so on.
MOMENTS = 8 * 3 + 2 + 3


def print_as_a_library():
    """Do nothing: it would show in the output of tests."""


def print_to_stream():
    with suppress(OSError):
        os.write(1, b"what a library prints")


class Config(Section):
    program: Literal["light"]
    steps: Count


def load(config):
    """Return nothing: there are no data."""


def work(config, data, run):
    """Take steps that differ by a bit where one is left out, doubled or begun anew."""
    w, costs = np.full((3, 1), 0.1), np.zeros((1, 0))
    saved = run.read_arrays("params.npz")
    if saved is not None:
        w, costs = saved["w"], saved["costs"]
    steps = enumerate(costs[0].tolist())
    run.begin_metrics({"step": step, "cost": cost} for step, cost in steps)
    with run.progress("computing", config.steps, costs.shape[1]) as advance:
        while (done := costs.shape[1]) < config.steps:
            w = 3.7 * w * (1.25 - w) / 1.25
            run.log(step=done, cost=float(w[0, 0]))
            costs = np.concatenate([costs, w[:1]], axis=1)
            run.write_arrays("params.npz", w=w, costs=costs)
            print_as_a_library()
            advance(1)
    with run.open_whole("figure.png") as file:
        for _ in range(2):
            file.write(w.tobytes() * 20)
    return [{"quantity": "w", "value": float(value)} for value in w[:, 0]]


# What a run does to its files: Python's audit events, which come right before.
EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "fcntl.flock")


def act_before(at, act, runs):
    """Let `act` be called before a run does something, counted from 1, to its files."""
    moments = itertools.count(1)

    def hook(event, arguments):
        own = event == "fcntl.flock" or str(runs) in str(arguments[:1])
        if event in EVENTS and own and next(moments) == at:
            act()

    sys.addaudithook(hook)


def die_before(at, runs):
    act_before(at, lambda: os._exit(DEAD), runs)


def find_the_disk_full(at, runs):
    def full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    act_before(at, full, runs)


def limit_files(at, runs, stride=29):
    """Let a write fail that makes a file longer than so many times `stride` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (at * stride, at * stride))


def die_within_a_write(at, runs, stride=29):
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which Python ignores
    limit_files(at, runs, stride)


die_at_a_byte = partial(die_within_a_write, stride=1)


class Ended(NamedTuple):
    """The code of a process, and the errors that it has printed."""

    code: int
    errors: str


def run(runs, disturb=lambda runs: None, out=os.devnull):
    """Run the command line in a process of its own, which something disturbs."""
    config, errors = runs.parent / "light.toml", os.pipe()
    config.write_text(f'program = "light"\nsteps = {STEPS}\n')
    pid = os.fork()
    if not pid:
        os.dup2(os.open(out, os.O_WRONLY), 1)
        os.dup2(errors[1], 2)
        code = 70
        try:
            disturb(runs)
            code = cli.main(["run", str(config), "--runs", str(runs)])
            sys.stdout.flush()
        except BaseException as error:  # what the interpreter would print
            print("Traceback", repr(error), file=sys.stderr, flush=True)
        os._exit(code)
    os.close(errors[1])
    with os.fdopen(errors[0]) as file:
        text = file.read()
    _, status = os.waitpid(pid, 0)
    return Ended(os.waitstatus_to_exitcode(status), text)


def contents(runs):
    """Return the bytes of each file of the only run, by name."""
    files = (path for path in runs.glob("*/*") if path.name != ".lock")
    return {path.name: path.read_bytes() for path in files}


def assert_arrives(runs, expected):
    assert run(runs) == (0, "")
    assert contents(runs) == contents(expected)


def is_disturbed_once(disturb, code, folder, expected):
    """Disturb runs later and later; each ends as it must, and arrives in the end."""
    for at in itertools.count(1):
        runs = folder / f"{at}"
        ended = run(runs, partial(disturb, at))
        if ended.code == 0:
            break
        assert ended.code == code
        if code == 2:
            (line,) = ended.errors.splitlines()
            assert line.startswith(f"error: {runs}")
            assert line.endswith(("No space left on device", "File too large"))
        else:
            assert not ended.errors
        assert_arrives(runs, expected)
    assert contents(runs) == contents(expected)
    assert at > MOMENTS


def dies_again_and_again(folder, expected):
    """Each attempt gets a few moments further than the one before."""
    for stride in (1, 3, 5):
        runs = folder / f"{stride}"
        for at in itertools.count(1, stride):
            ended = run(runs, partial(die_before, at))
            if ended.code == 0:
                break
            assert ended == (DEAD, "")
        assert at > stride
        assert contents(runs) == contents(expected)


def cannot_print(folder, expected):
    """That is no fault of the run's folder; the work goes on where there is room."""
    for _ in range(2):
        line = f"error: standard output: {os.strerror(errno.ENOSPC)}\n"
        assert run(folder / "runs", out="/dev/full") == (2, line)
    assert_arrives(folder / "runs", expected)


def close_streams(runs):
    os.closerange(0, 3)
    sys.stdout = sys.stderr = None


def has_no_streams(folder, expected):
    """What is printed is lost, and gets into no file that takes a stream's number."""
    for _ in range(2):
        assert run(folder / "runs", close_streams) == (0, "")
    assert contents(folder / "runs") == contents(expected)


KILLED = -signal.SIGXFSZ
TESTS = {
    "dies_at_any_moment": partial(is_disturbed_once, die_before, DEAD),
    "dies_within_a_write": partial(is_disturbed_once, die_within_a_write, KILLED),
    "dies_at_any_byte": partial(is_disturbed_once, die_at_a_byte, KILLED),
    "finds_the_disk_full": partial(is_disturbed_once, find_the_disk_full, 2),
    "writes_a_file_too_large": partial(is_disturbed_once, limit_files, 2),
    "dies_again_and_again": dies_again_and_again,
    "cannot_print": cannot_print,
    "has_no_streams": has_no_streams,
}


def main(name, folder):
    global print_as_a_library
    print_as_a_library = print_to_stream
    programs.PROGRAMS = {"light": sys.modules[__name__]}
    runner.environment = lambda: {"python": "light"}
    runner.code_digest = lambda: "light"
    # What the system has taken outlives the process: only a power cut would show
    # whether it was synced, and a disk takes milliseconds to.
    os.fsync = lambda descriptor: None
    cli.main(["run", "none.toml"])  # imports what there is to import
    assert run(folder / "expected") == (0, "")
    assert contents(folder / "expected").keys() == {
        *("config.toml", "environment.json", "metrics.jsonl", "params.npz"),
        *("figure.png", "results.csv", "finished.json"),
    }
    TESTS[name](folder, folder / "expected")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
