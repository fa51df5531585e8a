"""Plant faults in the core, one at a time, and see that the tests notice each.

`python -m tests.mutation [MODULE ...]` writes a report and ends with 1 where a fault
goes unnoticed that survivors.toml does not explain, or where what it explains is there
no longer. A fault that makes a test run for ever counts as unnoticed in the percentage.

Public tools do not serve here: mutmut 3 forks a process in which JAX already computes,
so that a child may wait for a lock for ever, or else, like cosmic-ray, it imports JAX
again for every mutant, which takes hours; and neither checks a list of explained
survivors for entries that are out of date.
"""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from tests.mutation.campaign import ROOT, Campaign, Verdict

GRAPHS = [
    "unit/graph/test_computation_graph",
    "laws/test_graph",
    "laws/test_graph_arrays",
]
COSTS = ["unit/objective/test_cost", "laws/test_gradient", "laws/test_mistakes"]
FITS = ["unit/solvers/test_solvers", "unit/fitting/test_fit"]
SUMS = [
    *("unit/data/test_reduction", "unit/objective/test_cost", "laws/test_gradient"),
    *("unit/batch/test_problems", "unit/data/test_spread"),
]
# The files of tests that are run for each module, of those that reach it.
TESTS = {
    "base.arrays": [
        *("unit/base/test_arrays", "unit/base/test_checks", "laws/test_mistakes"),
    ],
    "base.params": [
        *("unit/base/test_params", "unit/objective/test_prediction"),
        *("laws/test_rank_discipline", "laws/test_mistakes"),
    ],
    "base.shapes": [
        *("unit/base/test_shapes", "laws/test_broadcasting", "laws/test_mistakes"),
        "laws/test_rank_discipline",
    ],
    "losses.arithmetic": ["unit/losses/test_bernoulli", "experiments/test_accuracy"],
    "losses.elementwise": ["unit/losses/test_bernoulli"],
    "losses.bernoulli": ["unit/losses/test_bernoulli", "laws/test_mistakes"],
    "data.design": [
        *("unit/data/test_design", "laws/test_rank_discipline", "laws/test_mistakes"),
        "laws/test_no_features",
    ],
    "data.reduction": SUMS,
    "objective.sums": SUMS,
    "objective.cost": [*COSTS, "unit/base/test_checks", "laws/test_rank_discipline"],
    "objective.penalties": COSTS,
    "graph.computation_graph": [
        *("unit/graph/test_expressions", "unit/graph/test_tape", *GRAPHS),
    ],
    "graph.expressions": ["unit/graph/test_expressions", *GRAPHS],
    "graph.tape": ["unit/graph/test_tape", *GRAPHS],
    "graph.graph": ["unit/graph/test_graph", "unit/test_corners", *GRAPHS],
    "solvers.driver": FITS,
    "solvers.cholesky": ["unit/solvers/test_cholesky", "unit/solvers/test_solvers"],
    "solvers.line_search": ["unit/solvers/test_line_search", *FITS],
    "solvers.newton": FITS,
    "solvers.conjugate_gradients": ["unit/solvers/test_conjugate_gradients", *FITS],
    "solvers.newton_cg": ["unit/solvers/test_newton_cg", *FITS],
    "solvers.first_order": [
        *("unit/solvers/test_first_order", "unit/fitting/test_gradient_descent", *FITS),
    ],
}
FOLDER = ROOT / ".mutation"
# What takes long to import, and starts nothing.
IMPORTS = [
    *("jax", "jax.experimental.sparse", "jax.extend.core", "jax.custom_batching"),
    *("optax", "hypothesis.extra.numpy", "mpmath", "scipy.linalg", "scipy.special"),
]
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "HYPOTHESIS_PROFILE": "mutation",
    "JAX_COMPILATION_CACHE_DIR": str(FOLDER / "programs"),
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
KEY = ("module", "function", "before", "after")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(TESTS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=FOLDER / "report.md")
    options = parser.parse_args(arguments)
    if unknown := set(options.modules) - set(TESTS):
        parser.error(f"there is no module {', '.join(sorted(unknown))}")
    began = time.perf_counter()
    chosen = options.modules or list(TESTS)
    files = {name: [f"tests/{file}.py" for file in TESTS[name]] for name in TESTS}

    def say(text: str) -> None:
        print(f"{time.perf_counter() - began:5.0f} s  {text}", flush=True)

    campaign = Campaign(ROOT, "jlogreg", files, IMPORTS, ENVIRONMENT, say)
    campaign.record(options.workers, FOLDER / "reach.json", chosen)
    verdicts = campaign.run(options.workers, chosen)
    accepted = read(Path(__file__).with_name("survivors.toml"), chosen)
    text, fine = report(verdicts, accepted)
    text += f"\n{time.perf_counter() - began:.0f} s in all.\n"
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text)
    print(text)
    return 0 if fine else 1


def read(path: Path, modules: list[str]) -> dict[tuple[str, ...], str]:
    """Return why each accepted survivor of some modules is accepted."""
    entries = tomllib.loads(path.read_text()).get("survivor", [])
    return {
        tuple(entry[key] for key in KEY): entry["why"]
        for entry in entries
        if entry["module"] in modules
    }


def report(
    verdicts: list[Verdict], accepted: dict[tuple[str, ...], str]
) -> tuple[str, bool]:
    """Return the report, and whether each survivor is explained and each reason used.

    A reason is used up where its mutant was killed, or is none any more.
    """

    def key(verdict: Verdict) -> tuple[str, ...]:
        return tuple(getattr(verdict.mutant, name) for name in KEY)

    survivors = [verdict for verdict in verdicts if verdict.name == "survived"]
    unexplained = [verdict for verdict in survivors if key(verdict) not in accepted]
    explained = [verdict for verdict in survivors if key(verdict) in accepted]
    timeouts = [verdict for verdict in verdicts if verdict.name == "timeout"]
    stale = set(accepted) - {key(verdict) for verdict in explained}
    head = ["module", "mutants", "killed", "timeouts", "explained", "unexplained"]
    lines = [_row([*head, "% killed", "seconds"]), _row(["---"] * 8)]
    modules = list(dict.fromkeys(verdict.mutant.module for verdict in verdicts))
    for module in [*modules, "all"]:
        here = [v for v in verdicts if module in ("all", v.mutant.module)]
        count = Counter(verdict.name for verdict in here)
        open_ = sum(verdict in unexplained for verdict in here)
        numbers = [len(here), count["killed"], count["timeout"]]
        numbers += [count["survived"] - open_, open_]
        part = f"{100 * count['killed'] / len(here):.1f}"
        seconds = f"{sum(verdict.seconds for verdict in here):.0f}"
        lines.append(_row([module, *numbers, part, seconds]))
    groups: list[tuple[str, list[Any]]] = [
        ("Unexplained survivors", unexplained),
        ("Explained survivors", explained),
        ("Time-outs", timeouts),
    ]
    for title, group in groups:
        lines += ["", f"## {title}: {len(group)}", ""]
        for verdict in group:
            module, function, before, after = key(verdict)
            lines += [f"- {module}, {function}: `{before}` -> `{after}`"]
            lines += [f"  {accepted.get(key(verdict), verdict.test)}"]
    lines += ["", f"## Reasons without a survivor: {len(stale)}", ""]
    lines += [f"- {', '.join(entry)}" for entry in sorted(stale)]
    return "\n".join(["# Mutants", "", *lines, ""]), not unexplained and not stale


def _row(cells: list[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(main())
