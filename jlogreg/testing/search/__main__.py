"""Search for fits whose status is wrong: `python -m jlogreg.testing.search`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from jlogreg.testing.search.answers import answers_to
from jlogreg.testing.search.judge import WRONG
from jlogreg.testing.search.problems import make_hard
from jlogreg.testing.search.rates import SOLVERS, Outcome, outcomes_of, table_of

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 if a status was wrong, else 0, after printing the rates."""
    asked = _parser().parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    seeds = asked.only or range(asked.seed, asked.seed + asked.problems)
    dtypes = ["float32", "float64"] if asked.dtype == "both" else [asked.dtype]
    keys = [(seed, dtype) for dtype in dtypes for seed in seeds]
    start = time.perf_counter()
    truths = answers_to(keys, asked.answers, asked.processes)
    print(f"{len(keys)} exact answers in {time.perf_counter() - start:.0f} s")
    wrong = False
    for dtype in dtypes:
        problems = [make_hard(seed, np.dtype(dtype)) for seed in seeds]
        known = [truths[seed, dtype] for seed in seeds]
        outcomes: dict[str, list[Outcome]] = {}
        for name in asked.solvers:
            start = time.perf_counter()
            outcomes[name] = outcomes_of(problems, known, SOLVERS[name](), asked.batch)
            print(f"{dtype}, {name}: {time.perf_counter() - start:.0f} s", flush=True)
            jax.clear_caches()  # a process has room for a few hundred programs
        print("", *table_of(outcomes, dtype), "", sep="\n", flush=True)
        if asked.only:
            _describe(outcomes)
        every = [outcome for some in outcomes.values() for outcome in some]
        wrong |= any(outcome.judgement.said in WRONG for outcome in every)
    return int(wrong)


def _describe(outcomes: dict[str, list[Outcome]]) -> None:
    """Print the problems themselves, so that they can be replayed elsewhere."""
    for each in zip(*outcomes.values(), strict=True):
        problem, truth = each[0].problem, each[0].truth
        print(f"seed {problem.seed}: {', '.join(problem.hazards)}: {truth.where}")
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
    add("--only", type=int, nargs="+", help="these seeds alone, with their numbers")
    add("--dtype", choices=["float32", "float64", "both"], default="both")
    add("--solvers", type=_solvers, default=list(SOLVERS), help="names, with commas")
    add("--batch", type=_batch, help="alone (default), or a number for vmap, as 5000")
    add("--answers", type=Path, help="a file that keeps the exact answers")
    add("--processes", type=int, default=2, help="for exact answers (default 2)")
    return parser


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
