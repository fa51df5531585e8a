"""What fits without some samples say of these: losses, metrics, a choice, a record."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jlogreg.base.arrays import as_array
from jlogreg.base.formatting import as_html, brief, record_text
from jlogreg.base.params import Params, stack
from jlogreg.base.programs import program
from jlogreg.base.status import Status, count_statuses
from jlogreg.data.design import Design
from jlogreg.fitting.fit import Fit
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.bernoulli import sigmoid
from jlogreg.losses.elementwise import log_loss
from jlogreg.metrics.named import together
from jlogreg.metrics.rows import by_row
from jlogreg.objective.prediction import logits

__all__ = [
    "CrossValidation",
    "ValidationData",
    "choose_penalty",
    "held_out_losses",
    "held_out_metrics",
    "summarize_losses",
    "unseen_probability",
    "without_undecided",
]


class ValidationData(NamedTuple):
    """The arguments, checked; folds (F, m) are rows of weights.

    held (F, H) are the samples that each fold holds out, by number, and m after them.
    """

    Y: Array
    l2: Array
    weight: Array | None
    offset: Array | None
    folds: Array
    held: Int[Array, "F H"]
    l1: Array | None = None

    @classmethod
    def of(cls, folds: Array, **others: Any) -> ValidationData:
        """Return the arguments with what each fold holds out, found on the host."""
        out = [np.flatnonzero(row == 0) for row in np.asarray(folds)]
        held = np.full((len(out), max(map(len, out))), folds.shape[1], np.int32)
        for row, samples in zip(held, out, strict=True):
            row[: len(samples)] = samples
        return cls(folds=folds, held=as_array(held), **others)

    def sizes(self) -> Array:
        """Return numbers (L, 1) in the order of the penalties, l1 before l2."""
        if self.l1 is None:
            return self.l2
        order = _smallest_first(self.l2, self.l1)
        sizes = np.empty_like(self.l2)
        sizes[order, 0] = np.arange(len(order))
        return jnp.asarray(sizes)


def _smallest_first(l2: Array, l1: Array | None) -> np.ndarray:
    """Return the rows of the penalties (L, 1) in the order of l1, and then of l2."""
    given = [l2] if l1 is None else [l2, l1]
    return np.lexsort([np.asarray(sizes)[:, 0] for sizes in given])


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
        """Whether the best penalty is the smallest or the largest: another may win.

        Not where there is only one penalty, which was not chosen among others.
        """
        order = _smallest_first(self.l2, self.l1)
        ends = (self.best == order[0]) | (self.best == order[-1])
        return np.asarray(ends) & (len(order) > 1)

    def __repr__(self) -> str:
        """Return the choice in short: what is best, and how the fits ended."""
        return record_text("CrossValidation", self._described())

    def _repr_html_(self) -> str:
        return as_html(self._described())

    def _described(self) -> dict[str, str]:
        K, _, F = self.fold_loss.shape
        found = np.asarray(self.best)[:, 0] >= 0
        rows = np.asarray(self.best)[found, 0]
        texts = {"rows": str(K), "folds": str(F)}
        grids = {"l2": self.l2, "l1": self.l1}
        given = {
            name: sizes
            for name, sizes in grids.items()
            if sizes is not None and np.asarray(sizes).any()
        }
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


def _held_out(given: ValidationData) -> Float[Array, "R F H"]:
    """Return the weights of the samples that each fold holds out, R = 1 or K."""
    weight = jnp.ones_like(given.folds[:1]) if given.weight is None else given.weight
    return jnp.take(weight, given.held, axis=1, mode="fill", fill_value=0)


def without_undecided(fit: Fit, unseen: Fit, chosen: np.ndarray) -> Fit:
    """Return the fits (K,) without those whose penalty nothing has validated.

    Such a fit has the largest status among the folds (K, F), which all failed at the
    penalty it would have, and no numbers.
    """
    undecided = chosen < 0

    def without(leaf: np.ndarray) -> np.ndarray:
        gone = undecided.reshape(-1, *[1] * (leaf.ndim - 1))
        if np.issubdtype(leaf.dtype, np.floating):
            return np.where(gone, np.nan, leaf).astype(leaf.dtype)
        return leaf

    status = np.where(undecided, np.sort(unseen.status, axis=1)[:, -1], fit.status)
    return jax.tree.map(without, fit)._replace(status=status)


@program
def held_out_losses(
    X: Design, given: ValidationData, fits: Fit
) -> Float[Array, "K L F"]:
    """Return the mean log losses of the held-out samples; NaN where a fit failed."""

    def mean_loss(z: Array, y: Array, weight: Array) -> Array:
        losses = jnp.where(weight > 0, log_loss(FAST, z, y), 0.0)
        return jnp.sum(weight * losses, axis=1) / weight.sum(axis=1)

    found: Array = _of_held_out(mean_loss, X, given, fits)
    return found


@partial(program, static_argnums=0)
def held_out_metrics(
    names: tuple[str, ...], X: Design, given: ValidationData, fits: Fit
) -> dict[str, Any]:
    """Return metrics (K, L, F) of the held-out samples; NaN where a fit failed."""
    found: dict[str, Any] = _of_held_out(
        partial(by_row, together(names)), X, given, fits
    )
    return found


def _of_held_out(
    evaluate: Callable[..., Any], X: Design, given: ValidationData, fits: Fit
) -> Any:
    """Return a function of logits, labels and weights (L F, H) of held-out samples."""
    held = jnp.broadcast_to(_held_out(given), (len(given.Y), *given.held.shape))

    def one(label: tuple[Params, Array, Array, Array]) -> Any:
        params, status, y, weight = label
        L, F = status.shape
        z = _logits(X, given, params).reshape(L, F, -1)
        z = jnp.take_along_axis(z, given.held[None], axis=2, mode="clip")
        # Samples that do not count may have no label.
        y = jnp.where(weight > 0, jnp.take(y, given.held, mode="clip"), 0.0)
        y, weight = jnp.tile(y, (L, 1)), jnp.tile(weight, (L, 1))
        found = evaluate(z.reshape(L * F, -1), y, weight)

        def of_converged(leaf: Array) -> Array:
            return jnp.where(status == Status.CONVERGED, leaf.reshape(L, F), jnp.nan)

        return jax.tree.map(of_converged, found)

    return lax.map(one, (fits.params, fits.status, given.Y, held))


def _logits(X: Design, given: ValidationData, params: Params) -> Float[Array, "M m"]:
    """Return the logits of M models, whatever their leading axes."""
    M = params.b.size
    models = stack(Params(*(leaf.reshape(M, *leaf.shape[-2:]) for leaf in params)))
    z = logits(models, X)
    return z if given.offset is None else z + given.offset


@program
def summarize_losses(fold_loss: Array, given: ValidationData) -> tuple[Array, Array]:
    """Return the mean over all held-out samples (K, L), and its standard error."""
    size = _held_out(given).sum(axis=2)[:, None]
    terms = jnp.where(size > 0, size * fold_loss, 0.0)
    loss = terms.sum(axis=2) / size.sum(axis=2)
    return loss, fold_loss.std(axis=2, ddof=1) / fold_loss.shape[2] ** 0.5


@program
def choose_penalty(loss: Array, error: Array, sizes: Array) -> tuple[Array, Array]:
    """Return the rows (K, 1) of the smallest loss, and of the largest penalty near it.

    Shapes: loss and error (K, L), sizes of the penalties (L, 1). -1 where none has a
    loss.

    Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 3.4.3.
    """
    usable = jnp.where(jnp.isfinite(loss), loss, jnp.inf)
    best = jnp.argmin(usable, axis=1, keepdims=True)
    none = ~jnp.isfinite(loss).any(axis=1, keepdims=True)
    least = jnp.take_along_axis(loss + error, best, axis=1)
    larger = jnp.where(usable <= least, sizes[:, 0][None], -1.0)
    within = jnp.argmax(larger, axis=1, keepdims=True)
    within = jnp.where(jnp.isnan(least), best, within)
    return jnp.where(none, -1, best), jnp.where(none, -1, within)


@program
def unseen_probability(
    X: Design, given: ValidationData, fits: Fit
) -> Float[Array, "K m"]:
    """Return the probability of label 1 by the fits (K, F) that did not see the sample.

    Where several did not, it is their mean; where one of them failed, NaN.
    """
    out = given.folds == 0

    def one(folds: tuple[Params, Array]) -> Array:
        params, status = folds
        a = sigmoid(_logits(X, given, params))
        a = jnp.where(status[:, None] == Status.CONVERGED, a, jnp.nan)
        return jnp.where(out, a, 0.0).sum(axis=0) / out.sum(axis=0, dtype=a.dtype)

    return lax.map(one, (fits.params, fits.status))
