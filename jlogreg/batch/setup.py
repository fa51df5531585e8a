"""Plan many problems: what they share, how they are solved, how many side by side."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jlogreg.base.arrays import power_of_two
from jlogreg.base.checks import check_count, refuse_traced
from jlogreg.batch.chunks import BatchSolver
from jlogreg.batch.problems import Problems, check_problems
from jlogreg.data.design import Dense, Design, check_design
from jlogreg.data.pairwise import pairwise
from jlogreg.data.samples import Samples, finite_samples
from jlogreg.fitting.options import check_limits, check_solver
from jlogreg.fitting.solve import setup
from jlogreg.formulations.dual import dual_applies
from jlogreg.formulations.problem import Problem
from jlogreg.solvers.driver import Solver
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG

__all__ = ["batch_width", "setup_batch"]

# Up to so many features, or samples where they are fewer, each problem has a Hessian.
MAX_NEWTON_FEATURES, MAX_DUAL_SAMPLES = 64, 512


# Up to so many products of pairs of features are held for Gram matrices.
MAX_PAIR_ENTRIES = 2**28


# Entries of the rows of a chunk: they stay in the cache. No chunk is wider than WIDEST,
# nor, where memory allows, narrower than its products need to be fast.
ROW_ENTRIES, MAX_WIDTH, MIN_MEMORY_WIDTH = 2**20, 4096, 64


def setup_batch(
    X: Any,
    rows: Problems,
    solver: Any,
    tol: Any,
    max_steps: Any,
    penalties_differ: bool = False,
) -> BatchSolver:
    """Return the problems, checked, with what they share and how they are solved.

    Args:
        X: as for `fit_many`, and so solver, tol and max_steps.
        rows: what differs between the problems.
        solver: see there.
        tol: see there.
        max_steps: see there.
        penalties_differ: whether penalties will differ that do not yet.

    Raises:
        DtypeError, RankError, ShapeError: an argument is no such array.
        TypeError: an argument is traced.
        ValueError: a feature or a setting is out of range.
    """
    instead = "map fit with jax.vmap instead"
    refuse_traced("fit_many", instead, X, rows, tol, max_steps)
    X, finite = _check_features(X, rows.weight is not None)
    (n, m), dtype = X.shape, X.dtype
    rows, count = check_problems(rows, n, m, dtype)
    solver = check_solver(solver) or _choose_solver(X)
    spans = isinstance(solver, Newton) and dual_applies(X, jnp.zeros(()))
    if isinstance(solver, Newton) and not spans and type(X) is Dense:
        X = pairwise(X.X) if n * (n + 1) // 2 * m <= MAX_PAIR_ENTRIES else X
    limits = check_limits(solver, tol, max_steps, dtype)
    solver = Newton(keep_factor=False) if isinstance(solver, Newton) else solver
    penalties_differ |= len(rows.l2) > 1
    shared = _share(solver, penalties_differ, X, rows.used(dtype), rows.l2[0])
    good = finite is None and rows.good()
    if good and rows.weight is not None and len(rows.weight) == 1:
        weight = jnp.asarray(rows.weight)
        rows = rows._replace(weight=weight / power_of_two(weight))
    return BatchSolver(X, finite, rows, good, count, solver, limits, shared)


@partial(jax.jit, static_argnums=(0, 1))
def _share(
    solver: Solver, varies: bool, X: Design, weight: Array | None, l2: Array
) -> Any:
    y = jnp.zeros((1, X.shape[1]), X.dtype)
    return setup(solver, Problem(Samples(X, y, weight), l2), varies)


def _choose_solver(X: Design) -> Solver:
    n, m = X.shape
    few = (
        m <= MAX_DUAL_SAMPLES
        if dual_applies(X, jnp.zeros(()))
        else n <= MAX_NEWTON_FEATURES
    )
    return Newton() if few else NewtonCG()


def _check_features(X: Any, weights: bool) -> tuple[Design, Any]:
    """Return X with 0 for what is not finite, and which samples were finite."""
    X = check_design("X", X)
    if not weights:
        X.check_values("X")
        return X, None
    finite = finite_samples(X)
    return (X, None) if finite.all() else (X.zero_nonfinite(), finite)


def batch_width(lanes: BatchSolver, limit: Any) -> int:
    """Return how many problems to solve side by side: a power of 2.

    Raises:
        DtypeError: the memory limit is no whole number.
        ValueError: it is too small for one problem.
    """
    if limit is None:
        limit = _free_memory() // 2
    limit = check_count("memory_limit", limit, least=0, below=2**63)
    each, m = lanes.bytes_each(), lanes.X.shape[1]
    if each > limit:
        raise ValueError(
            f"memory_limit is {limit} bytes, but one problem takes about {each}"
        )
    width = min(max(ROW_ENTRIES // m, MIN_MEMORY_WIDTH), MAX_WIDTH, limit // each)
    enough = 1 << (lanes.total - 1).bit_length()
    return min(1 << (width.bit_length() - 1), enough)


def _free_memory() -> int:
    """Return how many bytes are free where the problems will be."""
    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
