"""Search for fits whose status is wrong: `python -m jlogreg.testing.search`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import jax

from jlogreg.testing.search.answers import answers_to, make_problem
from jlogreg.testing.search.judge import WRONG
from jlogreg.testing.search.rates import SOLVERS, Outcome, outcomes_of, table_of
from jlogreg.testing.search.real import names_of_real

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 if a status was wrong, else 0, after printing the rates."""
    asked = _parser().parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    names = asked.only or _names(asked)
    dtypes = ["float32", "float64"] if asked.dtype == "both" else [asked.dtype]
    keys = [(name, dtype) for dtype in dtypes for name in names]
    start = time.perf_counter()
    truths = answers_to(keys, asked.answers, asked.processes)
    print(f"{len(keys)} exact answers in {time.perf_counter() - start:.0f} s")
    wrong = False
    for dtype in dtypes:
        problems = [make_problem(name, dtype) for name in names]
        known = [truths[name, dtype] for name in names]
        outcomes: dict[str, list[Outcome]] = {}
        for solver in asked.solvers:
            start = time.perf_counter()
            found = outcomes_of(problems, known, SOLVERS[solver](), asked.batch)
            outcomes[solver] = found
            print(f"{dtype}, {solver}: {time.perf_counter() - start:.0f} s", flush=True)
            jax.clear_caches()  # a process has room for a few hundred programs
        print("", *table_of(outcomes, dtype), "", sep="\n", flush=True)
        if asked.only:
            _describe(outcomes)
        every = [outcome for some in outcomes.values() for outcome in some]
        wrong |= any(outcome.judgement.said in WRONG for outcome in every)
    return int(wrong)


def _names(asked: argparse.Namespace) -> Sequence[int | str]:
    if asked.real:
        return names_of_real(asked.seed, asked.problems)
    return range(asked.seed, asked.seed + asked.problems)


def _describe(outcomes: dict[str, list[Outcome]]) -> None:
    """Print the problems themselves, so that they can be replayed elsewhere."""
    for each in zip(*outcomes.values(), strict=True):
        problem, truth = each[0].problem, each[0].truth
        print(f"problem {problem.name}: {', '.join(problem.hazards)}: {truth.where}")
        for name, array in problem.arguments.items():
            print(f"{name} = np.array({array.tolist()}, np.{array.dtype})")
        for name, one in zip(outcomes, each, strict=True):
            print(f"{name}: {one.status.name}, {one.judgement}")
        if truth.minimum is not None:
            print(truth.minimum)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jlogreg.testing.search", description=__doc__
    )
    add = parser.add_argument
    add("--problems", type=int, default=300, help="how many (default 300)")
    add("--seed", type=int, default=0, help="of the first (default 0)")
    add("--real", action="store_true", help="from the data sets of R's packages")
    add("--only", type=_name, nargs="+", help="these alone, with their numbers")
    add("--dtype", choices=["float32", "float64", "both"], default="both")
    add("--solvers", type=_solvers, default=list(SOLVERS), help="names, with commas")
    add("--batch", type=_batch, help="alone (default), or a number for vmap, as 5000")
    add("--answers", type=Path, help="a file that keeps the exact answers")
    add("--processes", type=int, default=2, help="for exact answers (default 2)")
    return parser


def _name(text: str) -> int | str:
    """Return a seed, or the name of a real problem."""
    return int(text) if text.isdigit() else text


def _solvers(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in SOLVERS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} is not a solver: choose from {', '.join(SOLVERS)}"
        )
    return names


def _batch(text: str) -> int | None:
    if text == "alone":
        return None
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a batch: write alone, or a number of problems"
        )
    return number


if __name__ == "__main__":
    raise SystemExit(main())
