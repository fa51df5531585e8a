"""The penalties to try: that of which no weight is left, and a grid from there."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jlogreg.base.arrays import as_array, at_least, largest
from jlogreg.base.checks import AnyArray, check_matrix, check_range, refuse_traced
from jlogreg.base.params import Params
from jlogreg.base.programs import program
from jlogreg.base.shapes import as_labels, check_orientation
from jlogreg.base.status import Status
from jlogreg.data.design import Design, check_design
from jlogreg.data.devices.spread import gather
from jlogreg.data.samples import Samples, check_weight_rows
from jlogreg.fitting.fit import fit
from jlogreg.fitting.options import free_unknowns
from jlogreg.fitting.solve import center_of
from jlogreg.formulations.centering import centered
from jlogreg.formulations.problem import Problem
from jlogreg.objective.cost import objective, prepare_data

__all__ = ["l1_max", "penalty_grid"]

# How many penalties are proposed to a factor of 10.
GRIDS = {"l1": 10, "l2": 2}


def l1_max(
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    bias: bool = True,
) -> Float[Array, ""]:
    """Return the smallest L1 penalty of which no weight is left.

    Shapes: X (n, m), y (1, m); result (). Formula: max_j |dJ/dw_j| at w = 0 and the
    bias that fits best there; equation (53) of docs/derivation.md. Where no bias does,
    with labels of one class, it is NaN. Any l2 is right. Pure; arguments and errors are
    those of `fit`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit, l1_max
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> most = l1_max(X, y)
        >>> print(f"{most:.4f}")
        0.5833
        >>> [float(fit(X, y, l1=x * most).params.w[0, 0]) != 0 for x in (0.9, 1.1)]
        [True, False]
    """
    slope, _ = _without_weights(X, y, weight, offset, bias)
    return at_least(largest(jnp.abs(slope)), 0.0)


def _without_weights(
    X: Any, y: Any, weight: Any, offset: Any, bias: bool
) -> tuple[Float[Array, "n 1"], Float[Array, ""]]:
    """Return dw and J at w = 0 and the best bias there, NaN where there is none."""
    samples, *_ = prepare_data(X, y, weight, offset, 0.0)
    return _slope_and_cost(samples, bias)


@partial(program, static_argnums=1)
def _slope_and_cost(
    samples: Samples, bias: bool
) -> tuple[Float[Array, "n 1"], Float[Array, ""]]:
    """Return the same of prepared samples."""
    X, y, weight, offset = samples
    if not bias:
        known, b = jnp.ones((), bool), jnp.zeros((1, 1), y.dtype)
    elif offset is None:
        # The mean probability is the mean label.
        ones, zeros = (
            samples.weighted(label).sum(axis=1, keepdims=True) for label in (y, 1 - y)
        )
        b = jnp.log(ones) - jnp.log(zeros)
        known = jnp.isfinite(b[0, 0])
        b = jnp.where(known, b, 0.0)
    else:
        alone = fit(
            jnp.zeros((0, y.shape[1]), y.dtype), y, weight=weight, offset=offset
        )
        known, b = alone.status == Status.CONVERGED, alone.params.b
    # As db = 0, no center changes dw, but one in their middle keeps its digits.
    n, l2 = X.shape[0], jnp.zeros((), y.dtype)
    center = center_of(Problem(samples, l2, free_unknowns(bias, n, y.dtype)))
    if center is not None:
        samples = samples._replace(X=centered(X, center))
    J, slope = objective(Params(jnp.zeros((n, 1), y.dtype), b), samples, l2)
    return jnp.where(known, slope.w, jnp.nan), jnp.where(known, J, jnp.nan)


@partial(program, static_argnums=4)
def _each_without_weights(
    X: Design, Y: Array, weight: Array | None, offset: AnyArray | None, bias: bool
) -> tuple[Float[Array, "K n 1"], Float[Array, " K"]]:
    """Return the same for each row of labels, and of weights if there are any."""
    each = jax.vmap(_without_weights, in_axes=(None, 0, 0, None, None))
    return each(X, Y, weight, offset, bias)


def penalty_grid(
    X: Float[AnyArray, "n m"] | Design,
    Y: Float[AnyArray, "K m"],
    penalty: str = "l2",
    *,
    weight: Float[AnyArray, "K m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    bias: bool = True,
) -> Float[Array, "L 1"]:
    """Return penalties to choose from, from one that leaves next to nothing, down.

    Shapes: X (n, m), Y (K, m), weight (1, m) or (K, m), offset (1, m); result (L, 1).
    Formula: for l1, ten to a factor of 10, from the largest `l1_max` of the rows to its
    part 1e-3, or 1e-2 where n >= m. For l2, two to a factor of 10, from 50 |dw|^2 / J,
    with dw and J at w = 0 and the best bias: since J is convex, no w lowers the
    penalised cost by more than |dw|^2 / (2 l2), so that the largest penalty leaves a
    hundredth of J to gain. Down to its part 3e-5 min(1, n / m), since the best penalty
    is about n / (m |w|^2) (Hoerl, Kennard and Baldwin, Communications in Statistics 4,
    1975), but not below 8 eps, 1e-6 in float32, where labels that are separated would
    end as DIVERGED. m counts samples with a weight. Rows with labels of one class are
    left out. Other arguments and errors are those of `cross_validate`, which takes this
    grid by default; its `at_edge` says where the best is the last.

    Raises:
        ValueError: if penalty is another word, or no row has both labels.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import penalty_grid
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> grid = penalty_grid(X, y)
        >>> grid.shape, f"{grid[0, 0]:.1f}", f"{grid[0, 0] / grid[-1, 0]:.0e}"
        ((11, 1), '24.5', '1e+05')
        >>> f"{penalty_grid(X, y, 'l1')[0, 0]:.4f}"  # l1_max
        '0.5833'
    """
    if penalty not in GRIDS:
        raise ValueError(f'penalty must be "l2" or "l1", but is {penalty!r}')
    given = (X, Y, weight, offset)
    refuse_traced("penalty_grid", "call it outside jit, or take l1_max", *given)
    X, Y, weight, offset = gather(given)
    design = check_design("X", X)
    check_orientation("X", design.shape, "Y", Y)
    m, dtype = design.shape[1], design.dtype
    Y = check_matrix("Y", as_labels(Y, dtype), ("K", m), dtype)
    rows = None
    if weight is not None:
        weight = check_weight_rows(weight, len(Y), m, dtype)
        rows = jnp.broadcast_to(weight, Y.shape)[:, None]
    if offset is not None:
        offset = check_range("offset", check_matrix("offset", offset, (1, m), dtype))
    slopes, costs = jax.device_get(
        _each_without_weights(design, Y[:, None], rows, offset, bias)
    )
    known = np.isfinite(costs)
    if not known.any():
        raise ValueError("no row of Y has both labels: there is nothing to choose for")
    slopes, costs = slopes[known, :, 0].astype(float), costs[known].astype(float)
    tops = {"l1": np.abs(slopes), "l2": 50 * np.square(slopes).sum(axis=1) / costs}
    m = m if weight is None else int((np.asarray(weight) > 0).any(axis=0).sum())
    n, eps = design.shape[0], float(np.finfo(dtype).eps)
    least = {"l1": 1e-2 if n >= m else 1e-3, "l2": max(3e-5 * min(1, n / m), 8 * eps)}
    steps = 1 + int(-np.log10(least[penalty]) * GRIDS[penalty] + 1e-6)
    top = tops[penalty].max() or 1.0  # where no feature varies, any does
    parts = -np.arange(steps)[:, None] / GRIDS[penalty]
    return as_array(top * 10.0**parts, dtype)
