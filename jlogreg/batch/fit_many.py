"""The public call for many problems that share their features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Float

from jlogreg.base.checks import AnyArray, check_array
from jlogreg.base.params import Params
from jlogreg.batch.chunks import Batch
from jlogreg.batch.problems import Problems
from jlogreg.batch.scheduling.results import Progress
from jlogreg.batch.scheduling.scheduler import solve_all
from jlogreg.batch.setup import setup_batch
from jlogreg.data.design import Design
from jlogreg.data.devices.deal import deal_over
from jlogreg.data.devices.spread import gather
from jlogreg.data.digest import digest
from jlogreg.fitting.fit import Fit
from jlogreg.solvers.driver import Solver

__all__ = ["fit_many"]


def fit_many(
    X: Float[AnyArray, "n m"] | Design,
    Y: Float[AnyArray, "K m"],
    *,
    weight: Float[AnyArray, "K m"] | None = None,
    offset: Float[AnyArray, "K m"] | None = None,
    l2: Any = 0.0,
    l1: Any = 0.0,
    jeffreys: Any = 0.0,
    bias: bool = True,
    solver: Solver | None = None,
    init: Params | None = None,
    tol: Any = None,
    max_steps: Any = None,
    memory_limit: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    resume: Progress | None = None,
) -> Fit:
    """Return the fits of K problems that share their features; host only.

    Shapes: X (n, m), the others (K, m), or (1, m) where all problems have the same;
    result Fit with a leading axis K, in nats. Each problem is that of `fit`, equation
    (8) of docs/derivation.md, and ends as it would alone: `jax.vmap(fit)` gives the
    same to rounding, under jit and with derivatives. X is held once. An invalid number
    in the rows of one problem makes its status BAD_INPUT and touches no other. Where an
    argument lies on a mesh of devices, each of them holds X and takes a part of the
    problems; all processes of the mesh call this alike, and have all results.

    Args:
        X: features, a column per sample: an array, a BCOO or a design.
        Y: labels, a row per problem.
        weight: at least 0; a weight of 0 excludes a sample, whatever it contains:
            folds, bootstrap replicates and missing labels are rows of weights.
        offset: added to the logits.
        l2: penalty, a number or a column (K, 1) of one for each problem.
        l1: penalty of the sizes |w|, likewise; with more than 128 features each problem
            is solved on a working set of them.
        jeffreys: as for `fit`, a number or a column (K, 1); in a column a 0 is treated
            as any other number.
        bias: as for `fit`.
        solver: as for `fit`. By default, without l1: Newton() up to n = 64, or in the
            span of the samples up to m = 512; else LBFGS(), whose metric problems with
            the same penalty share.
        init: where to start: w (n, 1), b (1, 1) for all, or w (K, n, 1), b (K, 1, 1).
        tol: as for `fit`.
        max_steps: as for `fit`.
        memory_limit: bytes that the problems under way on a device may take, in
            addition to the arguments and the result; by default half of the free
            memory.
        progress: called with a Progress now and then, of all processes; an error that
            it raises ends the call.
        resume: the last Progress of a call with the same arguments that was
            interrupted: the finished problems are not fitted again.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        TypeError: if an argument is traced: map `fit` with jax.vmap instead.
        ValueError: if a feature or a setting is out of range, NaN or infinite, or the
            memory limit is too small for one problem, or resume is of a call with
            other arguments.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit_many
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = fit_many(X, jnp.concatenate([y, 1 - y]))
        >>> [f"{w:.3f}" for w in found.params.w[:, 0, 0]], found.status.tolist()
        (['1.214', '-1.214'], [0, 0])
    """
    given = (X, Y, weight, offset, l2, init, l1, jeffreys)
    deal = deal_over(given)
    X, *rows = gather(given)
    if l1 is None:
        check_array("l1", l1)
    problems = Problems(*rows)
    batch_solver = setup_batch(X, problems, bias, solver, tol, max_steps)
    watched = progress is not None or resume is not None
    settings = (str(bias), type(solver).__name__, tol, max_steps)
    arguments = digest(X, problems, settings) if watched else ""
    batch = Batch.of(batch_solver, deal)
    return solve_all(batch, memory_limit, progress, resume, arguments)
