"""The error that is shown to the user as one line."""

from __future__ import annotations


class UserError(Exception):
    """A mistake that the user can correct: in a setting, a file, a key. Exit code 2."""


def one_line(error: BaseException) -> str:
    """Return the message of an exception without line breaks."""
    return " ".join(str(error).split())
