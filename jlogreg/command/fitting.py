"""`jlogreg fit`: from a table to a saved model."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from jlogreg import tables
from jlogreg.command.terminal import UserError
from jlogreg.command.text import described, model_text
from jlogreg.progress import bar
from jlogreg.tables.columns.kinds import Kind

__all__ = ["check_out", "fit", "read"]

# The penalties that cross-validation compares. At l1 = 0.5 no weight is left: the mean
# of (a - y) x is at most the product of their standard deviations, 1/2 and 1.
PENALTIES = {
    "l2": np.logspace(-5, 1, 13).tolist(),
    "l1": np.geomspace(1e-4, 0.5, 13).tolist(),
}


def fit(options: argparse.Namespace) -> None:
    """Compute a model of a table, and save and print it.

    Raises:
        UserError: if an argument is wrong.
        TableError: with all that is wrong with the table.
        FitError: if there is no answer.
    """
    out = check_out(options.out)
    penalties = _penalties(options)
    _check_numbers(options)
    schema = tables.Schema(
        label=options.label,
        positive=options.positive,
        negative=options.negative,
        columns=_columns(options),
        missing=options.missing.replace("-", "_"),
        formula=options.formula,
        weight=options.weight,
        weights=options.weights,
        offset=options.offset,
        clusters=options.clusters,
    )
    if not options.label and "~" not in options.formula:
        raise UserError("--label is not given, nor a formula with a label before ~")
    table = read(options.table, options)
    schema = schema.decide(table)
    hidden = options.json or not sys.stderr.isatty()
    with nullcontext() if hidden else bar() as progress:
        model = tables.fit(
            table,
            schema,
            **penalties,
            firth=options.firth,
            folds=options.folds,
            seed=options.seed,
            level=options.level,
            progress=progress,
        )
    tables.save(out, model)
    if options.json:
        print(json.dumps({"model": str(out), **described(model)}))
        return
    print(f"{model_text(model)}\n\nSaved as {out}.")


def read(path: str, options: argparse.Namespace) -> tables.Table:
    """Return the table of a file, read as the arguments say.

    Raises:
        TableError: with all that is wrong with it.
    """
    delimiter = "\t" if options.delimiter in ("tab", "\\t") else options.delimiter
    if delimiter is not None and len(delimiter) != 1:
        raise UserError(f"--delimiter must be one sign or tab, but is {delimiter!r}")
    return tables.read(
        path,
        encoding=options.encoding,
        delimiter=delimiter,
        decimal=options.decimal,
        missing=options.missing_word,
        present=options.present_word,
    )


def check_out(name: str) -> Path:
    """Return the path of a file to write, if that can be.

    Raises:
        UserError: if its folder is not there, or it is itself a folder.
    """
    path = Path(name)
    if path.is_dir():
        raise UserError(f"{path}: is a folder, but must be a file")
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} is not there")
    return path


def _check_numbers(options: argparse.Namespace) -> None:
    if options.folds < 0 or options.folds == 1:
        raise UserError(f"--folds must be 0, or at least 2, but is {options.folds}")
    if not 0 < options.level < 1:
        raise UserError(f"--level must be between 0 and 1, but is {options.level}")
    if options.seed < 0:
        raise UserError(f"--seed must be at least 0, but is {options.seed}")


def _penalties(options: argparse.Namespace) -> dict[str, float | list[float]]:
    """Return the penalties of the arguments, numbers or those to choose from."""
    text = options.penalty
    if text == "none":
        return {}
    if options.firth:
        raise UserError("--firth has no penalty beside it: leave --penalty out")
    found: dict[str, float | list[float]] = {}
    for part in ("l2=cv" if text == "cv" else text).split(","):
        name, _, number = part.strip().partition("=")
        if name not in PENALTIES or name in found:
            raise _refused(text)
        if number == "cv":
            if options.folds < 2:
                raise UserError(f"--penalty {text} needs --folds of at least 2")
            found[name] = PENALTIES[name]
            continue
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not (math.isfinite(value) and value >= 0):
            raise _refused(text)
        found[name] = value
    if all(isinstance(found.get(name), list) for name in PENALTIES):
        # The elastic net: each of every second l1 with each of every second l2.
        l1, l2 = np.meshgrid(*(PENALTIES[name][::2] for name in ("l1", "l2")))
        found = {"l1": l1.ravel().tolist(), "l2": l2.ravel().tolist()}
    return found


def _refused(text: str) -> UserError:
    return UserError(
        "--penalty must be none, cv, or l2 and l1 with a number of at least 0 or cv, "
        f"such as l1=cv or l1=0.01,l2=0.1, but is {text!r}{_meant(text)}"
    )


def _meant(text: str) -> str:
    """Return a question for the penalty that may be meant, or nothing."""
    word = text.strip().lower()
    if word.startswith("elastic"):
        return ", did you mean l1=cv,l2=cv?"
    found = re.fullmatch(
        r"(l1|l2|lasso|ridge|)[\s:=]*(cv|auto|[\d.,]+(e-?\d+)?|)", word
    )
    if found is None or word == "":
        return ""
    kind, size = found[1], found[2].replace(",", ".")
    name = "l1" if kind in ("l1", "lasso") else "l2"
    size = size if size[:1].isdigit() or size[:1] == "." else "cv"
    return f", did you mean {name}={size}?" if size.count(".") < 2 else ""


def _columns(options: argparse.Namespace) -> dict[str, Kind]:
    """Return what the arguments say of columns."""
    found: dict[str, Kind] = {}

    def add(name: str, kind: Kind) -> None:
        if name in found:
            raise UserError(f"column {name!r} is given as two kinds")
        found[name] = kind

    makers: Sequence[tuple[list[str], Callable[[str], Kind]]] = (
        (options.category, lambda base: tables.Category(base=base)),
        (options.number, lambda unit: tables.Number(unit=unit)),
        (options.date, lambda format: tables.Date(format=format)),
    )
    for given, make in makers:
        for text in given:
            name, _, more = text.partition("=")
            add(name, make(more))
    for name in options.leave_out:
        add(name, tables.LeftOut("as you say"))
    return found
