"""Open what is a file, and nothing else: to open a pipe or a device may never end."""

from __future__ import annotations

import stat
from io import BufferedReader
from pathlib import Path

from experiments.errors import UserError


def check_file(path: Path) -> None:
    """Check that a path, or what it is a link to, is a regular file.

    Raises:
        UserError: if it is not.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # a ValueError: a zero byte in the name
        raise unusable(path, error) from error
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: is not a file")


def open_file(path: Path) -> BufferedReader:
    """Return a file, open to be read.

    Raises:
        UserError: if it is not a regular file, or cannot be opened.
    """
    check_file(path)
    try:
        return path.open("rb")
    except OSError as error:
        raise unusable(path, error) from error


def read_file(path: Path) -> bytes:
    """Return the contents of a file.

    Raises:
        UserError: if it is not a regular file, or cannot be read.
    """
    with open_file(path) as file:
        try:
            return file.read()
        except OSError as error:
            raise unusable(path, error) from error


def write_file(path: Path, content: bytes) -> None:
    """Write a file, in place of one or anew.

    Raises:
        UserError: if something else has its name, or it cannot be written.
    """
    try:
        if path.exists():
            check_file(path)
        path.write_bytes(content)
    except (OSError, ValueError) as error:
        raise unusable(path, error) from error


def unusable(path: Path, error: OSError | ValueError) -> UserError:
    """Return the error that names the path, and what the system says of it."""
    return UserError(f"{path}: {getattr(error, 'strerror', None) or error}")
