"""Draw problems, fit them, compare results, and compute the error that rounding makes.

The problems are those of `jlogreg.testing`, weighted all.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np
from hypothesis import strategies as st

from jlogreg import (
    Newton,
    NewtonCG,
    Params,
    Status,
    fit,
    hessian,
    testing,
    value_and_gradient,
)
from jlogreg.data import reduction
from jlogreg.testing import Kind, Problem
from jlogreg.testing.assertions import assert_close
from jlogreg.testing.strategies import SHAPES

__all__ = [
    "EPS",
    "HAZARDS",
    "SHAPE",
    "TOL",
    "WIDE",
    "Problem",
    "Slack",
    "assert_close",
    "assert_params_close",
    "compiled",
    "cost_and_derivatives",
    "cost_and_gradient",
    "entry",
    "fit_problem",
    "has_converged",
    "hessian_slack",
    "in_blocks",
    "leaf_pairs",
    "make_problem",
    "newton",
    "newton_cg",
    "problems",
    "same_bits",
    "seeds",
    "select_samples",
    "slack",
    "stack",
]

EPS = float(np.finfo(float).eps)
TOL = EPS**0.5
SHAPE, WIDE = (3, 20), (70, 6)  # fitted in the features, and in the span of the samples
HAZARDS = [
    Kind.PLAIN,
    Kind.ZERO_START,
    Kind.HUGE_LOGITS,
    Kind.SOFT_LABELS,
    Kind.ILL_SCALED,
]
seeds = st.integers(0, 2**32 - 1)


def problems(dtypes=(np.float32, np.float64), shapes=SHAPES, hazards=HAZARDS):
    return testing.problems(hazards, shapes=shapes, dtypes=dtypes, weighted=True)


def make_problem(shape, dtype, hazard="plain", seed=0, l2=0.01) -> Problem:
    """Return a problem as JAX's own arrays."""
    made = testing.make_problem(hazard, shape, dtype, seed=seed, l2=l2, weighted=True)
    return jax.device_put(made)


def select_samples(problem: Problem, selected: Any) -> Problem:
    """Return the problem of the selected samples."""
    rows = ("X", "y", "weight", "offset")
    return problem._replace(
        **{name: getattr(problem, name)[:, selected] for name in rows}
    )


def stack(*trees: Any) -> Any:
    """Return trees of equal shapes as one, with a leading axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def entry(tree: Any, k: int) -> Any:
    """Return the k-th of the trees that are stacked along the leading axis."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[k], tree)


def leaf_pairs(one: Any, other: Any) -> Any:
    """Return the leaves of two trees, one of each at a time."""
    return zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)


def same_bits(one: Any, other: Any) -> bool:
    """Return whether two trees are equal bit for bit, NaN included."""
    pairs = leaf_pairs(one, other)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def fit_problem(solver: Any, problem: Problem, max_steps: Any = 100) -> Any:
    """Return the fit of a problem, starting from its params."""
    X, y = problem.X, problem.y
    start = {"init": problem.params, "tol": TOL, "max_steps": max_steps}
    return fit(X, y, solver=solver, **start, **problem.options)


newton = jax.jit(partial(fit_problem, Newton()))
newton_cg = jax.jit(partial(fit_problem, NewtonCG()))


@jax.jit
def cost_and_gradient(params, problem):
    """Return the cost of a problem and its gradient, at other params."""
    return value_and_gradient(params, problem.X, problem.y, **problem.options)


@jax.jit
def cost_and_derivatives(problem):
    """Return the cost of a problem, its gradient and its Hessian."""
    arguments, options = problem.arguments, problem.options
    return *value_and_gradient(*arguments, **options), hessian(*arguments, **options)


def has_converged(result: Any) -> Any:
    return result.status == Status.CONVERGED


def compiled(caplog: Any, function: Any) -> Counter[str]:
    """Return how often each function is compiled while another runs."""
    caplog.clear()
    with caplog.at_level(logging.WARNING), jax.log_compiles():
        jax.block_until_ready(function())
    texts = [record.getMessage() for record in caplog.records]
    return Counter(text.split()[1] for text in texts if text.startswith("Compiling"))


@contextmanager
def in_blocks(samples: int = 1024) -> Iterator[None]:
    """Cut into blocks of so many samples whatever is compiled in this context."""
    jax.clear_caches()  # or what was compiled without would be found
    with mock.patch.multiple(reduction, BLOCK_ENTRIES=1, GRAM_SAMPLES=samples):
        yield
    jax.clear_caches()


class Slack(NamedTuple):
    """How far two roundings of the same quantity may be apart."""

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
    params = problem.params
    X, weight, offset, l2 = (
        np.asarray(array, float)
        for array in (problem.X, problem.weight, problem.offset, problem.l2)
    )
    w, b = np.asarray(params.w, float), np.asarray(params.b, float)
    n, m = X.shape
    eps = float(np.finfo(dtype or problem.X.dtype).eps)
    size_z = np.abs(w).T @ np.abs(X) + np.abs(b) + np.abs(offset)
    error_z = (n + 2) * eps * size_z
    error_dz = error_z / 4 + (m + 4) * eps
    error_loss = error_z + (m + 4) * eps * (size_z + 1)
    total = weight.sum()
    penalty = np.sum(l2 * w**2) / 2
    J = np.sum(weight * error_loss) / total + (n + 4) * eps * penalty
    dw = np.abs(X) @ (weight * error_dz).T / total + 4 * eps * l2 * np.abs(w)
    db = np.sum(weight * error_dz) / total
    return Slack(J=2 * float(J), w=2 * dw, b=2 * np.full((1, 1), db))


def hessian_slack(problem: Problem) -> np.ndarray:
    """Return how far two roundings of the Hessian may be apart, elementwise.

    The curvature a (1 - a) is at most 1/4 and moves by at most error_z / 10.
    """
    X = np.vstack([np.abs(problem.X), np.ones((1, problem.X.shape[1]))]).astype(float)
    w = np.abs(np.vstack(problem.params).astype(float))
    weight = np.asarray(problem.weight, float)
    eps = float(np.finfo(problem.X.dtype).eps)
    size_z = w.T @ X + np.abs(np.asarray(problem.offset, float))
    error = eps * ((len(X) + 2) * size_z / 10 + (X.shape[1] + 8) / 4)
    l2 = float(np.max(problem.l2))
    return 2 * ((X * weight * error) @ X.T / weight.sum() + 4 * eps * l2)


def assert_params_close(result: Params, expected: Params, within: Any) -> None:
    assert_close(result.w, expected.w, within.w)
    assert_close(result.b, expected.b, within.b)
