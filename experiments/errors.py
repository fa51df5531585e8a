"""Name the exception that becomes one line on the terminal, and make the line."""

from __future__ import annotations


class UserError(Exception):
    """Say what the user can change: a setting, a file, a key. Exit code 2."""


def one_line(error: BaseException) -> str:
    """Return what an exception says, without line breaks."""
    return " ".join(str(error).split())
