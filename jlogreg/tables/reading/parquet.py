"""Columns of a Parquet file as features that are read block by block."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from jlogreg.base.errors import DtypeError

__all__ = ["ParquetColumns"]


class ParquetColumns:
    """Columns of a Parquet file, read by rows: a source of `jlogreg.Streamed`.

    Shapes: of the columns (n, m), a feature per column and a sample per row. A row
    group is read as a whole and kept until another one is needed, so that row groups
    should not be larger than the blocks of `Streamed`. A missing cell is NaN, so where
    integers may be missing all are read as floating-point numbers.

    Args:
        path: the file.
        columns: the names of the features, in their order; by default all columns.

    Raises:
        DtypeError: if a column is not of numbers.
        KeyError: if there is no such column.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> import pyarrow as pa
        >>> from pyarrow import parquet
        >>> from jlogreg import Streamed
        >>> from jlogreg.tables import ParquetColumns
        >>> columns = {"age": [40, 50, 60], "dose": [1.0, 0.5, 2.0]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     parquet.write_table(pa.table(columns), f"{folder}/X.parquet")
        ...     source = ParquetColumns(f"{folder}/X.parquet")
        ...     source.read(1, 3).tolist()
        [[50.0, 60.0], [0.5, 2.0]]
    """

    def __init__(self, path: Any, columns: Sequence[str] | None = None) -> None:
        """Open the file; of the data nothing is read."""
        self.path: str = os.fspath(path)
        self._file = parquet.ParquetFile(self.path)
        schema = self._file.schema_arrow
        self.columns = list(schema.names if columns is None else columns)
        kinds = [self._kind(schema, name) for name in self.columns]
        self.dtype = np.result_type(*kinds) if kinds else np.dtype(np.float32)
        if any(map(self._may_be_missing, self.columns)):
            self.dtype = np.result_type(self.dtype, np.float32)
        groups = range(self._file.num_row_groups)
        sizes = [self._file.metadata.row_group(group).num_rows for group in groups]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.shape = len(self.columns), int(self._starts[-1])
        self.piece = max(sizes, default=1)
        self.part = repr(self.columns)
        self._kept: tuple[int, np.ndarray] | None = None

    def _kind(self, schema: Any, name: str) -> np.dtype:
        if name not in schema.names:
            raise KeyError(f"{self.path} has no column {name!r}, but {schema.names}")
        try:
            kind = np.dtype(schema.field(name).type.to_pandas_dtype())
        except NotImplementedError:
            kind = np.dtype(object)
        if kind.kind not in "biuf":
            raise DtypeError(
                f"the column {name!r} of {self.path} has type "
                f"{schema.field(name).type}, but must be a number: name the columns "
                "of the features"
            )
        return kind

    def _may_be_missing(self, name: str) -> bool:
        """Return whether the file does not say that a column has no missing cell."""
        metadata = self._file.metadata
        places = [self._file.schema.column(i).path for i in range(metadata.num_columns)]
        for group in range(metadata.num_row_groups):
            found = metadata.row_group(group).column(places.index(name)).statistics
            if found is None or not found.has_null_count or found.null_count:
                return True
        return False

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the samples start to stop - 1, (n, stop - start)."""
        block = np.empty((self.shape[0], stop - start), self.dtype)
        group = int(np.searchsorted(self._starts, start, side="right")) - 1
        place = start
        while place < stop:
            first, last = self._starts[group], min(self._starts[group + 1], stop)
            part = self._group(group)[:, place - first : last - first]
            block[:, place - start : last - start] = part
            place, group = last, group + 1
        return block

    def _group(self, group: int) -> np.ndarray:
        """Return the features (n, rows) of a row group."""
        if self._kept is None or self._kept[0] != group:
            self._kept = None  # before the next one takes memory
            table = self._file.read_row_group(group, columns=self.columns)
            features = np.empty((self.shape[0], table.num_rows), self.dtype)
            for row, name in zip(features, self.columns, strict=True):
                column = table.column(name)
                if column.null_count:
                    column = column.cast(pa.float64(), safe=False)
                row[:] = column.to_numpy()
            self._kept = group, features
        return self._kept[1]
