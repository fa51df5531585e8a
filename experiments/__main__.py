"""Run experiments and benchmarks, and draw formulas, from the command line."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from experiments import benchmarks
from experiments.config import CONFIGS, convert, describe, read_table, settings_of
from experiments.errors import UserError
from experiments.terminal import output, report, streams


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    with streams():
        options, rest = _parser().parse_known_args(arguments)
        try:
            return _call(options, rest, output())
        except UserError as error:
            report(error)
            return 2
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in ("", "experiments", "jlogreg"):
                raise
            extra = "peers" if options.command == "bench" else "experiments"
            missing = f"{error.name} is not installed: python -m pip install"
            report(UserError(f"{missing} '.[{extra}]'"))
            return 2


def _call(options: argparse.Namespace, rest: Sequence[str], console: Console) -> int:
    """Do what the command says; return the exit code."""
    try:
        if options.command == "run":
            path = Path(options.config)
            if options.help:
                _print_settings(path, rest, console)
            else:
                _run(path, rest, options, console)
        elif rest:
            formula = options.command == "graph" and not rest[0].startswith("--")
            hint = "; put what begins with a minus in brackets" if formula else ""
            raise UserError(f"{rest[0]}: only `run` takes settings{hint}")
        elif options.command == "graph":
            _graph(options.formula, options.values, options.out, console)
        elif options.command == "list":
            console.print(_listing())
        else:
            _choose_platform(options.platform)
            benchmarks.load(options.name)(console)
    except KeyboardInterrupt:
        console.print("Interrupted; the same command resumes.")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands)
    commands.add_parser("list", help="list the configurations of this project")
    graph = commands.add_parser("graph", help="draw the computation graph of a formula")
    graph.add_argument(
        "formula", help='such as "3 * (a + b * c)"; -- before one that begins with -'
    )
    graph.add_argument("values", nargs="*", metavar="NAME=NUMBER", help="such as a=5")
    graph.add_argument(
        "--out",
        default="",
        metavar="FILE",
        help=".svg, .png, .pdf, .dot, .mmd or .json",
    )
    names = sorted(benchmarks.BENCHMARKS)
    bench = commands.add_parser(
        "bench",
        help="compare with other ways to do the same work, as ratios",
        description="\n".join(f"{k:12} {benchmarks.describe(k)}" for k in names),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bench.add_argument("name", choices=names, metavar="NAME")
    bench.add_argument(
        "--platform", choices=("cpu", "gpu"), help="by default the fastest that JAX has"
    )
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="run a configuration; the same command resumes it",
        usage="python -m experiments run CONFIG.toml [--section.key value ...]",
        allow_abbrev=False,
        add_help=False,
    )
    run.add_argument("config", metavar="CONFIG.toml")
    run.add_argument(
        "--help",
        "-h",
        action=_Help,
        nargs=0,
        default=False,
        help="after CONFIG.toml: its settings, by type, default and meaning",
    )
    run.add_argument("--runs", default="runs", help="where run folders go")
    run.add_argument(
        "--distributed",
        action="store_true",
        help="one of several processes, each called alike: under SLURM or Open MPI, or "
        "with the three options below",
    )
    run.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="the machine of process 0, and a free port there",
    )
    run.add_argument("--processes", type=int, metavar="N", help="how many there are")
    run.add_argument(
        "--process", type=int, metavar="I", help="which this is, from 0 to N - 1"
    )


class _Help(argparse.Action):
    """Ask for the settings of the configuration before it, or for the usage."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, *given: Any
    ) -> None:
        """Note that help is asked for, or give it."""
        if namespace.config is None:
            parser.print_help()
            parser.exit()
        namespace.help = True


def _program(path: Path, table: dict[str, Any]) -> Any:
    """Return the program that a configuration names."""
    # Imported here: `list`, and a mistake in the file's syntax, need no JAX.
    from experiments.programs import PROGRAMS

    program = PROGRAMS.get(str(table.get("program")))
    if program is None:
        known = ", ".join(PROGRAMS)
        raise UserError(f"{path.name}: program must be one of {known}")
    return program


def _print_settings(path: Path, overrides: Sequence[str], console: Console) -> None:
    table = read_table(path, overrides)
    program = _program(path, table)
    console.print(f"{describe(path)}\n", soft_wrap=True, markup=False, highlight=False)
    for setting in settings_of(program.Config, table):
        lines = (
            f"--{setting.name} {setting.value}".rstrip(),
            f"    {setting.meaning}",
            f"    ({setting.kind})",
        )
        for line in lines:
            console.print(line, soft_wrap=True, markup=False, highlight=False)


def _run(
    path: Path,
    overrides: Sequence[str],
    options: argparse.Namespace,
    console: Console,
) -> None:
    table = read_table(path, overrides)
    program = _program(path, table)
    from experiments.environment import keep_programs
    from experiments.processes.join import joined
    from experiments.runner import execute

    keep_programs()
    config, runs = convert(table, program.Config, path.name), Path(options.runs)
    with joined(_place(options, table["program"])) as group:
        # One process speaks for all.
        own = Console(file=io.StringIO()) if group.number else console
        execute(program, config, path.stem, runs, own, group)


def _place(options: argparse.Namespace, program: str) -> Any:
    """Return which of several processes this is, None if it is alone."""
    from experiments.processes.join import Place
    from experiments.programs import DEALT

    given = Place(options.coordinator, options.processes, options.process)
    missing = [value is None for value in given]
    if not options.distributed:
        if not all(missing):
            raise UserError("--coordinator, --processes, --process: add --distributed")
        return None
    if program not in DEALT:
        known = ", ".join(DEALT)
        raise UserError(
            f"--distributed: {program} is work for one process; several share {known}"
        )
    if any(missing) and not all(missing):
        raise UserError(
            "--coordinator, --processes, --process: give all three, or none where "
            "SLURM or Open MPI has started the processes"
        )
    return given


def _graph(formula: str, values: Sequence[str], out: str, console: Console) -> None:
    from experiments.formula.draw import draw

    draw(formula, values, out, console)


def _listing() -> Table:
    table = Table(Column("configuration", no_wrap=True), "what it does")
    for path in sorted(CONFIGS.glob("*.toml")):
        table.add_row(f"experiments/configs/{path.name}", describe(path))
    return table


def _choose_platform(name: str | None) -> None:
    """Let JAX start on this platform.

    Raises:
        UserError: if JAX does not see it.
    """
    # Also for the processes of a benchmark: none may take all memory of a GPU.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if name == "cpu":  # JAX always sees it, and starts only later, with its settings
        os.environ["JAX_PLATFORMS"] = "cpu"
    if name != "gpu":
        return
    import jax

    try:
        jax.devices(name)
    except RuntimeError as error:
        raise UserError(f"--platform {name}: JAX sees no {name} here") from error


if __name__ == "__main__":
    sys.exit(main())
