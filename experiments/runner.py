"""Run a program in a folder of its own, resume it, or show its results."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import tomli_w
from rich.console import Console
from rich.table import Table

from experiments.datasets.files import Files, fingerprint
from experiments.environment import code_digest, environment
from experiments.processes.group import ALONE, Group
from experiments.storage.run import Run, locked

Row = Mapping[str, str | int | float]
RESULTS = "results.csv"


class Program(Protocol):
    """A module with a Config, a loader, and the work itself."""

    Config: type[msgspec.Struct]

    def load(self, config: Any) -> Any:
        """Return the data; raise a UserError before anything is written."""

    def work(self, config: Any, data: Any, run: Run) -> Sequence[Row]:
        """Do the work, resuming it from the folder; return the table of results."""


def execute(
    program: Program,
    config: msgspec.Struct,
    name: str,
    runs: Path,
    console: Console,
    group: Group = ALONE,
) -> None:
    """Run the program, resume it, or show its results.

    All processes of a group call this. The first keeps the folder; the others have one
    like it for the time being, and print nothing.

    Raises:
        UserError: if the data cannot be loaded, the folder cannot be written, a file
            in it is damaged, another process works on the same run, or the processes
            of the group differ in data, settings or code.
    """
    data = program.load(config)
    name_of_run = f"{name}-{_identity(config)}"
    group.check_same(name_of_run)
    with group.place(runs) as place, locked(place / name_of_run):
        folder = place / name_of_run
        run = Run(folder, console, group)
        if group.share_state(folder, run.is_finished()):
            if group.number:
                return
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
            run.finish()
    # As they are written, so that a run and a look at it print the same digits.
    rows = [{key: _typed(str(cell)) for key, cell in row.items()} for row in rows]
    console.print(as_table(rows, title=name))
    console.print(f"Results, parameters and figures are in {folder}", soft_wrap=True)


def read_results(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a finished run's table."""
    with (folder / RESULTS).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def as_table(rows: Sequence[Row], title: str = "") -> Table:
    """Return rows with the same keys as a table for the terminal."""
    table = Table(title=title)
    for key, value in rows[0].items():
        text = isinstance(value, str)
        # Where a terminal is narrow, names are folded, not cut.
        table.add_column(key, justify="left" if text else "right", overflow="fold")
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


def _as_csv(rows: Sequence[Row]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _typed(text: str) -> str | int | float:
    """Return the number that a cell was written from, or the text."""
    for kind in (int, float):
        try:
            if str(kind(text)) == text:
                return kind(text)
        except ValueError:
            continue
    return text


def _shown(value: str | int | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
