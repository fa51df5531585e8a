"""The text of a CSV file: its encoding, and its cells."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from jlogreg.tables.reading.dialect import (
    Beginning,
    Row,
    find_decimal,
    find_delimiter,
    rows_of,
    shown,
)
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
# The letters that hold the first rows.
FIRST_LETTERS = 2**18
# The reader takes a block of at most so many bytes.
LARGEST = 2**31 - 1
# A first line of Excel that names the delimiter.
SEPARATOR = re.compile(rb"\A\"?sep=([,;\t|])\"?\r?\n")


@dataclass(frozen=True)
class CsvText:
    """The bytes of a CSV file in UTF-8, how it is written, and what was decided.

    above: how many lines of the file are before these bytes; padded: the columns whose
    first rows hold a number such as 007.
    """

    source: str
    content: bytes
    delimiter: str
    decimal: str
    missing: frozenset[str]
    notes: tuple[str, ...]
    above: int
    padded: frozenset[str]

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
            table = self._parse(note)
        except pa.ArrowException as error:
            what = " ".join(str(error).split())
            raise TableError(self.source, [Fault(f"is no CSV file: {what}")]) from error
        if ragged:
            raise TableError(self.source, self._ragged_faults(ragged))
        self._refuse_open_quotes(table)
        return table

    def as_words(self, name: str) -> pa.Table:
        """Return one column as it is written."""
        return self._parse(None, (name,))

    def placed(self, faults: Iterable[Fault], rows: int) -> list[Fault]:
        """Return faults with the line of their row, where that is known.

        Args:
            faults: of the table, which has so many rows.
            rows: how many; if the text is read otherwise here, no line is sure.
        """
        faults = [*faults]
        if any(fault.row is not None for fault in faults):
            _, *lines = (row.line for row in self._rows())
            if len(lines) == rows:
                faults = [
                    fault._replace(line=lines[fault.row - 1]) if fault.row else fault
                    for fault in faults
                ]
        return faults

    def _rows(self) -> Iterator[Row]:
        return rows_of(self.content.decode(), self.delimiter, self.above)

    def _parse(self, note: Any, as_words: Sequence[str] = ()) -> pa.Table:
        # One block: the type of a column is that of its first block.
        size = min(len(self.content) + 1, LARGEST)
        return pa.csv.read_csv(
            pa.BufferReader(self.content),
            pa.csv.ReadOptions(block_size=size),
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
                    fault = Fault(what, name, row, "close it")
                    raise TableError(self.source, self.placed([fault], len(column)))

    def _ragged_faults(self, ragged: Sequence[Any], most: int = 10) -> list[Fault]:
        """Return a fault for each of the first rows with too few or too many cells."""
        width = ragged[0].expected_columns
        sizes = ((line, len(cells)) for line, cells in self._rows())
        wrong: list[tuple[int | None, int]]
        wrong = [(line, size) for line, size in sizes if size != width]
        # No line is known if the text is read otherwise here.
        wrong = wrong or [(None, row.actual_columns) for row in ragged]
        faults = [
            Fault(
                f"has {size} cells, but there are {width} columns",
                line=line,
                cure="add or remove cells, and quote those that hold the delimiter",
            )
            for line, size in wrong[:most]
        ]
        if len(wrong) > most:
            faults.append(Fault(f"and {len(wrong) - most} more rows of another length"))
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
            f"cells are separated by {shown(delimiter)}, as its first line says"
        )
    above = 1 if named else 0
    first = content[:FIRST_LETTERS].decode(errors="ignore")
    given = Beginning(source, first, len(content) <= FIRST_LETTERS, above)
    if delimiter is None:
        delimiter = find_delimiter(given)
        notes.append(
            f"cells are separated by {shown(delimiter)}, found from the first rows"
        )
    if decimal is None:
        decimal = find_decimal(given, delimiter)
        if decimal == ",":
            notes.append("numbers have a decimal comma, found from the first rows")
    return CsvText(
        *(source, content, delimiter, decimal, missing, tuple(notes)),
        above,
        given.padded(delimiter),
    )


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
