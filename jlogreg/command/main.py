"""The command line: what each command does, and its exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jlogreg.base.errors import FitError
from jlogreg.command.arguments import parser_of
from jlogreg.command.terminal import UserError, report, streams
from jlogreg.tables.reading.faults import TableError

__all__ = ["run"]

ANSWERS = """\
Answers are written as --leave-out NAME, --number NAME, --category NAME,
--date NAME=%d.%m.%Y and --missing-word WORD; `jlogreg fit --help` has them all."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code of the command line."""
    with streams():
        try:
            options = parser_of().parse_args(arguments)
        except SystemExit as end:  # of argparse: it has printed why
            return int(end.code or 0)
        try:
            _command(options.command)(options)
            sys.stdout.flush()
        except TableError as error:
            for fault in error.faults:
                report(f"{error.source}: {fault}")
            asked = any(fault.column and fault.cure for fault in error.faults)
            if options.command == "fit" and asked:
                print(ANSWERS, file=sys.stderr)
            return 2
        except (UserError, FitError) as error:
            for line in str(error).splitlines():
                report(line)
            return 2 if isinstance(error, UserError) else 1
        except BrokenPipeError:
            raise
        except OSError as error:  # those of files are among the others
            report(f"standard output: {error.strerror or error}")
            return 2
        except KeyboardInterrupt:
            print("Interrupted; nothing is written.", file=sys.stderr)
            return 130
    return 0


def _command(name: str) -> Callable[[argparse.Namespace], Any]:
    # Imported here: `--help` needs none of them.
    from jlogreg.command import fitting, page, using

    return {
        "fit": fitting.fit,
        "predict": using.predict,
        "report": page.write,
        "score": using.score,
        "show": using.show,
    }[name]
