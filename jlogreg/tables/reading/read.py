"""Read a table as it is: CSV, Parquet, and the data frames of pandas and polars."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jlogreg.tables.reading.csv_text import FALSE, MISSING, TRUE, CsvText, read_csv_text
from jlogreg.tables.reading.faults import Fault, TableError

__all__ = ["Table", "is_words", "read"]

ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?")


class Table:
    """A table as it was read: columns by name, where they are from, what was decided.

    Attributes: source, the name of the file or of the kind of frame; columns, an Arrow
    table; notes, a line for each thing that was decided while reading.

    Examples:
        >>> import pandas
        >>> from jlogreg import tables
        >>> table = tables.read(pandas.DataFrame({"age": [31.0, 54.0], "case": [0, 1]}))
        >>> table.names, len(table)
        (('age', 'case'), 2)
    """

    def __init__(
        self,
        source: str,
        columns: pa.Table,
        notes: Iterable[str] = (),
        missing: frozenset[str] = frozenset(MISSING),
        text: CsvText | None = None,
    ) -> None:
        """Keep what was read."""
        self.source, self.columns, self.notes = source, columns, tuple(notes)
        self.missing, self.text = missing, text
        self._coded: dict[tuple[str, bool], tuple[np.ndarray, list[Any]]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.columns.column_names)

    @property
    def decimal(self) -> str:
        """The decimal mark of numbers in words."""
        return "." if self.text is None else self.text.decimal

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.columns.num_rows)

    def __repr__(self) -> str:
        """Return the sizes and what was decided."""
        size = f"{self.source}: {len(self)} rows, {len(self.names)} columns"
        return "\n".join([size, *(f"- {note}" for note in self.notes)])

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column as it was read: of numbers, words, dates or booleans.

        Words are without blanks around them, and null where they are missing.
        """
        column = _plain(self.columns[name])
        if not is_words(column.type):
            return column
        column = pc.utf8_trim_whitespace(column)
        gone = pc.is_in(column, value_set=pa.array(sorted(self.missing), column.type))
        column = pc.if_else(gone, pa.scalar(None, column.type), column)
        return column if self.text is None else _typed(column)

    def with_missing(self, words: Iterable[str]) -> Table:
        """Return the table, in which these words stand for a missing cell, too."""
        missing = self.missing | set(words)
        if missing == self.missing:
            return self
        return Table(self.source, self.columns, self.notes, missing, self.text)

    def words(self, name: str) -> pa.ChunkedArray:
        """Return a column as words, those of a CSV file as they are written there."""
        column = self.column(name)
        if is_words(column.type):
            return column
        if self.text is not None:
            return Table("", self.text.as_words(name), (), self.missing).column(name)
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None), column)
        return column.cast(pa.string())

    def error(self, faults: Iterable[Fault]) -> TableError:
        """Return the error of faults of this table, with lines where it has lines."""
        if self.text is not None:
            faults = self.text.placed(faults, len(self))
        return TableError(self.source, faults)

    def coded(self, name: str, as_words: bool) -> tuple[np.ndarray, list[Any]]:
        """Return the distinct cells of a column, or words, and the place of each row's.

        Shapes: places (M,), -1 where the cell is missing. They are found once.
        """
        if (name, as_words) not in self._coded:
            column = self.words(name) if as_words else self.column(name)
            coded = column.combine_chunks().dictionary_encode()
            if isinstance(coded, pa.ChunkedArray):
                coded = coded.combine_chunks()
            places = np.asarray(pc.fill_null(coded.indices, -1).to_numpy())
            self._coded[name, as_words] = places, coded.dictionary.to_pylist()
        return self._coded[name, as_words]


def is_words(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds words."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _typed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return words of a CSV file as booleans or dates, where all of them are.

    The reader has done so unless there are blanks, or missing cells of another kind.
    """
    valid = pc.index(pc.is_valid(column), True).as_py()
    first = column[valid].as_py() if valid >= 0 else ""
    if first.lower() in ("true", "false"):
        is_true, is_false = (
            pc.is_in(column, value_set=pa.array(w)) for w in (TRUE, FALSE)
        )
        if pc.all(pc.or_(pc.or_(is_true, is_false), pc.is_null(column))).as_py():
            return pc.if_else(pc.is_valid(column), is_true, pa.scalar(None, pa.bool_()))
    elif ISO_DATE.fullmatch(first):
        try:
            return column.cast(pa.timestamp("us"))
        except pa.ArrowInvalid:  # not all of them are
            pass
    return column


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column without a dictionary, its words of the plain type."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    text = str(column.type) in ("string_view", "large_string")
    return column.cast(pa.string()) if text else column


def read(
    source: Any,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    missing: str | Iterable[str] = (),
    present: str | Iterable[str] = (),
) -> Table:
    r"""Return the table of a file or a data frame, as it is; host only.

    What is not given is found: the encoding (UTF-8, UTF-16 by its mark, else
    Windows-1252), the delimiter (the one with the same number of cells in all rows) and
    the decimal mark of a CSV file. What was found is in the notes of the table.

    Shapes: a row for each sample, a column for each of its properties.

    Args:
        source: a path to a CSV file (any ending but .parquet) or a Parquet file; a data
            frame of pandas or polars; or a table of Arrow. The index of a frame is no
            column.
        encoding: of a CSV file, such as "latin-1".
        delimiter: of a CSV file.
        decimal: "." or ",".
        missing: words that stand for a missing cell, too: beside an empty one, NA, N/A,
            n/a, #N/A, NaN, nan, NULL, null, ? and a point.
        present: those of these words that are none, such as NA for Namibia.

    Raises:
        TableError: with all that is wrong, if the source cannot be read as a table.
        TypeError: if it is something else.

    Examples:
        >>> import pathlib, tempfile
        >>> from jlogreg import tables
        >>> path = pathlib.Path(tempfile.mkdtemp(), "patients.csv")
        >>> _ = path.write_text("age;dose;case\n31;0,5;no\n54;1,5;yes\n")
        >>> table = tables.read(path)
        >>> print(table.notes[0])
        cells are separated by ';', found from the first rows
        >>> table.columns["dose"].to_pylist()
        [0.5, 1.5]
    """
    words = ((frozenset(MISSING) | _words(missing)) - _words(present)) | {""}
    if isinstance(source, str | Path):
        path = Path(source)
        name = str(path)
        if path.suffix.lower() in (".parquet", ".pq"):
            return _checked(Table(name, _without_index(_parquet(path)), (), words))
        text = read_csv_text(path, words, encoding, delimiter, decimal)
        return _checked(Table(name, text.table(), text.notes, words, text))
    if isinstance(source, pa.Table):
        return _checked(Table("the Arrow table", source, (), words))
    module = type(source).__module__.partition(".")[0]
    if module == "polars" and hasattr(source, "to_arrow"):
        return _checked(Table("the polars frame", source.to_arrow(), (), words))
    if module == "pandas" and hasattr(source, "columns"):
        return _checked(Table("the pandas frame", _from_pandas(source), (), words))
    raise TypeError(
        "source must be a path, a data frame of pandas or polars, or an Arrow table, "
        f"but is a {type(source).__name__}"
    )


def _words(given: str | Iterable[str]) -> set[str]:
    return {
        str(word).strip() for word in ([given] if isinstance(given, str) else given)
    }


def _parquet(path: Path) -> pa.Table:
    import pyarrow.parquet

    try:
        with path.open("rb") as file:
            return pyarrow.parquet.read_table(file)
    except OSError as error:
        raise TableError(str(path), [Fault(error.strerror or str(error))]) from error
    except pa.ArrowException as error:
        what = " ".join(str(error).split())
        raise TableError(str(path), [Fault(f"cannot be read: {what}")]) from error


def _without_index(table: pa.Table) -> pa.Table:
    """Return a table without the index of a pandas frame."""
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    names = [name for name in index if isinstance(name, str)]
    return table.drop_columns([name for name in names if name in table.column_names])


def _from_pandas(frame: Any) -> pa.Table:
    """Return the columns of a pandas frame; what Arrow has no type for are words."""
    arrays, faults = [], []
    names = [str(name) for name in frame.columns]
    for place, name in enumerate(names):
        column = frame.iloc[:, place]
        try:
            arrays.append(pa.Array.from_pandas(column))
        except (pa.ArrowException, TypeError, OverflowError):
            cells = sorted({type(cell).__name__ for cell in column.dropna()})
            what = f"holds cells of other or different types: {', '.join(cells)}"
            faults.append(Fault(what, name, cure="make them all words, or all floats"))
    if faults:
        raise TableError("the pandas frame", faults)
    return pa.table([_one(array) for array in arrays], names=names)


def _one(array: Any) -> Any:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


NUMBER = re.compile(r"[-+]?(\d+[.,]?\d*|[.,]\d+)([eE][-+]?\d+)?")


def _checked(table: Table) -> Table:
    """Return the table, if it has names of columns and rows."""
    faults, names = [], table.names
    if names and all(NUMBER.fullmatch(name.strip()) for name in names):
        faults.append(
            Fault(
                f"has no names of columns: its first row is {_listed_names(names)}",
                cure="write a row of names above it",
            )
        )
    elif not names:
        faults.append(Fault("has no column"))
    elif not len(table):
        faults.append(Fault("holds no row below the names of its columns"))
    if faults:
        raise TableError(table.source, faults)
    return table


def _listed_names(names: Iterable[str], most: int = 6) -> str:
    """Return names separated by commas, the first few of many."""
    names = [*names]
    shown = ", ".join(names[:most])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > most else shown
