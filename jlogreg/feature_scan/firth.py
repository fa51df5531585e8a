"""Firth's estimate of one feature given covariates, by a few steps from the null model.

The steps take the augmented matrix, equation (58) of docs/derivation.md, whose sums are
those of plain Newton steps. They converge linearly; what has not converged after them
is left to `fit`, which has the exact Hessian and a second start.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jlogreg.base.arrays import largest
from jlogreg.base.programs import program
from jlogreg.base.status import Status
from jlogreg.data.design import Design, Stacked, matmul
from jlogreg.data.samples import Samples
from jlogreg.feature_scan.null_model import NullModel, last_variance
from jlogreg.feature_scan.results import Scan, result
from jlogreg.feature_scan.single_feature import Plan, one_feature, rise, start_of
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss, log_loss_dz, log_loss_dz2
from jlogreg.objective.jeffreys import FIRTH, RIVAL_LEVERAGE
from jlogreg.solvers.cholesky import factorize
from jlogreg.solvers.driver import where
from jlogreg.solvers.line_search import rounding

__all__ = ["firth_scan"]

# A step changes no logit by more than this.
MAX_CHANGE = 5.0
# A last step of this part of the tolerance leaves an error below the tolerance, where
# the steps shrink by a tenth or more.
LAST_STEP = 1 / 8


class _Look(NamedTuple):
    """The penalised loss at a point, and the step from there.

    Shapes: value, log_det, variance and top () the loss, the log determinant of the
    information, the last entry of the inverse of the augmented matrix, and the largest
    leverage of a sample that counts once; vector (k, 1); singular ().
    """

    value: Float[Array, ""]
    log_det: Float[Array, ""]
    vector: Float[Array, "k 1"]
    variance: Float[Array, ""]
    top: Float[Array, ""]
    singular: Bool[Array, ""]


def _look(X: Design, samples: Samples, theta: Array, free: Array) -> _Look:
    """Return the sums at a point, by equations (55), (56) and (58).

    free (k, 1) is 1 for parameters that the step may change, else 0.
    """
    z = samples.add_offset(X.forward(theta))
    s, half = log_loss_dz2(FAST, z), log_loss_dz(FAST, z, jnp.full_like(z, 0.5))
    information = factorize(X.gram(samples.weighted(s)), repaired=False)
    each = s * _lengths(X, information.inverse_root())
    h = samples.weighted(each)
    dz = samples.weighted(log_loss_dz(FAST, z, samples.y)) + 2 * FIRTH * h * half
    loss = samples.weighted(log_loss(FAST, z, samples.y)).sum()
    more = samples.weighted(s) + 2 * FIRTH * h * s
    held = jnp.diag(1 - free[:, 0])
    factor = factorize(X.gram(more) * free * free.T + held, repaired=False)
    log_det = information.log_det()
    return _Look(
        value=loss - FIRTH * log_det,
        log_det=log_det,
        vector=factor.solve(X.adjoint(dz) * free),
        variance=last_variance(factor),
        top=largest(jnp.where(samples.weights() > 0, each, 0.0)),
        singular=factor.singular | information.singular,
    )


def _lengths(X: Design, root: Array) -> Float[Array, "1 m"]:
    """Return xT root rootT x of each sample x.

    The products of pairs of covariates are the same for all features, so their part is
    one matrix product.
    """
    if not isinstance(X, Stacked):
        return jnp.square(X.forward(root)).sum(axis=0, keepdims=True)
    inverse, g = matmul(root, root.T), X.own.dense()
    pairs, across = inverse[:-1, :-1], X.shared.forward(inverse[:-1, -1:])
    return X.shared.squares(pairs) + (2 * across + inverse[-1:, -1:] * g) * g


class _State(NamedTuple):
    """A point, the look from it, the part of the step to try, and the last change."""

    theta: Float[Array, "k 1"]
    look: _Look
    part: Float[Array, ""]
    moved: Float[Array, ""]


def _search(
    steps: int, X: Design, samples: Samples, start: Array, free: Array, row_max: Array
) -> tuple[_State, Array]:
    """Return the state after a few steps, and the largest leverage at the start.

    A step after which the penalised loss is higher is taken back, and halved.
    """

    def advance(now: _State, _: None) -> tuple[_State, None]:
        change = jnp.sum(jnp.abs(now.look.vector) * row_max)
        part = jnp.where(change > MAX_CHANGE, MAX_CHANGE / change, 1.0) * now.part
        trial = now.theta - part * now.look.vector
        look = _look(X, samples, trial, free)
        most = now.look.value + rounding(now.look.value)
        taken = (look.value <= most) & ~look.singular
        kept = _State(now.theta, now.look, now.part / 2, jnp.full_like(part, jnp.inf))
        moved = jnp.where(now.part < 1, jnp.inf, change)
        new = _State(trial, look, jnp.ones_like(part), moved)
        return where(taken, new, kept), None

    first, infinite = _look(X, samples, start, free), jnp.full((), jnp.inf, start.dtype)
    begin = _State(start, first, jnp.ones_like(infinite), infinite)
    end, _ = lax.scan(advance, begin, length=steps)
    return end, first.top


@partial(program, static_argnums=(0, 1))
def firth_scan(plan: Plan, steps: int, null: NullModel, G: Array) -> Scan:
    """Return Firth's estimates after a few steps: each CONVERGED or MAX_STEPS.

    A feature of floats with a sample far from the others is left to `fit`, which looks
    for a second minimum. One of counts is not: it ends in the minimum that is reached
    from the null model, and no other is looked for. The null model of the likelihood
    ratio holds the weight of the feature at 0, and has the information of all.
    """
    counts = jnp.issubdtype(G.dtype, jnp.integer)

    def one(g: Array) -> Scan:
        X, samples, number = one_feature(null, g[None], plan.missing)
        theta, row_max = start_of(null, number)
        free = jnp.ones_like(theta)

        def is_minimum(end: _State) -> Array:
            return (end.moved <= LAST_STEP * null.tol) & ~end.look.singular

        end, top = _search(steps, X, samples, theta, free, row_max)
        known, drop = is_minimum(end), None
        known &= jnp.asarray(counts) | (top <= RIVAL_LEVERAGE)
        if plan.ratio:
            free = free.at[-1].set(0.0)
            nested, _ = _search(steps, X, samples, theta, free, row_max)
            known &= is_minimum(nested)
            z, best = (
                samples.add_offset(X.forward(each.theta)) for each in (nested, end)
            )
            gained = FIRTH * (nested.look.log_det - end.look.log_det)
            drop = rise(samples, z, best) - gained
        status = jnp.where(known, Status.CONVERGED, Status.MAX_STEPS)
        return result(end.theta[-1], end.look.variance, status, drop, firth=True)

    return lax.map(one, G, batch_size=plan.width)
