"""Compute the table of reference solutions: `python -m tests.references.make`.

The solutions are those of `tests.oracles.high_precision`, written to solutions.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mpmath import mp

from tests.oracles.high_precision import exact_minimum
from tests.references.datasets import DATASETS, Reference

STORED = 50  # digits written
TABLE = Path(__file__).with_name("solutions.json")


def entry(problem: Reference) -> dict[str, Any]:
    """Return the entry of a problem in the table: its size, w, b and J."""
    state = exact_minimum(problem)
    *w, b = (mp.nstr(t, STORED, strip_zeros=False) for t in state.theta)
    n, m = problem.X.shape
    J = mp.nstr(state.J, STORED, strip_zeros=False)
    return {"features": n, "samples": m, "J": J, "b": b, "w": w}


def main() -> None:
    table = {}
    for name, dataset in DATASETS.items():
        table[name] = entry(dataset())
        print(f"{name}: J = {table[name]['J']}", flush=True)
    TABLE.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
