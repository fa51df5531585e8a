"""The error that is shown to the user as one line."""

from __future__ import annotations


class UserError(Exception):
    """A mistake that the user can correct: in a setting, a file, a key. Exit code 2."""


def one_line(error: BaseException) -> str:
    """Return the message of an exception without line breaks, all of it to be seen.

    What has no sign of its own, such as a byte order mark, becomes an escape.
    """
    line = " ".join(str(error).split())
    shown = (c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return "".join(shown)
