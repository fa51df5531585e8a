"""The streams that the command line prints to; a fault of theirs is no traceback."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, cast

from rich.console import Console

from experiments.errors import UserError, one_line

# Names of files, keys and features may look like markup.
PLAIN: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
# Where no terminal sets a width, no line is folded and nothing is cut.
UNBOUNDED = 10**4


def output() -> Console:
    """Return the console of the standard output."""
    terminal = sys.stdout.isatty()
    return Console(
        file=cast(IO[str], _Output()), width=None if terminal else UNBOUNDED, **PLAIN
    )


def report(error: UserError) -> None:
    """Print an error as one line, if anyone can read it."""
    errors = Console(stderr=True, **PLAIN)
    with suppress(OSError):
        errors.print(f"error: {one_line(error)}", style="red", soft_wrap=True)


@contextmanager
def streams() -> Iterator[None]:
    """Let the standard streams be open, and take every text."""
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                _discard(stream)


def _open_streams() -> None:
    """Open the null device in place of a stream that the caller has closed.

    Otherwise the next file to be opened, one of the run, would get the stream's number,
    and with it what libraries print there.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # the lowest number that is free is this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _discard(stream: IO[str]) -> None:
    """Drop what a stream has not written: at exit that would fail with a traceback."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Output:
    """The standard output; an error in writing to it becomes a UserError."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stdout, name)

    def write(self, text: str) -> int:
        with self._named():
            return sys.stdout.write(text)

    def flush(self) -> None:
        with self._named():
            sys.stdout.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:  # nobody reads it any more: rich ends the process
            raise
        except OSError as error:
            _discard(sys.stdout)
            raise UserError(f"standard output: {error.strerror or error}") from error
