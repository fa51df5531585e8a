"""`jlogreg predict`, `score` and `show`: what a saved model says."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path

import numpy as np

from jlogreg import tables
from jlogreg.base.formatting import nearest
from jlogreg.command.figures import reliability, roc, svg
from jlogreg.command.fitting import check_out, read
from jlogreg.command.terminal import UserError
from jlogreg.command.text import described, model_text

__all__ = ["predict", "score", "show", "write_whole"]


def predict(options: argparse.Namespace) -> None:
    """Compute the probability of each row, and write it as CSV.

    Raises:
        UserError: if an argument is wrong.
        TableError: with all that is wrong with the model or the table.
    """
    out = check_out(options.out) if options.out else None
    model = tables.load(options.model)
    table = read(options.table, options)
    for name in options.keep:
        if name not in table.names:
            hint = nearest(name, table.names)
            raise UserError(f"{options.table}: has no column {name!r} to keep{hint}")
    found = model.predict(table, options.unseen)
    a = found.probability[0]
    for name, count in found.lacking.items():
        rows = ("row lacks", "gets") if count == 1 else ("rows lack", "get")
        line = f"{count} {rows[0]} {name!r} and {rows[1]} no probability"
        print(line, file=sys.stderr)
    if options.json:
        cells = [None if np.isnan(p) else p for p in a.tolist()]
        print(json.dumps({"probability": cells, "lacking": found.lacking}))
        return
    kept = [table.words(name).to_pylist() for name in options.keep]
    columns = zip(range(1, len(a) + 1), *kept, map(_cell, a.tolist()), strict=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", *options.keep, "probability"])
    writer.writerows(columns)
    if out is None:
        print(text.getvalue(), end="")
    else:
        write_whole(out, text.getvalue().encode())
        print(f"Saved as {out}.")


def _cell(probability: float) -> str:
    return "" if np.isnan(probability) else repr(probability)


def score(options: argparse.Namespace) -> None:
    """Compute how well a model predicts a table, and print it.

    Raises:
        UserError: if an argument is wrong.
        TableError: with all that is wrong with the model or the table.
    """
    folder = Path(options.pictures) if options.pictures else None
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is no folder")
    model = tables.load(options.model)
    found = tables.score(model, read(options.table, options), options.unseen)
    written = []
    if folder is not None:
        _make(folder)
        for name, figure in (("roc", roc(found)), ("reliability", reliability(found))):
            path = folder / f"{name}.svg"
            write_whole(path, svg(figure))
            written.append(str(path))
    if options.json:
        print(json.dumps({**found.to_dict(), "pictures": written}))
        return
    print(str(found))
    if written:
        print(f"\nSaved {' and '.join(written)}.")


def _make(folder: Path) -> None:
    """Make a folder that is not there, with those above it.

    Raises:
        UserError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from error


def show(options: argparse.Namespace) -> None:
    """Print a model.

    Raises:
        TableError: if the file is no model.
    """
    model = tables.load(options.model)
    if options.json:
        print(json.dumps(described(model)))
        return
    versions = ", ".join(f"{name} {number}" for name, number in model.versions.items())
    print(f"{model_text(model)}\n\nFitted with {versions}")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole, or not at all.

    Raises:
        UserError: if it cannot be written.
    """
    temporary = path.with_name(f".writing-{path.name}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path}: {error.strerror or error}") from error
