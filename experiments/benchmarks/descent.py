"""Time 2000 steps of gradient descent on a wide problem, against vectorised NumPy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console

from experiments import baselines
from experiments.benchmarks.harness.report import report
from experiments.timing import interleaved
from jlogreg import gradient_descent, init_params

FEATURES, SAMPLES, STEPS, RATE = 12_288, 209, 2000, 0.005
ROUNDS = 7


def main(console: Console) -> None:
    """Run the benchmark and print its table."""
    random = np.random.default_rng(0)
    X = random.random((FEATURES, SAMPLES), dtype=np.float32)  # pixels in [0, 1)
    y = (random.random((1, SAMPLES)) < 0.35).astype(np.float32)
    w, b = np.zeros((FEATURES, 1), np.float32), np.zeros((1, 1), np.float32)
    start, features, labels = (
        init_params(FEATURES, X.dtype),
        jnp.asarray(X),
        jnp.asarray(y),
    )

    options: dict[str, Any] = {"learning_rate": RATE, "steps": STEPS}
    plain = jax.jit(lambda *args: gradient_descent(*args, **options))
    # The same steps on X itself: an optimizer of the user's own rules the span out.
    direct = jax.jit(
        lambda *args: gradient_descent(*args, optimizer=optax.sgd, **options)
    )
    ways = {
        "NumPy": lambda: baselines.gradient_descent(w, b, X, y, RATE, STEPS),
        "jlogreg, on X itself": lambda: jax.block_until_ready(
            direct(start, features, labels)
        ),
        "jlogreg": lambda: jax.block_until_ready(plain(start, features, labels)),
    }
    console.print(f"{STEPS} steps of gradient descent, {FEATURES} x {SAMPLES}, float32")
    theirs, _, costs = baselines.gradient_descent(w, b, X, y, RATE, STEPS)
    ours = plain(start, features, labels)
    difference = float(np.abs(np.asarray(ours.params.w) - theirs).max())
    console.print(
        f"J from {costs[0]:.6f} to {costs[-1]:.6f} (NumPy), to "
        f"{float(ours.costs[0, -1]):.6f} (jlogreg); w differs by at most "
        f"{difference:.1e}, w is at most {float(np.abs(theirs).max()):.1e}"
    )
    report(console, interleaved(ways, ROUNDS), against="NumPy")
