"""Cross-validation of penalties: each of them on every fold, in one call.

A fold is a row of weights and a penalty a number of the problem's own, so all the fits
are one batch, solved along the path of penalties.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Float

from jlogreg.base.arrays import as_array, largest
from jlogreg.base.checks import (
    AnyArray,
    check_key,
    check_matrix,
    check_range,
    refuse_traced,
)
from jlogreg.base.params import check_bias
from jlogreg.base.shapes import as_labels, check_orientation
from jlogreg.batch.chunks import Batch
from jlogreg.batch.problems import Gathered, Problems
from jlogreg.batch.resampling import fold_weights
from jlogreg.batch.scheduling.results import Progress
from jlogreg.batch.scheduling.scheduler import solve_path
from jlogreg.batch.setup import setup_batch
from jlogreg.batch.validation import (
    CrossValidation,
    ValidationData,
    choose_penalty,
    held_out_losses,
    held_out_metrics,
    summarize_losses,
    unseen_probability,
    without_undecided,
)
from jlogreg.data.design import Design, check_design
from jlogreg.data.devices.deal import Deal, deal_over
from jlogreg.data.devices.spread import gather
from jlogreg.data.samples import check_features, check_weight_rows
from jlogreg.fitting.fit import Fit
from jlogreg.fitting.penalty_grid import penalty_grid
from jlogreg.metrics.named import check_names
from jlogreg.objective.penalties import check_grid
from jlogreg.solvers.driver import Solver

__all__ = ["cross_validate"]

INSTEAD = "map regularization_path over rows of weights with jax.vmap instead"


Rule = Literal["best", "one_standard_error"]
Reduction = Literal["mean", "sum"]


def cross_validate(
    X: Float[AnyArray, "n m"] | Design,
    Y: Float[AnyArray, "K m"],
    l2: Any = None,
    *,
    l1: Any = 0.0,
    relaxed: bool = False,
    reduction: Reduction = "mean",
    weight: Float[AnyArray, "K m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    bias: bool = True,
    folds: int | Float[AnyArray, "F m"] = 5,
    key: Any = None,
    rule: Rule = "best",
    metrics: Sequence[str] = (),
    solver: Solver | None = None,
    tol: Any = None,
    max_steps: Any = None,
    memory_limit: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> CrossValidation:
    """Return how well each penalty predicts held-out samples, and the refit; host only.

    Shapes: X (n, m), Y (K, m), one row of labels or many, l2 or l1 (L, 1), weight
    (1, m) or (K, m), offset (1, m). All labels on all folds, and on all samples, are
    fitted side by side as by `fit_many`, on one copy of X, each penalty from the next
    larger one. Losses are those of equation (6) of docs/derivation.md, in nats.

    Args:
        X: features, a column per sample: an array, a BCOO or a design.
        Y: labels.
        l2: penalties of half the squares of w, at least 0; by default those of
            `penalty_grid`, or 0 if l1 is a column or None.
        l1: penalties of the sizes |w|: a column in place of l2, or row by row beside
            it, as in l1 = 0.5 s, l2 = 0.5 s; or a number, or l2 may be one. None for
            those of `penalty_grid`.
        relaxed: whether each fit, of a fold, too, is followed by one without l1 of the
            features that it has chosen, which is then the result.
        reduction: what penalties are added to. In the "mean" of the losses all fits
            have the same; with "sum" that of a fit is l2 over the sum of its weights,
            so that l2 is scikit-learn's 1/C; l1 likewise.
        weight: at least 0; a weight of 0 excludes a sample from everything.
        offset: added to the logits.
        bias: as for `fit`.
        folds: how many, or a row of weights for each: 0 where a sample is held out.
        key: of jax.random, deals the samples to the folds; by default
            jax.random.key(0).
        rule: which penalty the refit has: "best", or the larger "one_standard_error".
        metrics: the names of functions of `jlogreg.metrics`, such as "roc_auc", to
            report beside the loss, each with its default settings.
        solver: as for `fit_many`.
        tol: as for `fit_many`.
        max_steps: as for `fit_many`.
        memory_limit: as for `fit_many`.
        progress: as for `fit_many`.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        TypeError: if an argument is traced.
        ValueError: if a number is out of range, a fold holds no sample out, or the
            rule, the reduction or a metric is another one, or relaxed has no l1.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import cross_validate
        >>> X = jnp.arange(12.0)[None]
        >>> y = jnp.array([[0, 0, 1, 0, 0, 0, 1, 1, 0, 1, 1, 1]]).astype(X.dtype)
        >>> l2 = jnp.array([[0.01], [0.1], [1.0], [10.0]])
        >>> chosen = cross_validate(X, y, l2, folds=3)
        >>> float(l2[chosen.best[0, 0], 0])
        1.0
        >>> reported = cross_validate(X, y, l2, folds=3, metrics=["roc_auc", "brier"])
        >>> reported.metrics["roc_auc"].shape  # of each label, penalty and fold
        (1, 4, 3)
    """
    if rule not in ("best", "one_standard_error"):
        raise ValueError(
            f'rule must be "best" or "one_standard_error", but is {rule!r}'
        )
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction must be "mean" or "sum", but is {reduction!r}')
    names = check_names("metrics", metrics)
    arrays = (X, Y, l2, l1, weight, offset, folds, key)
    refuse_traced("cross_validate", INSTEAD, *arrays, tol, max_steps)
    deal = deal_over(arrays)
    X, *rows = gather(arrays)
    X = check_design("X", X)
    of_sum = reduction == "sum"
    given = _check(X, *rows, bias=check_bias(bias), of_sum=of_sum)
    settings = (bias, solver, tol, max_steps, of_sum, bool(relaxed))
    fits = _fits(X, given, deal, *settings, memory_limit, progress)
    of_folds = jax.tree.map(lambda leaf: leaf[:, :, :-1], fits)
    path = jax.tree.map(lambda leaf: leaf[:, :, -1], fits)
    fold_loss = held_out_losses(X, given, of_folds)
    loss, standard_error = summarize_losses(fold_loss, given)
    best, within = choose_penalty(loss, standard_error, given.sizes())
    chosen = np.asarray(best if rule == "best" else within)[:, 0]
    label = np.arange(len(chosen))
    unseen, fit = jax.tree.map(lambda leaf: leaf[label, chosen], (of_folds, path))
    fit = without_undecided(fit, unseen, chosen)
    return CrossValidation(
        l2=given.l2,
        fold_loss=fold_loss,
        loss=loss,
        standard_error=standard_error,
        best=best,
        one_standard_error=within,
        status=as_array(of_folds.status),
        probability=unseen_probability(X, given, unseen),
        path=jax.tree.map(as_array, path),
        fit=jax.tree.map(as_array, fit),
        fold_fits=jax.tree.map(as_array, of_folds),
        metrics=held_out_metrics(names, X, given, of_folds) if names else {},
        l1=given.l1,
    )


def _check(
    X: Design,
    Y: Any,
    l2: Any,
    l1: Any,
    weight: Any,
    offset: Any,
    folds: Any,
    key: Any,
    *,
    bias: bool,
    of_sum: bool,
) -> ValidationData:
    """Return the arguments as arrays."""
    (_, m), dtype = X.shape, X.dtype
    if weight is None:
        check_features("X", X)
    check_orientation("X", X.shape, "Y", Y)
    Y = check_matrix("Y", as_labels(Y, dtype), ("K", m), dtype)
    if weight is not None:
        weight = check_weight_rows(weight, len(Y), m, dtype)
    if l1 is None or (l2 is None and getattr(l1, "ndim", 0) == 0):
        name = "l1" if l1 is None else "l2"
        grid = penalty_grid(X, Y, name, weight=weight, offset=offset, bias=bias)
        grid = grid * m if of_sum else grid
        l2, l1 = (0.0 if l2 is None else l2, grid) if name == "l1" else (grid, l1)
    l2, l1 = check_grid(0.0 if l2 is None else l2, l1, dtype)
    if offset is not None:
        offset = check_matrix("offset", offset, (1, m), dtype)
    if getattr(folds, "ndim", 0) == 0:
        key = jax.random.key(0) if key is None else check_key(key)
        folds = fold_weights(key, m, folds, dtype=dtype)
    folds = check_range("folds", check_matrix("folds", folds, ("F", m), dtype), 0.0)
    if not (np.asarray(folds) == 0).any(axis=1).all():
        raise ValueError(
            "folds has a row without a 0: it holds out no sample; write 0 for those "
            "that it holds out"
        )
    given = {"Y": Y, "l2": l2, "weight": weight, "offset": offset, "l1": l1}
    return ValidationData.of(folds, **given)


def _fits(
    X: Design,
    given: ValidationData,
    deal: Deal,
    bias: bool,
    solver: Solver | None,
    tol: Any,
    max_steps: Any,
    of_sum: bool,
    relaxed: bool,
    memory_limit: int | None,
    progress: Callable[[Progress], None] | None,
) -> Fit:
    """Return the fits (K, L, F + 1), on the host: of each fold, and of all samples."""
    if relaxed and given.l1 is None:
        raise ValueError("relaxed is about the features that l1 chooses: give l1, too")
    K, L, F = len(given.Y), len(given.l2), len(given.folds)
    folds = np.asarray(given.folds)
    seen = np.concatenate([folds, np.ones_like(folds[:1])])
    if given.weight is not None:
        weight = np.asarray(given.weight)
        seen = (weight[:, None] * seen[None]).reshape(-1, seen.shape[1])
    label, fold = np.indices((K, F + 1)).reshape(2, -1)
    row = label * (F + 1) + fold if len(seen) > F + 1 else fold
    labels, weights = Gathered(given.Y, label), Gathered(seen, row)
    l2, l1 = jax.device_get((given.l2, given.l1))
    if of_sum:
        total = seen.sum(axis=1)[row][None]
        divisor = np.where(total > 0, total, 1)
        l2, l1 = l2 / divisor, None if l1 is None else l1 / divisor
    of_sizes = None if l1 is None else largest(l1)[None, None]
    problems = Problems(labels, weights, given.offset, l2[:1, :1], None, of_sizes)
    batch_solver = setup_batch(X, problems, bias, solver, tol, max_steps, l2.size > 1)
    batch = Batch.of(batch_solver, deal)
    path = solve_path(batch, l2, l1, memory_limit, progress, relaxed)

    def axes(leaf: np.ndarray) -> np.ndarray:
        return np.swapaxes(leaf.reshape(L, K, F + 1, *leaf.shape[2:]), 0, 1)

    return jax.tree.map(axes, path)
