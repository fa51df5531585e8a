"""Influence of each sample on a fit, and approximate leave-one-out."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.arrays import as_array
from jlogreg.base.checks import AnyArray
from jlogreg.base.params import Params
from jlogreg.base.programs import program
from jlogreg.base.status import Status
from jlogreg.data.design import Design
from jlogreg.data.devices import gather
from jlogreg.fitting.fit import Fit
from jlogreg.fitting.implicit import inverse_hessian
from jlogreg.fitting.options import free_unknowns
from jlogreg.formulations.problem import Problem, ridge, to_vector
from jlogreg.losses.arithmetic import FAST
from jlogreg.losses.elementwise import log_loss_dz, log_loss_dz2
from jlogreg.objective.cost import prepare_problem

__all__ = ["influence", "leave_one_out"]


def influence(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    bias: bool = True,
) -> Params:
    """Return the derivative of the parameters in the weight of each sample.

    Shapes: X (n, m), y, weight and offset (1, m), l2 () or (n, 1), the same as in the
    fit; result w (n, m), b (m, 1), with a column and a row for each sample. Formula:
    dtheta / dv_i = -H^-1 (x_i dz_i + l2 theta) / sum(v); equation (23) of
    docs/derivation.md. NaN if the fit has not converged.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of range, NaN or infinite.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit, influence
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> change = influence(fit(X, y), X, y)
        >>> [f"{one:.2f}" for one in change.w[0]]
        ['0.10', '0.17', '-0.27', '-0.27', '0.17', '0.10']
    """
    fit, X, y, weight, offset = gather((fit, X, y, weight, offset))
    params, problem = _problem(fit, X, y, weight, offset, l2, bias)
    # The given weights, which `prepare_problem` scales: the derivative is in these.
    weight = None if weight is None else as_array(weight)
    return _influence(fit.status, weight, params, problem)


def leave_one_out(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    bias: bool = True,
) -> Float[Array, "1 m"]:
    """Return the logit of each sample by a fit without this sample, approximately.

    Shapes: as for `influence`; result (1, m), the logits with the offset. Formula:
    z_i + v_i (h_i dz_i + q_iT l2 theta) / (1 - v_i s_i h_i), with q_i = H^-1 x_i /
    sum(v), h_i = x_iT q_i and s_i = a (1 - a); equation (24) of docs/derivation.md. It
    is one Newton step from the fit to the fit without the sample, so its error is of
    the order of the square of the sample's influence. NaN if the fit has not converged.
    Arguments and errors are those of `influence`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit, leave_one_out, log_loss
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> model = fit(X, y)
        >>> z = leave_one_out(model, X, y)
        >>> print(f"seen {model.cost:.2f}, unseen {log_loss(z, y).mean():.2f}")
        seen 0.41, unseen 0.84
    """
    fit, X, y, weight, offset = gather((fit, X, y, weight, offset))
    return _leave_one_out(fit.status, *_problem(fit, X, y, weight, offset, l2, bias))


def _problem(
    fit: Fit, X: Any, y: Any, weight: Any, offset: Any, l2: Any, bias: bool
) -> tuple[Params, Problem]:
    """Return the parameters and the problem of a fit, checked."""
    params, samples, l2 = prepare_problem(fit.params, X, y, weight, offset, l2)
    n, dtype = samples.X.shape[0], samples.X.dtype
    return params, Problem(samples, l2, free_unknowns(bias, n, dtype))


@partial(program, inline=True)
def _influence(
    status: Array, weight: Array | None, params: Params, problem: Problem
) -> Params:
    # -(H^-1 x_i dz_i + H^-1 l2 theta) / sum(v), equation (23).
    parts = _parts(params, problem)
    slopes = parts.solved * parts.dz + parts.solved_penalty
    total = parts.z.shape[1] if weight is None else weight.sum()
    change = _if_converged(status, -slopes / total)
    return Params(w=change[:-1], b=change[-1:].T)


@partial(program, inline=True)
def _leave_one_out(
    status: Array, params: Params, problem: Problem
) -> Float[Array, "1 m"]:
    parts = _parts(params, problem)
    scale = parts.weight / parts.total
    # v_i h_i and v_i q_iT l2 theta of equation (24).
    leverage = jnp.sum(parts.columns * parts.solved, axis=0, keepdims=True) * scale
    shrinkage = parts.columns * parts.solved_penalty
    shrinkage = jnp.sum(shrinkage, axis=0, keepdims=True) * scale
    change = (leverage * parts.dz + shrinkage) / (1 - leverage * parts.dz2)
    return _if_converged(status, parts.z + change)


class _Parts(NamedTuple):
    """Common parts of equations (23) and (24).

    Shapes: columns (n + 1, m), the features above a row of ones; solved (n + 1, m),
    H^-1 columns; solved_penalty (n + 1, 1), H^-1 times the gradient of the penalty; z,
    dz, dz2 and weight (1, m); total (), the sum of the weights.
    """

    columns: Array
    solved: Array
    solved_penalty: Array
    z: Array
    dz: Array
    dz2: Array
    weight: Array
    total: Array | int


def _parts(params: Params, problem: Problem) -> _Parts:
    """Return the parts at the fitted parameters, with one factorization of H."""
    samples = problem.samples
    columns = jnp.concatenate([samples.X.dense(), jnp.ones_like(samples.y)])
    theta = to_vector(params)
    z = samples.logits(params)
    # H^-1 for all right-hand sides at once: the samples, and the penalty's gradient.
    right = jnp.concatenate([columns, ridge(problem) * theta], axis=1)
    solved = inverse_hessian(problem, params, right)
    return _Parts(
        columns=columns,
        solved=solved[:, :-1],
        solved_penalty=solved[:, -1:],
        z=z,
        dz=log_loss_dz(FAST, z, samples.y),
        dz2=log_loss_dz2(FAST, z),
        weight=samples.weights(),
        total=samples.total_weight(),
    )


def _if_converged(status: Array, value: Array) -> Array:
    return jnp.where(status == Status.CONVERGED, value, jnp.nan)
