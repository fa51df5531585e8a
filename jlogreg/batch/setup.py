"""Set up a batch: check the problems, choose the solver, the shared part, the width."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jlogreg.base.arrays import on_host
from jlogreg.base.checks import check_count, refuse_traced
from jlogreg.base.programs import program
from jlogreg.batch.chunks import BatchSolver
from jlogreg.batch.problems import Problems, check_problems, unless_zero
from jlogreg.batch.scheduling.working_sets import uses_working_sets
from jlogreg.data.design import Dense, Design, check_design
from jlogreg.data.devices.deal import Deal, without_mesh
from jlogreg.data.pairwise import n_triples, pairwise, triplewise
from jlogreg.data.samples import (
    Samples,
    check_features,
    finite_samples,
    scale_weights,
)
from jlogreg.fitting.options import (
    check_l1_solver,
    check_limits,
    check_start,
    choose_solver,
    formulation_of,
    free_unknowns,
)
from jlogreg.fitting.solve import center_of, setup
from jlogreg.formulations.centering import centered
from jlogreg.formulations.primal import PRIMAL
from jlogreg.formulations.problem import Problem
from jlogreg.formulations.sparse.composite import COMPOSITE
from jlogreg.objective.jeffreys import check_parameters
from jlogreg.solvers.driver import Solver
from jlogreg.solvers.lbfgs import LBFGS
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG

__all__ = ["batch_width", "setup_batch"]

# A penalty that all weights of a problem have in common, whatever it is.
ONE_PENALTY: Any = np.zeros(())
# Each problem has a Hessian up to this number of features, or of samples in the dual.
MAX_FEATURES, MAX_SAMPLES = 64, 512
# Products of pairs of features that are held for Gram matrices, at most.
MAX_PAIR_ENTRIES = 2**28
# Entries of the rows of a chunk, which stay in the cache. No chunk is wider than
# MAX_WIDTH, nor, where memory allows, narrower than MIN_WIDTH, where its products would
# be slow.
ROW_ENTRIES, MAX_WIDTH, MIN_WIDTH = 2**20, 4096, 64
# Problems with features of their own share no product.
OWN_WIDTH = 16


@without_mesh
def setup_batch(
    X: Any,
    problems: Problems,
    bias: bool,
    solver: Any,
    tol: Any,
    max_steps: Any,
    penalties_differ: bool = False,
) -> BatchSolver:
    """Return a batch solver of the problems, checked, with the part that they share.

    Args:
        X: as for `fit_many`.
        problems: the rows that differ between the problems.
        bias: as for `fit_many`.
        solver: as for `fit_many`.
        tol: as for `fit_many`.
        max_steps: as for `fit_many`.
        penalties_differ: whether the penalty will vary in later calls.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        TypeError: if an argument is traced.
        ValueError: if a feature or a setting is out of range.
    """
    instead = "map fit with jax.vmap instead"
    refuse_traced("fit_many", instead, X, problems, tol, max_steps)
    # Check the arguments.
    X, finite = _check_features(X, problems.weight is not None)
    (n, m), dtype = X.shape, X.dtype
    problems, count = check_problems(problems, n, m, dtype)
    free = free_unknowns(bias, n, dtype)
    if problems.init is not None and not bias:
        check_start(problems.init, bias, name="init.")
    if problems.jeffreys is not None:
        check_parameters(free is None, X)
    given = (solver, unless_zero(problems.l1), dtype, problems.jeffreys)
    solver, l1 = check_l1_solver(*given)
    problems = problems._replace(l1=None if l1 is None else problems.l1)
    solver = solver or _choose_solver(X)
    limits = check_limits(solver, tol, max_steps, dtype)
    solver = Newton(keep_factor=False) if isinstance(solver, Newton) else solver
    # Prepare the part that the problems share.
    used = problems.used_samples(dtype)
    X, center = _centered(solver, X, used, free, problems.jeffreys is not None)
    penalties_differ |= len(problems.l2) > 1
    shared = _shared(solver, penalties_differ, X, used, problems.l2[0], free)
    valid = finite is None and problems.all_valid()
    one_row = problems.weight is not None and len(problems.weight) == 1
    if valid and one_row and problems.jeffreys is None:
        weight = scale_weights(jnp.asarray(problems.weight))
        problems = problems._replace(weight=weight)
    return BatchSolver(
        X=X,
        center=center,
        free=free,
        finite=finite,
        problems=problems,
        valid=valid,
        n_problems=count,
        solver=solver,
        limits=limits,
        shared=shared,
    )


def _choose_solver(X: Design) -> Solver:
    """Return the solver of many problems, each with one penalty for its weights."""
    solver = choose_solver(X, ONE_PENALTY, MAX_FEATURES, MAX_SAMPLES)
    return LBFGS() if isinstance(solver, NewtonCG) else solver


@partial(program, static_argnums=(0, 1))
def _shared(
    solver: Solver,
    penalties_differ: bool,
    X: Design,
    weight: Array | None,
    l2: Array,
    free: Array | None,
) -> Any:
    return setup(solver, _problem(X, weight, l2, free), penalties_differ)


def _problem(X: Design, weight: Array | None, l2: Array, free: Array | None) -> Problem:
    """Return a problem whose labels are not used."""
    y = jnp.zeros((1, X.shape[1]), X.dtype)
    return Problem(Samples(X, y, weight), l2, free)


def _centered(
    solver: Solver,
    X: Design,
    weight: Array | None,
    free: Array | None,
    has_prior: bool,
) -> tuple[Design, Array | None]:
    """Return the features less their center, and the center.

    For Newton's method with few features, with the products of all their pairs; with
    Jeffreys' prior, of their triples.
    """
    center, (n, m) = _center(X, weight, free), X.shape
    fits = n * (n + 1) // 2 * m <= MAX_PAIR_ENTRIES
    is_primal = formulation_of(solver, X, ONE_PENALTY) in (PRIMAL, COMPOSITE)
    whole = not uses_working_sets(solver, X)
    if fits and isinstance(X, Dense) and is_primal and whole:
        triples = has_prior and n_triples(n) * m <= MAX_PAIR_ENTRIES
        return _centered_products(triples, X.X, center), center
    return (X if center is None else centered(X, center)), center


@partial(program, static_argnums=0)
def _centered_products(triples: bool, X: Array, center: Array | None) -> Design:
    X = X if center is None else X - center
    return triplewise(X) if triples else pairwise(X)


@program
def _center(X: Design, weight: Array | None, free: Array | None) -> Array | None:
    return center_of(_problem(X, weight, jnp.zeros((), X.dtype), free))


def _check_features(X: Any, has_weights: bool) -> tuple[Design, Any]:
    """Return X with 0 for what is not finite, and a mask of the finite samples.

    The mask is None where all are finite. Without weights no sample is excluded, and
    what is not finite is an error.
    """
    X = check_design("X", X)
    if not has_weights:
        check_features("X", X)
        return X, None
    finite = finite_samples(X)
    return (X, None) if on_host(finite).all() else (X.zero_nonfinite(), finite)


def batch_width(batch: BatchSolver, limit: Any, deal: Deal) -> int:
    """Return the number of problems to solve side by side on a device, a power of 2.

    Raises:
        DtypeError: if the memory limit is not a whole number.
        ValueError: if it is too small for one problem.
    """
    if limit is None:
        limit = _free_memory(deal) // 2
    limit = check_count("memory_limit", limit, least=0, below=2**63)
    each, m = batch.bytes_each(), batch.row_entries()
    if each > limit:
        raise ValueError(
            f"memory_limit is {limit} bytes, but one problem takes about {each}: "
            "give at least so many"
        )
    own_features = batch.problems.features is not None
    least = OWN_WIDTH if own_features else MIN_WIDTH
    width = min(max(ROW_ENTRIES // m, least), MAX_WIDTH, limit // each)
    most = -(-batch.n_problems // deal.total)
    bits = (most - 1).bit_length()
    # Sets of many widths come in chunks of few.
    enough = 1 << (bits + bits % 2 if own_features else bits)
    return min(1 << (width.bit_length() - 1), enough)


def _free_memory(deal: Deal) -> int:
    """Return the number of free bytes where the problems of a device will be."""
    stats = (deal.devices[0] or jax.local_devices()[0]).memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return free // len(deal.devices)
