"""The text of a CSV file: its encoding, delimiter and decimal mark, and its cells."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from jlogreg.tables.reading.faults import Fault, TableError

__all__ = ["FALSE", "MISSING", "TRUE", "CsvText", "read_csv_text"]

# Words that stand for a missing cell, beside an empty one.
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "?", ".")
TRUE, FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
DELIMITERS = (",", ";", "\t", "|")
SHOWN = {"\t": "a tab"}
# The rows that tell the delimiter and the decimal mark, and the letters that hold them.
FIRST_ROWS, FIRST_LETTERS = 200, 2**18
# The reader takes a block of at most so many bytes.
LARGEST = 2**31 - 1
DECIMAL = {
    ",": re.compile(r"\s*[-+]?\d+,\d+\s*"),
    ".": re.compile(r"\s*[-+]?\d+\.\d+\s*"),
}
# A first line of Excel that names the delimiter.
SEPARATOR = re.compile(rb"\A\"?sep=([,;\t|])\"?\r?\n")


@dataclass(frozen=True)
class CsvText:
    """The bytes of a CSV file in UTF-8, how it is written, and what was decided."""

    source: str
    content: bytes
    delimiter: str
    decimal: str
    missing: frozenset[str]
    notes: tuple[str, ...]

    def table(self) -> pa.Table:
        """Return the cells, each column with the type that all its cells have.

        Raises:
            TableError: if rows have too few or too many cells.
        """
        ragged: list[Any] = []

        def note(row: Any) -> str:
            ragged.append(row)
            return "skip"

        try:
            table = self._parse(True, note)
            if ragged:  # once more, by one thread, which counts the rows
                ragged.clear()
                table = self._parse(False, note)
        except pa.ArrowException as error:
            what = " ".join(str(error).split())
            raise TableError(self.source, [Fault(f"is no CSV file: {what}")]) from error
        if ragged:
            raise TableError(self.source, _ragged_faults(ragged))
        self._refuse_open_quotes(table)
        return table

    def as_words(self, name: str) -> pa.Table:
        """Return one column as it is written."""
        return self._parse(True, None, (name,))

    def _parse(
        self, threads: bool, note: Any, as_words: Sequence[str] = ()
    ) -> pa.Table:
        # One block: the type of a column is that of its first block.
        return pa.csv.read_csv(
            pa.BufferReader(self.content),
            pa.csv.ReadOptions(
                block_size=min(len(self.content) + 1, LARGEST), use_threads=threads
            ),
            pa.csv.ParseOptions(
                delimiter=self.delimiter,
                newlines_in_values=True,
                invalid_row_handler=note,
            ),
            pa.csv.ConvertOptions(
                column_types=dict.fromkeys(as_words, pa.string()),
                include_columns=list(as_words),
                decimal_point=self.decimal,
                null_values=sorted(self.missing),
                true_values=TRUE,
                false_values=FALSE,
                strings_can_be_null=True,
            ),
        )

    def _refuse_open_quotes(self, table: pa.Table) -> None:
        """Raise an error if a quote that is not closed has swallowed lines."""
        if self.content.count(b'"') % 2 == 0:
            return
        for name, column in zip(table.column_names, table.columns, strict=True):
            if not pa.types.is_string(column.type):
                continue
            for row, cell in enumerate(column.to_pylist(), start=1):
                if cell is not None and "\n" in cell:
                    what = "a quote is opened and not closed"
                    raise TableError(self.source, [Fault(what, name, row, "close it")])


def _ragged_faults(ragged: Sequence[Any], most: int = 10) -> list[Fault]:
    """Return a fault for each of the first rows with too few or too many cells."""
    faults = [
        Fault(
            f"has {row.actual_columns} cells, but there are {row.expected_columns} "
            "columns",
            row=row.number - 1,
            cure="add or remove cells, and quote those that hold the delimiter",
        )
        for row in ragged[:most]
    ]
    if len(ragged) > most:
        faults.append(Fault(f"and {len(ragged) - most} more rows of another length"))
    return faults


def read_csv_text(
    path: Path,
    missing: frozenset[str],
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
) -> CsvText:
    """Return the text of a CSV file, with what is not given found from its beginning.

    Raises:
        TableError: if it is no file, is empty, or leaves a question open.
    """
    source, notes = str(path), list[str]()
    content = _as_utf8(source, _contents(path), encoding, notes)
    if not content.endswith((b"\n", b"\r")):
        content += b"\n"
    named = SEPARATOR.match(content)
    if named:
        content = content[named.end() :]
        delimiter = delimiter or named[1].decode()
        notes.append(
            f"cells are separated by {_shown(delimiter)}, as its first line says"
        )
    first = content[:FIRST_LETTERS].decode(errors="ignore")
    complete = len(content) <= FIRST_LETTERS
    if delimiter is None:
        delimiter = _find_delimiter(source, first, complete)
        notes.append(
            f"cells are separated by {_shown(delimiter)}, found from the first rows"
        )
    if decimal is None:
        decimal = _find_decimal(source, _rows_of(first, delimiter, complete), delimiter)
        if decimal == ",":
            notes.append("numbers have a decimal comma, found from the first rows")
    given = delimiter, decimal
    return CsvText(source, content, *given, missing, tuple(notes))


def _contents(path: Path) -> bytes:
    try:
        content = path.read_bytes() if path.is_file() or not path.exists() else None
    except (OSError, ValueError) as error:  # a ValueError: a zero byte in the name
        what = getattr(error, "strerror", None) or str(error)
        raise TableError(str(path), [Fault(what)]) from error
    if content is None:
        raise TableError(str(path), [Fault("is not a file")])
    faults = []
    if not content.strip():
        faults.append(Fault("is empty"))
    elif len(content) >= LARGEST:
        faults.append(Fault("is larger than 2 GiB", cure="save it as Parquet"))
    elif content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        faults.append(Fault("is a spreadsheet or an archive", cure="save it as CSV"))
    elif content.startswith(b"PAR1"):
        faults.append(Fault("is a Parquet file", cure="let its name end in .parquet"))
    if faults:
        raise TableError(str(path), faults)
    return content


def _as_utf8(
    source: str, content: bytes, encoding: str | None, notes: list[str]
) -> bytes:
    """Return a text in UTF-8, without a byte order mark."""
    mark = next((mark for mark in MARKS if content.startswith(mark)), None)
    if encoding is None and mark is not None:
        encoding, content = MARKS[mark], content.removeprefix(mark)
        if encoding == "utf-8":
            notes.append("its byte order mark is left out")
    found = encoding is None
    if b"\0" in content[:FIRST_LETTERS] and encoding is None:
        raise TableError(source, [Fault("holds zero bytes: it is no text")])
    if encoding is None:
        try:
            return content if content.isascii() else content.decode().encode()
        except UnicodeDecodeError:
            encoding = "windows-1252"
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except (UnicodeDecodeError, LookupError) as error:
        what = f"is not written in {'UTF-8 or ' * found}{encoding}: {error}"
        cure = 'name its encoding, such as encoding="latin-1"'
        raise TableError(source, [Fault(what, cure=cure)]) from error
    if found or encoding.startswith("utf-16"):
        notes.append(
            f"its letters are read as {encoding}" + ", since they are not UTF-8" * found
        )
    return text.encode()


def _shown(delimiter: str) -> str:
    return SHOWN.get(delimiter, repr(delimiter))


def _rows_of(first: str, delimiter: str, complete: bool) -> list[list[str]]:
    """Return the first rows; the last of a text that was cut is left out."""
    reader = csv.reader(io.StringIO(first, newline=""), delimiter=delimiter)
    rows = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > FIRST_ROWS:
                break
    except csv.Error:  # a cell that is too long, for one
        pass
    return rows if complete or len(rows) > FIRST_ROWS else rows[:-1]


def _find_delimiter(source: str, first: str, complete: bool) -> str:
    """Return the delimiter that cuts most rows into as many cells as the first.

    Raises:
        TableError: if two do so equally well.
    """
    shares = {}
    for delimiter in DELIMITERS:
        rows = _rows_of(first, delimiter, complete)
        widths = Counter(map(len, rows))
        width = len(rows[0]) if rows else 1
        if width > 1:
            shares[delimiter] = widths[width] / len(rows)
    if not shares:
        lone = first.splitlines()[0][:60] if first.strip() else ""
        what = (
            f"has one column, {lone!r}, or a delimiter that is none of , ; | or a tab"
        )
        raise TableError(source, [Fault(what, cure='name it, such as delimiter=":"')])
    best = [each for each in shares if shares[each] == max(shares.values())]
    if len(best) > 1:
        marks = " or ".join(map(_shown, best))
        what = f"its cells may be separated by {marks}"
        raise TableError(
            source, [Fault(what, cure=f"say delimiter={best[0]!r}, or so")]
        )
    return best[0]


def _find_decimal(source: str, rows: Sequence[Sequence[str]], delimiter: str) -> str:
    """Return the decimal mark of the numbers in the rows.

    Raises:
        TableError: if numbers with both are there.
    """
    first: dict[str, tuple[int, int]] = {}
    for place, cells in enumerate(rows[1:], start=1):
        for column, cell in enumerate(cells):
            for mark, pattern in DECIMAL.items():
                if mark not in first and pattern.fullmatch(cell):
                    first[mark] = place, column
    if len(first) == 2 and delimiter != ",":
        row, column = first[","]
        cell, name = rows[row][column], dict(enumerate(rows[0])).get(column)
        what = f"holds {cell!r}, but row {first['.'][0]} a number with a decimal point"
        cure = 'write all numbers alike, or say decimal="," or decimal="."'
        raise TableError(source, [Fault(what, name, row, cure)])
    return "," if "," in first and "." not in first and delimiter != "," else "."
