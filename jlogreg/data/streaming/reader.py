"""Blocks of samples from a source, the next one read while the last is summed."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from jlogreg.base.errors import ReadError
from jlogreg.base.programs import HostReader
from jlogreg.data.streaming.sources import Source

__all__ = ["Reader"]


class Reader(HostReader):
    """The blocks of a source, as compiled programs ask for them.

    One thread does all the reading, so that a source need not be made for several. It
    reads ahead: blocks are asked for at equal distances, or in an order that it is
    told, so the next one is known.
    """

    def __init__(self, source: Source, dtype: Any) -> None:
        """Begin with no block read; dtype is that of the blocks."""
        super().__init__()
        self.source, self.dtype = source, np.dtype(dtype)
        name = getattr(source, "path", None)
        self.name = type(source).__name__ if name is None else str(name)
        # A file of HDF5 may be in memory, and that of another reader on a network.
        path = None if name is None else Path(name).absolute()
        self.path = path if path and path.is_file() else None
        self.stamp = self._stamp()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jlogreg-reader")
        self._asking = threading.Lock()
        # Where the last block began, and the one that is read ahead.
        self._last = 0
        self._ahead: tuple[int, int, Future[np.ndarray]] | None = None
        # Of a block that follows another in an order that was told, where it begins.
        self._order: dict[tuple[int, int], int] = {}

    def block(self, start: Any, size: int) -> np.ndarray:
        """Return the samples from `start` on (n, size); NaN after a failure.

        Raises:
            ReadError: if they cannot be read, and no program of this package waits.
        """
        with self._asking:
            if self.failure is None:
                try:
                    return self._next(int(start), size)
                except BaseException as failure:  # an interrupt, too
                    self._ahead = None
                    if not self.n_awaited:
                        raise
                    self.failure = failure
        return np.full((self.source.shape[0], size), np.nan, self.dtype)

    def identity(self) -> str:
        """Return the file, its size and time, and what of it is read.

        By these a call is resumed; a source without a file is known by its shape.
        """
        source = self.source
        part = getattr(source, "part", "")
        return f"{self.name} {self.stamp} {source.shape} {source.dtype} {part}"

    def follow(self, starts: list[int], size: int) -> None:
        """Expect blocks of this size in this order; after the last, or of none, any."""
        pairs = itertools.pairwise(starts)
        self._order = {(start, size): following for start, following in pairs}

    def _next(self, start: int, size: int) -> np.ndarray:
        """Return a block, and begin to read the one after it."""
        ahead, self._ahead = self._ahead, None
        is_it = ahead is not None and ahead[:2] == (start, size)
        asked = ahead[2] if ahead and is_it else self._ask(start, size)
        block = asked.result()
        # A pass begins at 0, and goes on by whole blocks.
        step = start - self._last if start > self._last else size
        self._last, m = start, self.source.shape[1]
        following = start + step
        if self._order:
            following = self._order.get((start, size), m)
        if following < m:
            length = min(size, m - following)
            self._ahead = following, length, self._ask(following, length)
        return block

    def _ask(self, start: int, size: int) -> Future[np.ndarray]:
        return self._thread.submit(self._read, start, size)

    def _read(self, start: int, size: int) -> np.ndarray:
        """Return a block of the source, checked."""
        source, stop = self.source, start + size
        try:
            self._check_unchanged()
            block = np.asanyarray(source.read(start, stop))
            expected = (source.shape[0], size)
            if np.ma.is_masked(block):
                raise ValueError("the block is masked: return block.filled(number)")
            if block.dtype.kind not in "biuf":
                raise ValueError(f"the block has dtype {block.dtype}")
            # Of integers no pass looks for NaN, which would count at a weight of 0.
            if block.dtype.kind == "f" and np.dtype(source.dtype).kind != "f":
                raise ValueError(
                    f"the block has dtype {block.dtype}, but the source says "
                    f"{source.dtype}"
                )
            if block.shape != expected:
                raise ValueError(
                    f"the block has shape {block.shape}, but must have {expected}"
                )
            self._check_unchanged()
            with np.errstate(over="ignore"):
                return np.ascontiguousarray(block, self.dtype)
        except Exception as error:
            raise ReadError(
                f"{self.name}: the samples {start} to {stop - 1} cannot be read: "
                f"{error}"
            ) from error

    def _stamp(self) -> tuple[int, int] | None:
        """Return the size of the file and the time of its last change."""
        if self.path is None:
            return None
        found = self.path.stat()
        return found.st_size, found.st_mtime_ns

    def _check_unchanged(self) -> None:
        now, then = self._stamp(), self.stamp
        if now is None or then is None or now == then:
            return
        if now[0] == then[0]:
            raise OSError("the file has been written to since it was opened")
        raise OSError(
            f"the file has changed since it was opened: it had {then[0]} bytes, and "
            f"has {now[0]}"
        )
