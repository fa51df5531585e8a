"""The wait for a first result: import, tracing, compilation and the call itself."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from experiments.benchmarks.harness import fresh_process
from experiments.benchmarks.harness.fresh_process import NOT_KEPT, kept_in
from experiments.benchmarks.harness.report import save

# A process of its own for each call. It prints the seconds of the import, of the first
# call and of a second one with the same shapes, and how many programs the second one
# has compiled. What a call starts from, such as a fit, is made before.
PROGRAM = """
import sys, time
n, m, before, call = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
start = time.perf_counter()
import numpy as np
from jlogreg import *
from jlogreg.inference import *
imported = time.perf_counter() - start
import jax
random = np.random.default_rng(0)
X = random.standard_normal((n, m), dtype=np.float32)
p = 1 / (1 + np.exp(-X[:1] - X[1:2]))
Y = (random.random((96, m)) < p).astype(np.float32)
G = random.binomial(2, 0.3, (2000, m)).astype(np.int8)
y, compiled = Y[:1], []
exec(before)
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: event.endswith("backend_compile_duration")
    and compiled.append(seconds)
)
start = time.perf_counter()
jax.block_until_ready(eval(call))
first = time.perf_counter() - start
compiled.clear()
start = time.perf_counter()
jax.block_until_ready(eval(call))
print(imported, first, time.perf_counter() - start, len(compiled))
"""


class Entry(NamedTuple):
    """A call of a public function, and what stands before it.

    features: of X, whatever Work says; None for as many as it says.
    """

    call: str
    before: str = ""
    features: int | None = 30


FITTED, ZERO = "found = fit(X, y)", "zero = init_params(len(X))"
PENALTIES = "l2 = np.logspace(0, -3, 11, dtype=np.float32)[:, None]"
ENTRIES = {
    "fit": Entry("fit(X, y)", features=None),
    "fit, l1": Entry("fit(X, y, l1=0.01)"),
    "fit, Firth": Entry("fit(X, y, jeffreys=0.5)"),
    "fit_many": Entry("fit_many(X, Y)"),
    "fit_many, l1": Entry("fit_many(X, Y, l1=0.01)"),
    "regularization_path": Entry("regularization_path(X, y, l2)", PENALTIES),
    "cross_validate": Entry("cross_validate(X, y, l2)", PENALTIES),
    "scan_features": Entry("scan_features(G, X[:5], y)"),
    "gradient_descent": Entry(
        "gradient_descent(zero, X, y, learning_rate=0.1, steps=100)", ZERO
    ),
    "cost": Entry("cost(zero, X, y)", ZERO),
    "value_and_gradient": Entry("value_and_gradient(zero, X, y)", ZERO),
    "predict": Entry("predict(found, X)", FITTED),
    "summary": Entry("str(summary(found, X, y))", FITTED),
    "certificate": Entry("certificate(found, X, y).decrement", FITTED),
    "influence": Entry("influence(found, X, y)", FITTED),
    "leave_one_out": Entry("leave_one_out(found, X, y)", FITTED),
    "confidence_interval": Entry(
        'confidence_interval(found, X, y, kind="profile")', FITTED
    ),
    "marginal_effects": Entry("marginal_effects(found, X, y)", FITTED),
}


class Work(NamedTuple):
    """The features of `fit`, the samples, the rounds, and which calls."""

    features: int = 100
    samples: int = 2000
    rounds: int = 5
    entries: Sequence[str] = tuple(ENTRIES)


WORK = Work()


def run(console: Console, work: Work = WORK) -> None:
    """Time each function's first call in a fresh process, 100 x 2000 or 30 x 2000."""
    console.print(
        f"first calls in fresh processes: fit of {work.features} x {work.samples}, the "
        f"others of 30 x {work.samples}, float32; seconds, medians of {work.rounds}"
    )
    table = Table("call", "import", "first", "kept", "second", "compiled again")
    ways = []
    for name in work.entries:
        with tempfile.TemporaryDirectory() as folder:
            once = partial(_seconds, ENTRIES[name], work)
            once(kept_in(folder))  # fills the folder
            cold = [once(NOT_KEPT) for _ in range(work.rounds)]
            kept = [once(kept_in(folder)) for _ in range(work.rounds)]
        imports, first, second, again = map(statistics.median, zip(*cold, strict=True))
        row = {
            "way": name,
            "import_s": imports,
            "median_s": first,
            "fastest_s": min(seconds for _, seconds, *_ in cold),
            "kept_s": statistics.median(seconds for _, seconds, *_ in kept),
            "second_s": second,
            "compiled_again": int(again),
        }
        ways.append(row)
        numbers = (imports, first, row["kept_s"], second)
        table.add_row(name, *(f"{s:.3f}" for s in numbers), str(row["compiled_again"]))
    console.print(table)
    console.print("kept: with compiled programs kept in a folder by an earlier process")
    save(console, "first_call", {"work": work._asdict(), "ways": ways})


def _seconds(entry: Entry, work: Work, settings: dict[str, str]) -> list[float]:
    """Return the numbers that the program prints."""
    n = work.features if entry.features is None else min(entry.features, work.features)
    given = (n, work.samples, entry.before, entry.call)
    return fresh_process.numbers(PROGRAM, *given, settings=settings)
