"""Cross-validation of penalties: each of them on every fold, in one call.

A fold is a row of weights and a penalty a number of the problem's own, so all the fits
are one batch, solved along the path of penalties.
"""

# Over 300 lines: the record of the results, and the call that makes it.

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jlogreg.base.arrays import as_array, largest
from jlogreg.base.checks import (
    AnyArray,
    check_key,
    check_matrix,
    check_range,
    refuse_traced,
)
from jlogreg.base.formatting import as_html, brief, record_text
from jlogreg.base.params import check_bias
from jlogreg.base.shapes import as_labels, check_orientation
from jlogreg.base.status import count_statuses
from jlogreg.batch.problems import Gathered, Problems
from jlogreg.batch.resampling import fold_weights
from jlogreg.batch.scheduler import Progress, solve_path
from jlogreg.batch.setup import setup_batch
from jlogreg.batch.validation import (
    ValidationData,
    choose_penalty,
    held_out_losses,
    held_out_metrics,
    summarize_losses,
    unseen_probability,
    without_undecided,
)
from jlogreg.data.design import Design, check_design
from jlogreg.data.devices import gather
from jlogreg.data.samples import check_features, check_weight
from jlogreg.fitting.fit import Fit
from jlogreg.fitting.regularization_path import penalty_grid
from jlogreg.metrics.named import check_names
from jlogreg.objective.penalties import check_grid
from jlogreg.solvers.driver import Solver

__all__ = ["CrossValidation", "cross_validate"]

INSTEAD = "map regularization_path over rows of weights with jax.vmap instead"


Rule = Literal["best", "one_standard_error"]
Reduction = Literal["mean", "sum"]


class CrossValidation(NamedTuple):
    """The results of every penalty on every fold, for K rows of labels.

    Shapes: l2 (L, 1), and l1 (L, 1) or None; fold_loss (K, L, F), the mean log loss of
    the samples that a fold holds out; loss (K, L), that of all held-out samples, and
    standard_error (K, L), the standard deviation of the folds' losses over the square
    root of F; best (K, 1), the penalty with the smallest loss, by its row in l2;
    one_standard_error (K, 1), the largest penalty, by l1 and then l2, whose loss is at
    most one standard error of the best above that; status (K, L, F) of the fits;
    probability (K, m), that of label 1 for each sample by
    the fit at the chosen penalty that did not see it, NaN for a sample that no fold
    holds out, or where that fit failed; path, the fits of all samples, with leading
    axes K and L, and fit, those of the chosen penalties, with a leading axis K;
    fold_fits, those of the folds, with leading axes K, L and F; metrics, by name, of
    the samples that a fold holds out (K, L, F), NaN where they are not defined. A
    penalty with a fit that did not converge has a loss of NaN and is not chosen. If no
    penalty is left, best is -1 and fit has the status of a fold that failed. A row of
    labels with a number out of range ends BAD_INPUT, as in `fit_many`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import cross_validate
        >>> X = jnp.arange(12.0)[None]
        >>> y = jnp.array([[0, 0, 1, 0, 0, 0, 1, 1, 0, 1, 1, 1]]).astype(X.dtype)
        >>> l2 = jnp.array([[0.01], [0.1], [1.0], [10.0]])
        >>> found = cross_validate(X, y, l2, folds=3)
        >>> [f"{loss:.2f}" for loss in found.loss[0]]  # of each penalty
        ['1.70', '0.85', '0.60', '0.64']
        >>> found.best.tolist(), found.one_standard_error.tolist()  # by row
        ([[2]], [[3]])
    """

    l2: Float[Array, "L 1"]
    fold_loss: Float[Array, "K L F"]
    loss: Float[Array, "K L"]
    standard_error: Float[Array, "K L"]
    best: Int[Array, "K 1"]
    one_standard_error: Int[Array, "K 1"]
    status: Int[Array, "K L F"]
    probability: Float[Array, "K m"]
    path: Fit
    fit: Fit
    fold_fits: Fit
    metrics: dict[str, Any]
    l1: Float[Array, "L 1"] | None = None

    @property
    def at_edge(self) -> Bool[np.ndarray, "K 1"]:
        """Whether the best penalty is the smallest or the largest: another may win."""
        places = np.lexsort([np.asarray(one)[:, 0] for one in self._sizes()])
        return (self.best == places[0]) | (self.best == places[-1])

    def __repr__(self) -> str:
        """Return the choice in short: what is best, and how the fits ended."""
        return record_text("CrossValidation", self._described())

    def _repr_html_(self) -> str:
        return as_html(self._described())

    def _sizes(self) -> list[Any]:
        return [self.l2] if self.l1 is None else [self.l2, self.l1]

    def _described(self) -> dict[str, str]:
        K, _, F = self.fold_loss.shape
        found = np.asarray(self.best)[:, 0] >= 0
        rows = np.asarray(self.best)[found, 0]
        texts = {"rows": str(K), "folds": str(F)}
        grids = zip(("l2", "l1"), self._sizes(), strict=False)
        given = {name: sizes for name, sizes in grids if np.asarray(sizes).any()}
        texts |= {name: brief(sizes) for name, sizes in given.items()}
        if rows.size:
            loss = np.asarray(self.loss)[found, rows]
            for name, sizes in given.items():
                texts[f"best {name}"] = brief(np.asarray(sizes)[rows])
            texts["loss"] = brief(loss[:, None])
            if edges := int(self.at_edge[found].sum()):
                texts["best at the edge of the grid"] = f"{edges} of {K}"
        return {**texts, "status": count_statuses(self.status)}

    @property
    def n_selected(self) -> Int[Array, "K L"]:
        """The number of weights that are not 0, in the fits of all samples."""
        return (self.path.params.w != 0).sum(axis=(2, 3))


def cross_validate(
    X: Float[AnyArray, "n m"] | Design,
    Y: Float[AnyArray, "K m"],
    l2: Any = None,
    *,
    l1: Any = 0.0,
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
            rule, the reduction or a metric is another one.

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
    X, *rows = gather(arrays)
    X = check_design("X", X)
    of_sum = reduction == "sum"
    given = _check(X, *rows, bias=check_bias(bias), of_sum=of_sum)
    settings = (bias, solver, tol, max_steps, of_sum)
    fits = _fits(X, given, *settings, memory_limit, progress)
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
    if l1 is None or (l2 is None and getattr(l1, "ndim", 0) == 0):
        name = "l1" if l1 is None else "l2"
        grid = penalty_grid(X, Y, name, weight=weight, offset=offset, bias=bias)
        grid = grid * m if of_sum else grid
        l2, l1 = (0.0 if l2 is None else l2, grid) if name == "l1" else (grid, l1)
    l2, l1 = check_grid(0.0 if l2 is None else l2, l1, dtype)
    if weight is not None:
        weight = check_weight(check_matrix("weight", weight, ("K", m)))
        rows = 1 if len(weight) == 1 else len(Y)
        weight = check_matrix("weight", weight, (rows, m), dtype)
    if offset is not None:
        offset = check_matrix("offset", offset, (1, m), dtype)
    if getattr(folds, "ndim", 0) == 0:
        key = jax.random.key(0) if key is None else check_key(key)
        folds = fold_weights(key, m, folds, dtype=dtype)
    folds = check_range("folds", check_matrix("folds", folds, ("F", m), dtype), 0.0)
    if not (np.asarray(folds) == 0).any(axis=1).all():
        raise ValueError("folds has a row without a 0: it holds out no sample")
    return ValidationData(Y, l2, weight, offset, folds, l1)


def _fits(
    X: Design,
    given: ValidationData,
    bias: bool,
    solver: Solver | None,
    tol: Any,
    max_steps: Any,
    of_sum: bool,
    memory_limit: int | None,
    progress: Callable[[Progress], None] | None,
) -> Fit:
    """Return the fits (K, L, F + 1), on the host: of each fold, and of all samples."""
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
    batch = setup_batch(X, problems, bias, solver, tol, max_steps, l2.size > 1)
    path = solve_path(batch, l2, l1, memory_limit, progress)

    def axes(leaf: np.ndarray) -> np.ndarray:
        return np.swapaxes(leaf.reshape(L, K, F + 1, *leaf.shape[2:]), 0, 1)

    return jax.tree.map(axes, path)
