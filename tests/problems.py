"""Draw problems for the property tests, and compute how far roundings may carry.

Shapes come from a short list, so that each is compiled once; what is drawn is a seed, a
scale and a hazard, and NumPy makes the arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from jlogreg import Params

SHAPES = [(1, 1), (1, 7), (3, 20), (5, 64), (30, 6)]
HAZARDS = ["plain", "zero start", "huge logits", "soft labels", "scaled features"]


class Problem(NamedTuple):
    """Hold the arguments of a cost."""

    params: Params
    X: Any
    y: Any
    weight: Any
    offset: Any
    l2: Any

    @property
    def arguments(self) -> tuple[Any, Any, Any]:
        return self.params, self.X, self.y

    @property
    def options(self) -> dict[str, Any]:
        return {"weight": self.weight, "offset": self.offset, "l2": self.l2}


@st.composite
def problems(draw, dtypes=(np.float32, np.float64), shapes=SHAPES, hazards=HAZARDS):
    shape, dtype = draw(st.sampled_from(shapes)), draw(st.sampled_from(dtypes))
    hazard = draw(st.sampled_from(hazards))
    seed = draw(st.integers(0, 2**32 - 1))
    l2 = draw(st.sampled_from([0.0, 0.01, 1.0]))
    return make_problem(shape, dtype, hazard, seed, l2)


def make_problem(shape, dtype, hazard="plain", seed=0, l2=0.01) -> Problem:
    random = np.random.default_rng(seed)
    n, m = shape
    X = random.standard_normal((n, m))
    if hazard == "scaled features":
        X *= 10.0 ** random.integers(-3, 4, (n, 1))
    w, b = random.standard_normal((n, 1)), random.standard_normal((1, 1))
    if hazard == "zero start":
        w, b = np.zeros((n, 1)), np.zeros((1, 1))
    if hazard == "huge logits":
        w *= 10.0 ** random.uniform(2, 4) / np.abs(w.T @ X).max()
    y = (random.random((1, m)) < 0.5).astype(float)
    if hazard == "soft labels":
        y = random.random((1, m))
    weight = random.choice([0.0, 0.5, 1.0, 2.0, 3.0], (1, m))
    weight[0, 0] = 1.0  # so that some sample is left
    offset = random.standard_normal((1, m)) * random.choice([0.0, 1.0])
    arrays = (w, b, X, y, weight, offset, np.array(l2))
    w, b, *rest = (jnp.asarray(array, dtype) for array in arrays)
    return Problem(Params(w=w, b=b), *rest)


class Slack(NamedTuple):
    """Hold how far two roundings of the same quantity may be apart."""

    J: float
    w: np.ndarray
    b: np.ndarray


def slack(problem: Problem, dtype: Any = None) -> Slack:
    """Return the distance that rounding explains, by a forward error analysis.

    A sum of k terms computed in any order is off by at most k eps times the sum of the
    terms' sizes. A logit is such a sum of n + 2 terms; its error moves the loss by at
    most as much, and dz by at most a quarter. Each elementwise function is good to 4
    eps of its value or, where a label is subtracted, of 1. Both sides of a comparison
    may err.
    """
    params, X, y, weight, offset, l2 = (
        problem.params,
        *(np.asarray(array, float) for array in problem[1:]),
    )
    del y
    w, b = np.asarray(params.w, float), np.asarray(params.b, float)
    n, m = X.shape
    eps = float(np.finfo(dtype or problem.X.dtype).eps)
    size_z = np.abs(w).T @ np.abs(X) + np.abs(b) + np.abs(offset)
    error_z = (n + 2) * eps * size_z
    error_dz = error_z / 4 + (m + 4) * eps
    error_loss = error_z + (m + 4) * eps * (size_z + 1)
    total = weight.sum()
    penalty = l2 * np.sum(w**2) / 2
    J = np.sum(weight * error_loss) / total + (n + 4) * eps * penalty
    dw = np.abs(X) @ (weight * error_dz).T / total + 4 * eps * l2 * np.abs(w)
    db = np.sum(weight * error_dz) / total
    return Slack(J=2 * float(J), w=2 * dw, b=2 * np.full((1, 1), db))


def assert_close(found: Any, due: Any, within: Any) -> None:
    """Assert that arrays agree to `within`, elementwise, naming the worst place."""
    found, due = np.asarray(found, float), np.asarray(due, float)
    assert found.shape == due.shape, (found.shape, due.shape)
    excess = np.abs(found - due) - np.asarray(within, float)
    assert not np.isnan(excess).any(), f"NaN: found {found}, due {due}"
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    assert excess[worst] <= 0, (
        f"at {worst}: found {found[worst]!r}, due {due[worst]!r}, "
        f"too far by {excess[worst]:.3g}"
    )


def assert_params_close(found: Params, due: Params, within: Slack) -> None:
    assert_close(found.w, due.w, within.w)
    assert_close(found.b, due.b, within.b)
