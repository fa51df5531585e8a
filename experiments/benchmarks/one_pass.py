"""Time one cost and gradient over a tall problem, against vectorised NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments import baselines
from experiments.benchmarks.harness.report import report
from experiments.timing import interleaved
from jlogreg import Params, value_and_gradient

FEATURES, SAMPLES = 100, 2_000_000
ROUNDS = 21


def main(console: Console) -> None:
    """Run the benchmark and print its table."""
    random = np.random.default_rng(0)
    X = random.standard_normal((FEATURES, SAMPLES), dtype=np.float32)
    y = (random.random((1, SAMPLES)) < 0.5).astype(np.float32)
    w = random.standard_normal((FEATURES, 1), dtype=np.float32) / 10
    b = np.zeros((1, 1), np.float32)
    params = Params(w=jnp.asarray(w), b=jnp.asarray(b))
    features, labels = jnp.asarray(X), jnp.asarray(y)
    compiled = jax.jit(value_and_gradient)
    plain_sum = jax.jit(jnp.sum)
    ways = {
        "NumPy": lambda: baselines.value_and_gradient(w, b, X, y),
        "jlogreg": lambda: jax.block_until_ready(compiled(params, features, labels)),
        "plain sum of X": lambda: jax.block_until_ready(plain_sum(features)),
    }
    console.print(f"one cost and gradient, {FEATURES} x {SAMPLES}, float32")
    J, dw, _ = baselines.value_and_gradient(w, b, X, y)
    ours, slope = compiled(params, features, labels)
    difference = float(np.abs(np.asarray(slope.w) - dw).max())
    console.print(
        f"J {J:.6f} (NumPy), {float(ours):.6f} (jlogreg); dw differs by at most "
        f"{difference:.1e}, dw is at most {float(np.abs(dw).max()):.1e}"
    )
    report(console, interleaved(ways, ROUNDS), against="NumPy", size=X.nbytes)
