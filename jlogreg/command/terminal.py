"""What the command prints: results, and mistakes as lines of their own."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

__all__ = ["UserError", "report", "streams"]


class UserError(Exception):
    """A mistake that the user can correct: in an argument or a file. Exit code 2."""


def report(line: str) -> None:
    """Print a mistake as one line, if anyone can read it.

    What has no sign of its own, such as a byte order mark, becomes an escape.
    """
    shown = (c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(line.split()))
    with suppress(OSError):
        print(f"error: {''.join(shown)}", file=sys.stderr)


@contextmanager
def streams() -> Iterator[None]:
    """Return a context in which the standard streams take every text.

    If nobody reads them any more, as after `| head`, that is no error.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with suppress(BrokenPipeError):
            yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                _discard(stream)


def _discard(stream: IO[str]) -> None:
    """Drop what a stream has not written: at exit that would fail with a traceback."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
