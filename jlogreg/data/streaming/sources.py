"""Sources: arrays on disk from which blocks of samples are read.

A source has shape (n, m), a dtype, and read(start, stop), which returns the samples
start to stop - 1 as an array (n, stop - start). Whatever has these is a source. If it
has the path of a file, that must not change, and part says what of it is read; if it
has a piece, it reads so many samples where one is asked for.
"""

from __future__ import annotations

import mmap
import os
import weakref
from typing import Any, Protocol, cast

import numpy as np

from jlogreg.base.errors import DtypeError, RankError, ShapeError

__all__ = ["RawFile", "SlicedArray", "Source", "open_source"]

# Bytes of rows that are turned into columns at a time: they stay in the cache.
TURNED_BYTES = 2**18
# Bytes by which the file of a memory map is known.
FIRST_BYTES = 4096


class Source(Protocol):
    """What features are read from."""

    @property
    def shape(self) -> tuple[int, int]:
        """The sizes (n, m)."""

    @property
    def dtype(self) -> Any:
        """The dtype of what `read` returns."""

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the samples start to stop - 1, (n, stop - start)."""


class SlicedArray:
    """Any array that can be sliced: of HDF5, of zarr, a memory map.

    Shapes: array (n, m), or (m, n) with a row per sample.
    """

    def __init__(self, array: Any, row_per_sample: bool) -> None:
        """Take the array as it is; nothing is read."""
        self._array, self._turned = array, row_per_sample
        rows, columns = array.shape
        self.shape = (columns, rows) if row_per_sample else (rows, columns)
        self.dtype = np.dtype(array.dtype)
        chunks = getattr(array, "chunks", None) or (1, 1)  # of HDF5 and zarr
        self.piece = int(chunks[0 if row_per_sample else 1])
        # A memory map tells its file, and a dataset of HDF5 that of its own.
        owner = getattr(array, "file", None) or _memory_map(array)
        self.path: str | None = getattr(owner, "filename", None)
        self.part = f"{getattr(array, 'name', '')} {row_per_sample}"

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the samples start to stop - 1, (n, stop - start)."""
        if self._turned:
            return np.asarray(self._array[start:stop]).T
        return np.asarray(self._array[:, start:stop])


class RawFile:
    """The numbers of a memory map, read from its file.

    A page of a memory map that is no longer in the file would end the process; a read
    returns fewer bytes, which is an error that can be reported.
    """

    def __init__(self, array: np.memmap, row_per_sample: bool) -> None:
        """Open the file anew; nothing else is kept of the map."""
        self.path: str = os.fspath(array.filename)  # type: ignore[arg-type]
        self.part = f"{array.offset} {row_per_sample}"
        rows, columns = array.shape
        self.shape = (columns, rows) if row_per_sample else (rows, columns)
        self.dtype = array.dtype
        # Whether the numbers of a sample, or those of a feature, are side by side.
        self._by_sample = bool(array.flags.c_contiguous) == row_per_sample
        self._offset = int(array.offset)
        self._file = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._check_mapped(array)

    def _check_mapped(self, array: np.memmap) -> None:
        """Raise an OSError if the file is another one, of the same name."""
        numbers = array.ravel(order="K")[: FIRST_BYTES // array.dtype.itemsize]
        # Where the file is cut, the first read says so.
        whole = os.fstat(self._file).st_size >= self._offset + array.nbytes
        found = os.pread(self._file, numbers.nbytes, self._offset) if whole else b""
        if whole and found != numbers.tobytes():
            raise OSError(
                f"{self.path} is not the file that is mapped: one has taken its name, "
                "so open it again"
            )

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the samples start to stop - 1, (n, stop - start)."""
        n, m = self.shape
        block = np.empty((n, stop - start), self.dtype)
        if not self._by_sample:
            for row in range(n):
                self._fill(block[row], row * m + start)
            return block
        step = max(TURNED_BYTES // max(n * self.dtype.itemsize, 1), 1)
        rows = np.empty((min(step, stop - start), n), self.dtype)
        for first in range(start, stop, step):
            some = rows[: stop - first]
            self._fill(some.reshape(-1), first * n)
            block[:, first - start : first - start + len(some)] = some.T
        return block

    def _fill(self, numbers: np.ndarray, first: int) -> None:
        """Read numbers from the place of the first one in the file."""
        place = self._offset + first * self.dtype.itemsize
        room = memoryview(cast(Any, numbers.view(np.uint8)))
        while room:
            count = os.preadv(self._file, [room], place)
            if not count:
                raise EOFError(f"the file ends at byte {place}")
            room, place = room[count:], place + count


def _memory_map(array: Any) -> Any:
    """Return the memory map of which an array is a part, or None."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return array
        array = array.base
    return None


def open_source(given: Any, row_per_sample: bool) -> Source:
    """Return what is read from: a source as it is, or that of an array.

    Raises:
        DtypeError: if it is neither, or not of numbers.
        RankError, ShapeError: if it does not have two sizes, or no samples.
    """
    missing = [name for name in ("shape", "dtype") if not hasattr(given, name)]
    reads = hasattr(given, "read")
    if missing or not (reads or hasattr(given, "__getitem__")):
        raise DtypeError(
            "source must be an array that can be sliced, or have shape, dtype and "
            f"read(start, stop), but is a {type(given).__name__}"
        )
    if hasattr(given, "tocoo") or hasattr(given, "nse"):
        raise DtypeError(
            f"source is a sparse {type(given).__name__}, which is in memory: pass it, "
            "as a BCOO, for X itself"
        )
    if isinstance(given, np.ma.MaskedArray):
        raise DtypeError(
            "source is masked: write source.filled(number), with a weight of 0 where "
            "it is masked"
        )
    if len(given.shape) != 2:
        raise RankError(
            f"source has shape {tuple(given.shape)}, but must have two sizes, (n, m)"
        )
    if np.dtype(given.dtype).kind not in "biuf":
        raise DtypeError(f"source has dtype {given.dtype}, but must be of numbers")
    source: Source = given
    if not reads:
        # A part of a memory map does not tell its place in the file.
        # One that is copied on write may have other numbers than its file.
        whole = isinstance(given, np.memmap) and isinstance(given.base, mmap.mmap)
        is_file = whole and given.filename and given.mode != "c"
        kind = RawFile if is_file else SlicedArray
        source = kind(given, row_per_sample)
    if source.shape[1] == 0:
        raise ShapeError(f"source has shape {source.shape}: it holds no samples")
    return source
