"""Keep a run in a folder of its own, so that a kill at any moment loses nothing.

Every file but one is written whole: to a temporary name, synced, renamed. The one that
grows, metrics.jsonl, is synced after every line, and a torn last line is dropped on
resume. A run that has its results.csv is finished.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec
import numpy as np
import tomli_w
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft
from rich.table import Table

from experiments.datasets.files import Files, fingerprint
from experiments.environment import code_digest, environment
from experiments.errors import UserError
from jlogreg import Progress as FitProgress
from jlogreg.base.checks import AnyArray

Row = Mapping[str, str | int | float]
RESULTS = "results.csv"
METRICS = "metrics.jsonl"
TEMPORARY = ".writing-"


class Program(Protocol):
    """A module with a Config, a loader, and the work itself."""

    Config: type[msgspec.Struct]

    def load(self, config: Any) -> Any:
        """Return the data; raise a UserError before anything is written."""

    def work(self, config: Any, data: Any, run: Run) -> Sequence[Row]:
        """Do the work, resuming it from the folder; return the table of results."""


class Run:
    """The folder of one run, and the terminal that it prints to."""

    def __init__(self, folder: Path, console: Console) -> None:
        """Open the folder, and remove files that a killed process left half written."""
        self.folder = folder
        self.console = console
        for stale in folder.glob(f"{TEMPORARY}*"):
            stale.unlink()

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file, or none."""
        with self.open_whole(name) as file:
            file.write(content)

    @contextmanager
    def open_whole(self, name: str) -> Iterator[BinaryIO]:
        """Open a file that gets its name when all of it is written, or never."""
        temporary = self.folder / f"{TEMPORARY}{name}"
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.folder / name)
        _sync_folder(self.folder)

    def write_arrays(self, name: str, **arrays: AnyArray) -> None:
        """Write arrays as an NPZ file."""
        buffer = io.BytesIO()
        plain: dict[str, Any] = {key: np.asarray(arrays[key]) for key in arrays}
        np.savez(buffer, **plain)
        self.write(name, buffer.getvalue())

    def read_arrays(self, name: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of an NPZ file, or None if there is no such file."""
        path = self.folder / name
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as file:
            return dict(file)

    def write_figure(self, name: str, figure: Figure) -> None:
        """Write a figure as a PNG file."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130)
        self.write(name, buffer.getvalue())

    def log(self, **record: Any) -> None:
        """Add one line to the metrics."""
        with (self.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def keep_metrics(self, before: int) -> None:
        """Drop the lines of steps that will be repeated, and a torn last line."""
        kept = [
            json.dumps(record)
            for record in self.metrics()
            if record.get("step", before) < before
        ]
        self.write(METRICS, "".join(line + "\n" for line in kept).encode())

    def metrics(self) -> list[dict[str, Any]]:
        """Return the complete lines of the metrics."""
        path = self.folder / METRICS
        records = []
        for line in path.read_bytes().splitlines() if path.exists() else []:
            try:
                record = json.loads(line)
            except ValueError:  # torn: no JSON, or no UTF-8
                break
            if not isinstance(record, dict):
                break
            records.append(record)
        return records

    @contextmanager
    def progress(
        self, title: str, total: int, done: int = 0
    ) -> Iterator[Callable[[int], None]]:
        """Show a bar during the work; yield a function that advances it."""
        bar = Progress(
            TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeLeft(),
            console=self.console, transient=True, disable=not self.console.is_terminal,
        )  # fmt: skip
        with bar:
            task = bar.add_task(title, total=total, completed=done)
            yield lambda count: bar.advance(task, count)

    @contextmanager
    def track(
        self,
        title: str,
        total: int,
        done: int = 0,
        save: Callable[[FitProgress], None] | None = None,
    ) -> Iterator[Callable[[FitProgress], None]]:
        """Show a bar during fits; yield the function that they report progress to.

        Args:
            title: what stands before the bar.
            total: the number of fits.
            done: how many of them are finished already.
            save: called whenever more of them are.
        """
        with self.progress(title, total, done) as advance:

            def report(progress: FitProgress) -> None:
                nonlocal done
                new = int(progress.finished.sum()) - done
                if not new:
                    return
                if save is not None:
                    save(progress)
                done += new
                advance(new)

            yield report


def execute(
    program: Program, config: msgspec.Struct, name: str, runs: Path, console: Console
) -> Path:
    """Run the program, resume it, or show its results; return its folder.

    Raises:
        UserError: if the data cannot be loaded, the folder cannot be written, or
            another process works on the same run.
    """
    data = program.load(config)
    folder = runs / f"{name}-{_identity(config)}"
    with _locked(folder):
        run = Run(folder, console)
        if (folder / RESULTS).exists():
            console.print(
                f"Finished before; delete {folder} to run it again.", soft_wrap=True
            )
            rows: Sequence[Row] = read_results(folder)
        else:
            settings = msgspec.to_builtins(config)
            run.write("config.toml", tomli_w.dumps(settings).encode())
            run.write("environment.json", json.dumps(environment(), indent=2).encode())
            rows = program.work(config, data, run)
            run.write(RESULTS, _as_csv(rows))
    console.print(as_table(rows, title=name))
    console.print(f"Results, parameters and figures are in {folder}", soft_wrap=True)
    return folder


def read_results(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a finished run's table."""
    with (folder / RESULTS).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def as_table(rows: Sequence[Row], title: str = "") -> Table:
    """Return rows with the same keys as a table for the terminal."""
    table = Table(title=title)
    for key, value in rows[0].items():
        table.add_column(key, justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    return table


def _identity(config: msgspec.Struct) -> str:
    """Return a digest of settings, data and code, which tells runs apart."""
    settings = json.dumps(msgspec.to_builtins(config), sort_keys=True)
    source = getattr(config, "data", None)  # some programs generate their data
    files = fingerprint(source) if isinstance(source, Files) else ""
    text = "\n".join([settings, files, code_digest()])
    return hashlib.sha256(text.encode()).hexdigest()[:10]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make the folder, lock it for this process, and name it in errors of writing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The system releases this lock when the process ends, however it ends.
        with (folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError:
        raise UserError(f"{folder}: another process is at this run") from None
    except OSError as error:  # a full disk, for one
        raise UserError(f"{folder}: {error.strerror or error}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _as_csv(rows: Sequence[Row]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _shown(value: str | int | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
