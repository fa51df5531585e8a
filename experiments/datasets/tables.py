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

# The reader takes a block of at most so many bytes.
MOST = 2**31 - 1


def read_table(path: Path) -> pa.Table:
    """Return the columns of a CSV or Parquet file, as `jlogreg.tables` reads it.

    Raises:
        UserError: with all that is wrong, if it cannot be read as a table.
    """
    try:
        return tables.read(path).columns
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
    path: Path, table: pa.Table, label: str, leave_out: Iterable[str]
) -> tuple[Numbers, NDArray[Any], tuple[str, ...]]:
    """Return features (m, n), labels (m,) and the names of the features.

    Raises:
        UserError: if a column is not there, there twice or without a name, holds
            anything but numbers, or has a cell that is missing or infinite.
    """
    names = table.column_names
    for name in (label, *leave_out):
        if name not in names:
            raise UserError(f"{path}: has no column {name!r}, only {names}")
    table = table.drop_columns(sorted(set(leave_out) - {label}))
    for name, count in Counter(table.column_names).items():
        if count > 1:
            raise UserError(f"{path}: has more than one column {name!r}")
    if "" in table.column_names:
        raise UserError(
            f"{path}: has a column without a name, which may be the number of a row: "
            "name it, or leave it out by --data.leave_out '[\"\"]'"
        )
    features = tuple(name for name in table.column_names if name != label)
    if not features:
        raise UserError(f"{path}: has no column other than {label!r}")
    _refuse_missing(path, label, table[label])
    columns = [_numbers(path, name, table[name]) for name in features]
    return np.stack(columns, axis=1), table[label].to_numpy(), features


def _numbers(path: Path, name: str, column: pa.ChunkedArray) -> Numbers:
    """Return a column of numbers, or of True and False as 1 and 0."""
    if column.null_count:
        _refuse_missing(path, name, column)
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    if not any(is_kind(column.type) for is_kind in kinds):
        raise UserError(
            f"{path}: the column {name!r} holds {column.type}, not numbers: leave it "
            f"out by --data.leave_out '[\"{name}\"]'"
        )
    values = column.to_numpy().astype(np.float64)
    fits = np.abs(values) <= LARGEST
    if not fits.all():
        _refuse_missing(path, name, column)
        wrong = np.flatnonzero(~fits)
        raise UserError(
            f"{path}: the column {name!r} must hold finite numbers that fit float32, "
            f"but holds {wrong.size} others, the first in row {wrong[0] + 1}"
        )
    return values


def _refuse_missing(path: Path, name: str, column: pa.ChunkedArray) -> None:
    missing = np.flatnonzero(pc.is_null(column, nan_is_null=True).to_numpy())
    if missing.size:
        raise UserError(
            f"{path}: the column {name!r} has {missing.size} missing values, the first "
            f"in row {missing[0] + 1}"
        )
