"""Tables of samples, a row each, as features and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from experiments.config import LARGEST
from experiments.datasets.standardize import Numbers
from experiments.errors import UserError
from jlogreg import tables
from jlogreg.tables.columns.kinds import parse

# The reader takes a block of at most so many bytes.
MOST = 2**31 - 1


def read_table(path: Path) -> tables.Table:
    """Return the table of a CSV or Parquet file, as `jlogreg.tables` reads it.

    Raises:
        UserError: with all that is wrong, if it cannot be read as a table.
    """
    try:
        return tables.read(path)
    except tables.TableError as error:
        faults = "; ".join(map(str, error.faults))
        raise UserError(f"{path}: {faults}") from error


def parse_csv(
    content: bytes,
    names: Sequence[str] | None = None,
    delimiter: str = ",",
    quote: str | bool = '"',
    types: Mapping[str, pa.DataType] | None = None,
) -> pa.Table:
    """Return the table of a text; without names, its first line has them."""
    # One block: the types of columns are those of the first, and a row that is longer
    # than a block is an error, after which the reader's threads never end.
    size = min(len(content) + 1, MOST)
    return pa.csv.read_csv(
        pa.BufferReader(content),
        # Errors name the row if there is one thread.
        pa.csv.ReadOptions(
            column_names=names, block_size=size, use_threads=names is None
        ),
        pa.csv.ParseOptions(delimiter=delimiter, quote_char=quote),
        pa.csv.ConvertOptions(column_types=types),
    )


def features_and_labels(
    path: Path, table: tables.Table, label: str, leave_out: Iterable[str]
) -> tuple[Numbers, NDArray[Any], tuple[str, ...]]:
    """Return features (m, n), labels (m,) and the names of the features.

    Raises:
        UserError: if a column is not there, there twice or without a name, holds
            anything but numbers, or has a cell that is missing or infinite.
    """
    for name in (label, *leave_out):
        if name not in table.names:
            raise UserError(f"{path}: has no column {name!r}, only {[*table.names]}")
    out = set(leave_out) - {label}
    names = [name for name in table.names if name not in out]
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"{path}: has more than one column {name!r}")
    if "" in names:
        raise UserError(
            f"{path}: has a column without a name, which may be the number of a row: "
            "name it, or leave it out by --data.leave_out '[\"\"]'"
        )
    features = tuple(name for name in names if name != label)
    if not features:
        raise UserError(f"{path}: has no column other than {label!r}")
    labels = table.columns[label]
    _refuse_missing(table, label, pc.is_null(labels, nan_is_null=True).to_numpy())
    columns = [_numbers(name, table) for name in features]
    return np.stack(columns, axis=1), labels.to_numpy(), features


def _numbers(name: str, table: tables.Table) -> Numbers:
    """Return a column of numbers, or of True and False as 1 and 0."""
    faults: list[tables.Fault] = []
    parsed = parse(name, tables.Number(), table, faults)
    if parsed is None:
        cure = f"leave it out by --data.leave_out '[\"{name}\"]'"
        raise _refused(table, faults[0]._replace(cure=cure))
    values, missing, _ = parsed
    _refuse_missing(table, name, missing)
    wrong = np.flatnonzero(np.abs(values) > LARGEST)
    if wrong.size:
        what = f"cells that do not fit float32: {wrong.size}, the first here"
        raise _refused(table, tables.Fault(what, name, int(wrong[0]) + 1))
    return values


def _refuse_missing(table: tables.Table, name: str, missing: NDArray[np.bool_]) -> None:
    rows = np.flatnonzero(missing)
    if rows.size:
        what = f"missing cells: {rows.size}, the first here"
        raise _refused(table, tables.Fault(what, name, int(rows[0]) + 1))


def _refused(table: tables.Table, fault: tables.Fault) -> UserError:
    return UserError(str(table.error([fault])))
