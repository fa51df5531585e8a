"""Ask what each sample does to a fit, without fitting again."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jlogreg.base.arrays import as_array
from jlogreg.base.checks import AnyArray
from jlogreg.base.params import Params
from jlogreg.base.status import Status
from jlogreg.data.design import Design
from jlogreg.data.samples import Samples
from jlogreg.fitting.fit import Fit
from jlogreg.fitting.implicit import inverse_hessian
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
) -> Params:
    """Return how the parameters change per unit of each sample's weight.

    Shapes: X (n, m), y, weight and offset (1, m), l2 () or (n, 1), the same that were
    fitted; result w (n, m), b (m, 1): one change of the parameters per sample. Formula:
    dtheta / dv_i = -H^-1 (x_i dz_i + l2 theta) / sum(v); equation (23) of
    docs/derivation.md. NaN where the fit has not converged.

    Raises:
        DtypeError, RankError, ShapeError: an argument is no such array.
        ValueError: a number is out of range, NaN or infinite.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit, influence
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> change = influence(fit(X, y), X, y)
        >>> [f"{one:.2f}" for one in change.w[0]]
        ['0.10', '0.17', '-0.27', '-0.27', '0.17', '0.10']
    """
    checked = prepare_problem(fit.params, X, y, weight, offset, l2)
    # What the weights were before `check_problem` scaled them.
    weight = None if weight is None else as_array(weight)
    return _change(fit.status, weight, *checked)


def leave_one_out(
    fit: Fit,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
) -> Float[Array, "1 m"]:
    """Return each sample's logit by the fit without that sample, approximately.

    Shapes: as for `influence`; result (1, m), the logits z to compare with y, offset
    included. One Newton step from the fit to the fit without the sample, in closed
    form: z_i + v_i (h_i dz_i + q_iT l2 theta) / (1 - v_i s_i h_i), with q_i = H^-1 x_i
    / sum(v), h_i = x_iT q_i and s_i = a (1 - a); equation (24) of docs/derivation.md.
    It is off by the square of the sample's influence. Arguments and errors are those
    of `influence`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit, leave_one_out, log_loss
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> found = fit(X, y)
        >>> z = leave_one_out(found, X, y)
        >>> print(f"seen {found.cost:.2f}, unseen {log_loss(z, y).mean():.2f}")
        seen 0.41, unseen 0.84
    """
    checked = prepare_problem(fit.params, X, y, weight, offset, l2)
    return _unseen(fit.status, *checked)


@partial(jax.jit, inline=True)
def _change(
    status: Array, weight: Array | None, params: Params, samples: Samples, l2: Array
) -> Params:
    seen = _look(params, samples, l2)
    slopes = seen.inverse * seen.dz + seen.pull
    total = seen.z.shape[1] if weight is None else weight.sum()
    change = _if_converged(status, -slopes / total)
    return Params(w=change[:-1], b=change[-1:].T)


@partial(jax.jit, inline=True)
def _unseen(
    status: Array, params: Params, samples: Samples, l2: Array
) -> Float[Array, "1 m"]:
    seen = _look(params, samples, l2)
    scale = seen.weight / seen.total
    leverage = jnp.sum(seen.columns * seen.inverse, axis=0, keepdims=True) * scale
    pulled = jnp.sum(seen.columns * seen.pull, axis=0, keepdims=True) * scale
    change = (leverage * seen.dz + pulled) / (1 - leverage * seen.dz2)
    return _if_converged(status, seen.z + change)


class _Look(NamedTuple):
    """Hold what both ask of each sample.

    Shapes: columns (n + 1, m), x above 1; inverse (n + 1, m), H^-1 times that; pull
    (n + 1, 1), H^-1 times the slope of the penalty; z, dz, dz2 and weight (1, m);
    total (), of the weights.
    """

    columns: Array
    inverse: Array
    pull: Array
    z: Array
    dz: Array
    dz2: Array
    weight: Array
    total: Array | int


def _look(params: Params, samples: Samples, l2: Array) -> _Look:
    problem = Problem(samples, l2)
    columns = jnp.concatenate([samples.X.dense(), jnp.ones_like(samples.y)])
    theta = to_vector(params)
    z = samples.logits(params)
    pull = ridge(problem) * theta
    both = inverse_hessian(problem, params, jnp.concatenate([columns, pull], axis=1))
    return _Look(
        columns=columns,
        inverse=both[:, :-1],
        pull=both[:, -1:],
        z=z,
        dz=log_loss_dz(FAST, z, samples.y),
        dz2=log_loss_dz2(FAST, z),
        weight=samples.weights(),
        total=samples.total_weight(),
    )


def _if_converged(status: Array, value: Array) -> Array:
    return jnp.where(status == Status.CONVERGED, value, jnp.nan)
