"""The command line: `python -m jlogreg`, or `jlogreg`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code of the command line: 0 done, 1 no answer, 2 a mistake.

    The packages of the extra `tables` are needed.
    """
    try:
        from jlogreg.command.main import run
    except ImportError as error:
        print(
            f'error: the command needs {error.name}: pip install "jlogreg[tables]"',
            file=sys.stderr,
        )
        return 2
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
