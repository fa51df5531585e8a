"""Start runs that die: a server that forks one for each line that it is told.

A fresh interpreter would take a second to import what a run needs; a fork takes
milliseconds. What runs is the whole command line with a program that computes next to
nothing. A line is a JSON object of the arguments of `victim`; the answer is one too.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import signal
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

if __name__ == "__main__":
    # A fork copies the tables of all that its parent holds. JAX, with which nothing is
    # computed here, would make it ten times as slow.
    for name, held in {
        "jax": {},
        "jlogreg": {"Progress": None},
        "jlogreg.base": {},
        "jlogreg.base.checks": {"AnyArray": None},
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


class Config(Section):
    """Say how long to compute."""

    program: Literal["light"]
    steps: Count
    seed: int = 0


def load(config: Config) -> None:
    """Return nothing: there are no data."""


def work(config: Config, data: None, run: runner.Run) -> Sequence[runner.Row]:
    """Take steps that differ by a bit where one is left out, doubled or begun anew."""
    w, costs = np.full((3, 1), 0.1 + config.seed), np.zeros((1, 0))
    saved = run.read_arrays("params.npz")
    if saved is not None:
        w, costs = saved["w"], saved["costs"]
        run.console.print(f"Resuming after step {costs.shape[1]}.")
    run.keep_metrics(before=costs.shape[1])
    with run.progress("computing", config.steps, costs.shape[1]) as advance:
        while (done := costs.shape[1]) < config.steps:
            w = 3.7 * w * (1.25 - w) / 1.25
            run.log(step=done, cost=float(w[0, 0]))
            costs = np.concatenate([costs, w[:1]], axis=1)
            run.write_arrays("params.npz", w=w, costs=costs)
            advance(1)
    with run.open_whole("figure.png") as file:
        for _ in range(2):
            file.write(w.tobytes() * 20)
    return [{"quantity": "w", "value": float(value)} for value in w[:, 0]]


class Moments:
    """Count the moments before, within and after what a run does to its files."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        """Let `act` be called at this moment, counted from 1."""
        self.at, self.act, self.count = at, act, 0

    def pass_one(self) -> None:
        self.count += 1
        if self.count == self.at:
            self.act()

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.pass_one()
            result = function(*arguments, **options)
            self.pass_one()
            return result

        return call

    def watch(self) -> None:
        """Put this between the runner and the system."""
        plain_open = Path.open

        def open_torn(path: Path, mode: str = "r", **options: Any) -> Any:
            if "r" in mode:
                return plain_open(path, mode, **options)
            return Torn(self.around(plain_open)(path, mode, **options), self)

        Path.open = open_torn  # type: ignore[assignment, method-assign]
        for place, name in (
            (Path, "mkdir"), (Path, "replace"), (Path, "unlink"),
            (os, "fsync"), (os, "open"), (runner.fcntl, "flock"),
        ):  # fmt: skip
            setattr(place, name, self.around(getattr(place, name)))


class Torn:
    """Pass everything on to a file, but write in two halves."""

    def __init__(self, file: Any, moments: Moments) -> None:
        self.file, self.moments = file, moments

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> Torn:
        return self

    def __exit__(self, *_: object) -> None:
        self.moments.around(self.file.close)()

    def write(self, content: Any) -> None:
        half = len(content) // 2
        for part in (content[:half], content[half:]):
            self.moments.pass_one()
            self.file.write(part)
            self.file.flush()


def disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def die() -> None:
    os._exit(DEAD)


def child(
    arguments: Sequence[str], die_at: int, full_at: int, most_bytes: int | None,
    by_signal: bool,
) -> int:  # fmt: skip
    """Run the command line, failing as told; return its code."""
    Moments(die_at or full_at, die if die_at else disk_full).watch()
    if most_bytes is not None:
        # Python ignores the signal of a file that grew too large; a write then fails.
        if by_signal:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    try:
        return cli.main(arguments)
    finally:
        sys.stdout.flush()


def victim(
    arguments: Sequence[str],
    die_at: int = 0,
    full_at: int = 0,
    most_bytes: int | None = None,
    by_signal: bool = False,
    kill_after: float | None = None,
    out_to: str | None = None,
) -> dict[str, Any]:
    """Run the command line in a process of its own; return how it ended.

    It ends itself at a moment, finds the disk full at a moment, may write files of so
    many bytes, is killed after so many seconds, or prints to another file.
    """
    out, err, ended = os.pipe(), os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(os.open(out_to, os.O_WRONLY) if out_to else out[1], 1)
        os.dup2(err[1], 2)
        code = 70
        try:
            code = child(arguments, die_at, full_at, most_bytes, by_signal)
        except BaseException as error:  # what the interpreter would print
            print("Traceback", repr(error), file=sys.stderr, flush=True)
        os._exit(code)
    for pipe in (out, err, ended):
        os.close(pipe[1])
    if kill_after is not None:
        select.select([ended[0]], [], [], kill_after)
        os.kill(pid, signal.SIGKILL)
    texts = []
    for read, _ in (out, err):
        with os.fdopen(read, encoding="utf-8") as file:
            texts.append(file.read())
    os.close(ended[0])
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "out": texts[0], "err": texts[1]}


def main() -> None:
    programs.PROGRAMS = {"light": sys.modules[__name__]}
    runner.environment = lambda: {"python": "light"}
    runner.code_digest = lambda: "light"
    # What the system has taken outlives the process: only a power cut would show
    # whether it was synced, and a disk takes milliseconds to.
    os.fsync = lambda descriptor: None
    cli.main(["run", "none.toml"])  # imports what there is to import
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(victim(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
