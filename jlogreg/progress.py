"""The progress of a long call, printed while it runs.

`fit_many(X, Y, progress=jlogreg.progress.bar())` shows how many fits are done, and
about how long the others take: as a bar of rich or tqdm in a terminal, if one of them
is installed, and otherwise as lines, which a log can hold.
"""

from __future__ import annotations

import sys
import time
import weakref
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np

__all__ = ["Bar", "bar"]

# Seconds between two lines in a log.
LINE_SECONDS = 10.0


class _Printer(Protocol):
    """Protocol of what shows how much of a total is done."""

    def show(self, done: int, per_second: float) -> None:
        """Show the state of the call."""

    def close(self) -> None:
        """End the bar; a second time does nothing."""


class Bar:
    """A printer of the progress of one call after another; call it with a Progress.

    It ends by itself when all fits of a call are done. Used as a context it also ends
    where the call raises an error.

    Examples:
        >>> import sys
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit_many, progress
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> Y = jnp.concatenate([y, 1 - y])
        >>> with progress.bar(file=sys.stdout) as shown:
        ...     found = fit_many(X, Y, progress=shown)
        fits: 0 of 2 ...
        fits: 2 of 2 ...
    """

    def __init__(self, label: str, file: IO[str]) -> None:
        """Begin with nothing shown."""
        self._label, self._file = label, file
        self._printer: _Printer | None = None

    def __call__(self, progress: Any) -> None:
        """Show a Progress."""
        total, done = progress.finished.size, int(np.sum(progress.finished))
        if self._printer is None:
            self._printer = _printer(self._label, total, self._file)
            weakref.finalize(self, self._printer.close)
        self._printer.show(done, progress.per_second)
        if done == total:
            self.close()

    def close(self) -> None:
        """End the bar; the next Progress begins another."""
        if self._printer is not None:
            self._printer.close()
            self._printer = None

    def __enter__(self) -> Bar:
        """Return the bar itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the bar."""
        self.close()


def bar(label: str = "fits", *, file: IO[str] | None = None) -> Bar:
    """Return a printer of progress, for the argument `progress` of a long call.

    Args:
        label: what is counted.
        file: where to print; by default the standard error.

    Raises:
        TypeError: if label is not a string.

    Examples:
        >>> from jlogreg import progress
        >>> shown = progress.bar("probes")
        >>> shown.close()  # nothing was shown, so nothing ends
    """
    if not isinstance(label, str):
        raise TypeError(
            f"label must be a string, but is of type {type(label).__name__}"
        )
    return Bar(label, sys.stderr if file is None else file)


def _printer(label: str, total: int, file: IO[str]) -> _Printer:
    """Return the best printer there is for a file."""
    if file.isatty():
        for kind in (_Rich, _Tqdm):
            try:
                return kind(label, total, file)
            except ImportError:
                continue
    return _Lines(label, total, file)


class _Tqdm:
    """A bar of tqdm, in a terminal or a notebook."""

    def __init__(self, label: str, total: int, file: IO[str]) -> None:
        from tqdm.auto import tqdm

        self._bar = tqdm(total=total, desc=label, file=file)

    def show(self, done: int, per_second: float) -> None:
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()


class _Rich:
    """A bar of rich, in a terminal."""

    def __init__(self, label: str, total: int, file: IO[str]) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(file=file),
            transient=True,
        )
        self._task = self._bar.add_task(label, total=total)
        self._bar.start()

    def show(self, done: int, per_second: float) -> None:
        self._bar.update(self._task, completed=done)

    def close(self) -> None:
        self._bar.stop()


class _Lines:
    """Lines in a log: the first, the last, and one every few seconds."""

    def __init__(self, label: str, total: int, file: IO[str]) -> None:
        self._label, self._total, self._file = label, total, file
        self._start, self._due = time.monotonic(), 0.0

    def show(self, done: int, per_second: float) -> None:
        now = time.monotonic()
        if done < self._total and now < self._due:
            return
        self._due = now + LINE_SECONDS
        left = (self._total - done) / per_second if per_second > 0 else None
        ending = "" if left is None or not left else f", about {_duration(left)} left"
        spent = _duration(now - self._start)
        line = f"{self._label}: {done} of {self._total} in {spent}{ending}"
        print(line, file=self._file, flush=True)

    def close(self) -> None:
        pass


def _duration(seconds: float) -> str:
    """Return a time in words, in two units."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if whole < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
