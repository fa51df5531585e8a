"""Choose a penalty: every one on every fold in one call.

A fold is a row of weights and a penalty a number of the problem's own, so all of it is
`fit_many`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from jlogreg.arrays import Params, stack
from jlogreg.bernoulli import log_loss, sigmoid
from jlogreg.checks import AnyArray, check_matrix, check_range
from jlogreg.design import Design, check_design
from jlogreg.fit import Fit
from jlogreg.many import Progress, fit_rows
from jlogreg.predict import logits
from jlogreg.rows import Repeated, Rows
from jlogreg.solvers.driver import Solver
from jlogreg.status import Status
from jlogreg.weights import fold_weights

__all__ = ["CrossValidation", "cross_validate"]

# Problems whose held-out losses are taken side by side.
TOGETHER = 256

Rule = Literal["best", "one_standard_error"]


class CrossValidation(NamedTuple):
    """Hold what every penalty did on every fold, for K rows of labels.

    Shapes: l2 (L, 1); fold_loss (K, L, F), the mean log loss of the samples that a fold
    holds out; loss (K, L), of all held-out samples, and standard_error (K, L), the
    standard deviation of the folds' losses over the square root of F; best (K, 1), the
    penalty with the smallest loss, by its row in l2; one_standard_error (K, 1), the
    largest whose loss is at most one standard error of the best above that; status
    (K, L, F) of the fits; probability (K, m), that of label 1 for each sample by the
    fit at the chosen penalty that did not see it, NaN for a sample that no fold holds
    out; fit, with a leading axis K, of all samples at the penalty that was chosen. A
    penalty with a fit that did not converge has a loss of NaN and is not chosen.
    """

    l2: Float[Array, "L 1"]
    fold_loss: Float[Array, "K L F"]
    loss: Float[Array, "K L"]
    standard_error: Float[Array, "K L"]
    best: Int[Array, "K 1"]
    one_standard_error: Int[Array, "K 1"]
    status: Int[Array, "K L F"]
    probability: Float[Array, "K m"]
    fit: Fit


def cross_validate(
    X: Float[AnyArray, "n m"] | Design,
    Y: Float[AnyArray, "K m"],
    l2: Float[AnyArray, "L 1"],
    *,
    weight: Float[AnyArray, "K m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    folds: int | Float[AnyArray, "F m"] = 5,
    key: Any = None,
    rule: Rule = "best",
    solver: Solver | None = None,
    tol: Any = None,
    max_steps: Any = None,
    memory_limit: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> CrossValidation:
    """Return how well each penalty predicts held-out samples, and the refit; host only.

    Shapes: X (n, m), Y (K, m), one row of labels or many, l2 (L, 1), weight (1, m) or
    (K, m), offset (1, m). The K L F fits are one call of `fit_many` on one copy of X,
    the refit another. Losses are those of equation (6) of docs/derivation.md, in nats.

    Args:
        X: features, a column per sample: an array, a BCOO or a design.
        Y: labels.
        l2: penalties, at least 0.
        weight: at least 0; a weight of 0 leaves a sample out of everything.
        offset: added to the logits.
        folds: how many, or a row of weights for each: 0 where a sample is held out.
        key: of jax.random, deals the samples to the folds; by default
            jax.random.key(0).
        rule: which penalty the refit has: "best", or the larger "one_standard_error".
        solver: as for `fit_many`, and so the others.
        tol: see there.
        max_steps: see there.
        memory_limit: see there.
        progress: see there.

    Raises:
        DtypeError, RankError, ShapeError: an argument is no such array.
        TypeError: an argument is traced.
        ValueError: a number is out of range, a fold holds no sample out, or the rule
            is another one.
    """
    if rule not in ("best", "one_standard_error"):
        raise ValueError(
            f'rule must be "best" or "one_standard_error", but is {rule!r}'
        )
    X = check_design("X", X)
    given = _check(X, Y, l2, weight, offset, folds, key)
    many = partial(
        fit_rows,
        X,
        solver=solver,
        tol=tol,
        max_steps=max_steps,
        memory_limit=memory_limit,
    )
    grid = _Grid.of(given)
    problems = Rows(
        Repeated(given.Y, grid.label),
        Repeated(grid.trained, grid.row),
        given.offset,
        Repeated(given.l2, grid.penalty),
        None,
    )
    found = many(problems, progress=progress)
    fold_loss = _losses(X, given, grid, found)
    loss, standard_error = _summary(fold_loss, grid.held)
    best, within = _choose(loss, standard_error, given.l2)
    chosen = np.asarray(best if rule == "best" else within)[:, 0]
    shape = fold_loss.shape
    return CrossValidation(
        l2=given.l2,
        fold_loss=fold_loss,
        loss=loss,
        standard_error=standard_error,
        best=best,
        one_standard_error=within,
        status=found.status.reshape(shape),
        probability=_probability(X, given, found.params, grid.at(chosen)),
        fit=many(Rows(given.Y, given.weight, given.offset, given.l2[chosen], None)),
    )


class _Given(NamedTuple):
    """Hold the arguments, checked; folds (F, m) are rows of weights."""

    Y: Array
    l2: Array
    weight: Array | None
    offset: Array | None
    folds: Array


def _check(
    X: Design, Y: Any, l2: Any, weight: Any, offset: Any, folds: Any, key: Any
) -> _Given:
    """Return the arguments as arrays."""
    (_, m), dtype = X.shape, X.dtype
    Y = check_matrix("Y", Y, ("K", m), dtype)
    l2 = check_range("l2", check_matrix("l2", l2, ("L", 1), dtype), 0.0)
    if weight is not None:
        rows = 1 if len(weight) == 1 else len(Y)
        weight = check_matrix("weight", weight, (rows, m), dtype)
    if offset is not None:
        offset = check_matrix("offset", offset, (1, m), dtype)
    if getattr(folds, "ndim", 0) == 0:
        key = jax.random.key(0) if key is None else key
        folds = fold_weights(key, m, folds, dtype)
    folds = check_range("folds", check_matrix("folds", folds, ("F", m), dtype), 0.0)
    if not (np.asarray(folds) == 0).any(axis=1).all():
        raise ValueError("folds has a row without a 0: it holds out no sample")
    return _Given(Y, l2, weight, offset, folds)


class _Grid(NamedTuple):
    """Hold the problems: which label, penalty and row of weights each has.

    Shapes: label, penalty and row (K L F,) count from 0; trained and held (R, m), the
    weights of the samples that a fit sees, and of those that it does not, are a row a
    fold, or a row a label and fold where weights differ between labels.
    """

    shape: tuple[int, int, int]
    label: np.ndarray
    penalty: np.ndarray
    row: np.ndarray
    trained: Array
    held: Array

    @classmethod
    def of(cls, given: _Given) -> _Grid:
        """Return all the problems."""
        shape = (len(given.Y), len(given.l2), len(given.folds))
        label, penalty, fold = np.indices(shape).reshape(3, -1)
        trained, held = given.folds, (given.folds == 0).astype(given.folds.dtype)
        if given.weight is None:
            return cls(shape, label, penalty, fold, trained, held)
        both = (rows[None] * given.weight[:, None] for rows in (trained, held))
        trained, held = (rows.reshape(-1, rows.shape[2]) for rows in both)
        row = fold if len(given.weight) == 1 else label * shape[2] + fold
        return cls(shape, label, penalty, row, trained, held)

    def at(self, chosen: np.ndarray) -> np.ndarray:
        """Return the numbers (K, F) of the problems at one penalty a label (K,)."""
        K, L, F = self.shape
        return (np.arange(K) * L + chosen)[:, None] * F + np.arange(F)


def _losses(X: Design, given: _Given, grid: _Grid, found: Fit) -> Float[Array, "K L F"]:
    """Return the mean log losses of the held-out samples; NaN where a fit failed."""
    loss = _held_out(X, given, grid.held, found.params, grid.label, grid.row)
    loss = jnp.where(found.status == Status.CONVERGED, loss, jnp.nan)
    return loss.reshape(grid.shape)


@jax.jit
def _held_out(
    X: Design, given: _Given, held: Array, params: Params, label: Array, row: Array
) -> Array:
    def one(problem: tuple[Params, Array, Array]) -> Array:
        params, label, row = problem
        z = logits(params, X) + (0.0 if given.offset is None else given.offset)
        weight = held[row][None]
        losses = jnp.where(weight > 0, log_loss(z, given.Y[label][None]), 0.0)
        return jnp.sum(weight * losses) / weight.sum()

    return lax.map(one, (params, label, row), batch_size=TOGETHER)


@jax.jit
def _summary(fold_loss: Array, held: Array) -> tuple[Array, Array]:
    """Return the mean over all held-out samples (K, L), and its standard error."""
    K, _, F = fold_loss.shape
    size = jnp.broadcast_to(held.sum(axis=1).reshape(-1, F), (K, F))[:, None]
    loss = jnp.sum(size * fold_loss, axis=2) / size.sum(axis=2)
    return loss, fold_loss.std(axis=2, ddof=1) / F**0.5


@jax.jit
def _choose(loss: Array, error: Array, l2: Array) -> tuple[Array, Array]:
    """Return the rows in l2 (K, 1) of the smallest loss, and of the simplest near it.

    Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 3.4.3.
    """
    usable = jnp.where(jnp.isnan(loss), jnp.inf, loss)
    best = jnp.argmin(usable, axis=1, keepdims=True)
    least = jnp.take_along_axis(loss + error, best, axis=1)
    larger = jnp.where(usable <= least, l2[:, 0][None], -1.0)
    within = jnp.argmax(larger, axis=1, keepdims=True)
    return best, jnp.where(jnp.isnan(least), best, within)


@jax.jit
def _probability(
    X: Design, given: _Given, params: Params, problems: Array
) -> Float[Array, "K m"]:
    """Return the probability of label 1 by the fit that did not see the sample.

    Shapes: problems (K, F), the numbers of the fits at the chosen penalty.
    """
    out = (given.folds == 0).astype(given.Y.dtype)

    def one(folds: Array) -> Array:
        models = stack(jax.tree.map(lambda leaf: leaf[folds], params))
        z = logits(models, X)
        a = sigmoid(z if given.offset is None else z + given.offset)
        return jnp.sum(out * a, axis=0) / out.sum(axis=0)

    return lax.map(one, problems, batch_size=TOGETHER)
