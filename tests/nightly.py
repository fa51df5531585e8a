"""Run what takes too long for every change: `python -m tests.nightly [JOB ...]`.

Each job is a process of its own, one after the other; at the end a table says how each
ended and how long it took, and the exit code is 1 unless all of them passed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

PYTEST = (sys.executable, "-m", "pytest", "-q")
# What JAX's own checks look at: fits, costs and derivatives of every kind.
CORE = (
    *("tests/unit/losses/test_bernoulli.py", "tests/unit/objective/test_cost.py"),
    *("tests/unit/data/test_reduction.py", "tests/unit/solvers/test_solvers.py"),
    *("tests/unit/fitting/test_fit.py", "tests/unit/objective/test_prediction.py"),
    "tests/laws/test_gradient.py",
)
# Tests that make on purpose what these flags forbid: numbers that are not finite, and
# counts of compilations, which a look for leaks repeats.
NOT_FINITE = "not (nan or infinit or refused or overflow or no_probability or finite)"
COUNTED = "not (compil or retrac or traced_once)"
# A search begins with an infinite decrement, and infinity has its limit.
FINITE = f"{NOT_FINITE} and not (test_solvers or everywhere)"


class Job(NamedTuple):
    """Hold a command and what it changes in the environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = MappingProxyType({})


def checked(flag: str, *options: str) -> Job:
    """Return the tests of the core, compiled as users do, under a check of JAX's."""
    return Job((*PYTEST, *CORE, *options), {flag: "1", "XLA_FLAGS": ""})


SEARCH = (sys.executable, "-m", "jlogreg.testing.search")
JOBS = {
    # In another order each time, with 1000 examples.
    "suite": Job(
        (*PYTEST, "-p", "randomly", "-m", "nightly or not nightly"),
        {"HYPOTHESIS_PROFILE": "nightly"},
    ),
    "accuracy": Job((sys.executable, "-m", "experiments", "bench", "accuracy")),
    "mutation": Job((sys.executable, "-m", "tests.mutation")),
    "search": Job((*SEARCH, "--problems=1500")),
    "real": Job((*SEARCH, "--real", "--problems=300", "--solvers=newton")),
    "nans": checked("JAX_DEBUG_NANS", "-k", NOT_FINITE),
    "infs": checked("JAX_DEBUG_INFS", "-k", FINITE),
    "leaks": checked("JAX_CHECK_TRACER_LEAKS", "-k", COUNTED),
    "checks": checked("JAX_ENABLE_CHECKS"),
}


def main(names: list[str]) -> int:
    """Run the jobs of these names, or all; return the exit code."""
    unknown = sorted({*names} - {*JOBS})
    if unknown:
        print(f"no job {', '.join(unknown)}; there are {', '.join(JOBS)}")
        return 2
    lines = []
    for name in names or JOBS:
        print(f"--- {name}", flush=True)
        job, start = JOBS[name], time.monotonic()
        code = subprocess.run(
            job.command, env={**os.environ, **job.environment}
        ).returncode
        minutes = (time.monotonic() - start) / 60
        lines.append((code, f"{name:10} {minutes:5.1f} min  exit code {code}"))
    print("---", *(line for _, line in lines), sep="\n")
    return int(any(code for code, _ in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
