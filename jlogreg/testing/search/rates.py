"""The fits of many problems, and how often they said what is true, as a table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from jlogreg.base.status import Status
from jlogreg.fitting.fit import fit
from jlogreg.solvers.driver import Solver
from jlogreg.solvers.first_order import Optax
from jlogreg.solvers.lbfgs import LBFGS
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG
from jlogreg.testing.search.judge import (
    WRONG,
    Judgement,
    Said,
    collinear,
    judge,
    well_conditioned,
)
from jlogreg.testing.search.oracle import Truth, Where
from jlogreg.testing.search.problems import Hard

__all__ = ["SOLVERS", "Outcome", "outcomes_of", "table_of"]

SOLVERS: dict[str, Callable[[], Solver]] = {
    "newton": Newton,
    "newton_cg": NewtonCG,
    "lbfgs": LBFGS,
    "optax": lambda: Optax(optax.lbfgs()),
}


class Outcome(NamedTuple):
    """How the fit of one problem ended, and what is to be said of that.

    copies: the statuses of all copies of the problem in its batch.
    """

    problem: Hard
    truth: Truth
    status: Status
    judgement: Judgement
    copies: frozenset[Status]


def outcomes_of(
    problems: Sequence[Hard],
    truths: Sequence[Truth],
    solver: Solver,
    batch: int | None = None,
) -> list[Outcome]:
    """Return the outcomes of problems of one dtype, in their order.

    Args:
        problems: problems of any shapes.
        truths: the truth about each.
        solver: the solver of all fits.
        batch: how many problems of one shape jax.vmap fits at once. Fewer are repeated
            until there are as many. By default each is fitted alone.
    """
    groups = defaultdict(list)
    for i, problem in enumerate(problems):
        shapes = [(name, array.shape) for name, array in problem.arguments.items()]
        groups[tuple(shapes)].append(i)

    def one(arguments: dict[str, Any]) -> Any:
        found = fit(**arguments, solver=solver)
        return found.status, found.params.w, found.params.b

    program = jax.jit(one if batch is None else jax.vmap(one))
    outcomes: dict[int, Outcome] = {}
    for group in groups.values():
        arguments = [problems[i].arguments for i in group]
        ends = _alone(program, arguments) if batch is None else ()
        ends = ends or _together(program, arguments, batch or len(group))
        for i, (codes, w, b) in zip(group, ends, strict=True):
            status, copies = Status(int(codes[0])), frozenset(map(Status, codes))
            judged = judge(problems[i], truths[i], status, w, b)
            outcomes[i] = Outcome(problems[i], truths[i], status, judged, copies)
    return [outcomes[i] for i in range(len(problems))]


Ends = Sequence[tuple[Any, Any, Any]]


def _alone(program: Any, arguments: Sequence[Any]) -> Ends:
    """Return the statuses (1,), w and b of each problem."""
    ends = [map(np.asarray, program(each)) for each in arguments]
    return [(status[None], w, b) for status, w, b in ends]


def _together(program: Any, arguments: Sequence[Any], batch: int) -> Ends:
    """Return the statuses of all copies, and w and b of the first, of each problem."""
    ends: list[tuple[Any, Any, Any]] = []
    for start in range(0, len(arguments), batch):
        some = arguments[start : start + batch]
        lanes = np.arange(batch) % len(some)
        stacked = {
            name: np.stack([each[name] for each in some])[lanes] for name in some[0]
        }
        status, w, b = map(np.asarray, program(stacked))
        ends += [(status[i :: len(some)], w[i], b[i]) for i in range(len(some))]
    return ends


# Classes of problems, with what is asked of a solver.
IDEAL = "one minimum, well-conditioned"
APART = "one minimum, features not collinear to the precision"
SEEN = "separated"
CLASSES = {
    IDEAL: "at least 99.5 % CONVERGED",
    f"{IDEAL} once centered": "",
    "one minimum": "at least 95 % CONVERGED",
    APART: "",
    SEEN: "at least 99 % SEPARATED",
    "quasi-separated": "",
    "many minima": "",
}


def table_of(outcomes: Mapping[str, Sequence[Outcome]], dtype: Any) -> Iterator[str]:
    """Return the lines of a table with a column for each solver, and lists of names."""
    names = list(outcomes)
    every = next(iter(outcomes.values()))
    yield f"{np.dtype(dtype).name}, {len(every)} problems"
    yield _row("what was said, and what is true", names)
    for said in WRONG:
        counts = [
            sum(outcome.judgement.said == said for outcome in outcomes[name])
            for name in names
        ]
        yield _row(said, counts)
    copies = [sum(len(one.copies) > 1 for one in outcomes[name]) for name in names]
    yield _row("copies of one problem ended differently", copies)
    for title, ask in CLASSES.items():
        yield from _statuses(title, ask, outcomes, dtype)
    for name in names:
        yield from _wrong(name, outcomes[name])
        yield from _missed(name, outcomes[name], dtype)


def _is_of(title: str, outcome: Outcome, dtype: Any) -> bool:
    """Return whether a problem belongs to a class."""
    truth = outcome.truth
    rules: dict[str, Callable[[], bool]] = {
        IDEAL: lambda: well_conditioned(truth, dtype, centered=False),
        f"{IDEAL} once centered": lambda: well_conditioned(truth, dtype, centered=True),
        "one minimum": lambda: truth.minimum is not None,
        APART: lambda: truth.minimum is not None and not collinear(outcome.problem),
        SEEN: lambda: truth.separated,
        "quasi-separated": lambda: truth.where == Where.QUASI_SEPARATED,
        "many minima": lambda: truth.where == Where.MANY_POINTS,
    }
    return rules[title]()


def _row(title: str, cells: Sequence[object]) -> str:
    return f"{title:60}" + "".join(f"{cell!s:>16}" for cell in cells)


def _statuses(
    title: str, ask: str, outcomes: Mapping[str, Sequence[Outcome]], dtype: Any
) -> Iterator[str]:
    """Yield a row for each status of the problems that belong to a class."""
    counts = [
        Counter(each.status for each in some if _is_of(title, each, dtype))
        for some in outcomes.values()
    ]
    total = sum(counts[0].values())
    yield f"{title}: {total} problems" + (f", {ask} asked" if ask else "")
    for status in Status:
        if any(count[status] for count in counts):
            numbers = [count[status] for count in counts]
            cells = [f"{n} ({100 * n / total:.1f} %)" for n in numbers]
            yield _row(f"  {status.name}", cells)


def _wrong(name: str, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield a line for each status that is wrong, or not that of all copies."""
    for problem, _, status, (said, error, excess), copies in outcomes:
        words = [said.value] if said in WRONG else []
        if said == Said.OFF:
            words.append(f"by {error:.2g}, {excess:.2g} times what is allowed")
        others = sorted(other.name for other in copies - {status})
        if others:
            words.append(f"{status.name}, but copies are {', '.join(others)}")
        if words:
            hazards = ", ".join(problem.hazards)
            yield f"{name}, problem {problem.name}: {', '.join(words)} ({hazards})"


def _missed(name: str, outcomes: Sequence[Outcome], dtype: Any) -> Iterator[str]:
    """Yield the names of problems of three classes with another word."""
    for title in (IDEAL, APART, SEEN):
        problems = defaultdict(list)
        for outcome in outcomes:
            missed = outcome.judgement.said == Said.ANOTHER_WORD
            if missed and _is_of(title, outcome, dtype):
                problems[outcome.status].append(str(outcome.problem.name))
        for status, some in problems.items():
            yield f"{name}, {title}, but {status.name}: problems {', '.join(some)}"
