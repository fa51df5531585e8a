"""Certificates: quantities of a fit, recomputed independently in high precision.

They are computed by NumPy on the host and share no code with the solvers, only the
definition of the cost. Logits, losses and gradient are summed in long double; the
Newton decrement uses a Hessian in double precision.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jlogreg.base.arrays import is_traced
from jlogreg.base.checks import AnyArray
from jlogreg.base.formatting import as_html
from jlogreg.base.params import Params, check_bias
from jlogreg.certification.duality import long_gap
from jlogreg.certification.long_sums import block_sums, sample_blocks, to_long_double
from jlogreg.certification.separation import COMPLETE, UNKNOWN, separation
from jlogreg.data.design import Design
from jlogreg.data.devices.spread import gather
from jlogreg.data.samples import Samples
from jlogreg.objective.cost import prepare_problem
from jlogreg.objective.penalties import check_l1

__all__ = ["Certificate", "certificate", "measure", "prepare_known"]


class Certificate(NamedTuple):
    """Quantities of a fit, recomputed independently, as Python numbers.

    cost: J, in nats. gradient_norm: the largest |entry| of dw and db. decrement:
    sqrt(gT H^-1 g), infinite if H is singular. change: the largest |change| of a logit
    by one more Newton step, infinite if H is singular. With l1, gradient_norm is the
    largest distance to the subdifferential, the step is one on the support, and gap the
    duality gap of equation (51), None without l1. separated: whether the
    parameters prove that there is no finite minimum, by equation (19) of
    docs/derivation.md. separation: what the data are, whatever the parameters.

    - "complete": some plane has every sample strictly on the side of its label, so
      there is no finite minimum;
    - "quasi-complete": some plane has samples strictly on the side of their label and
      all others on it, but none has all of them apart; no finite minimum either;
    - "overlap": no plane does, so there is a finite minimum, and it is the only one
      unless features are collinear;
    - "unknown": none of these was proved.

    A plane is one of features without a penalty and the bias. Samples with a label
    between 0 and 1 must be on it. Samples of weight 0 and the offset do not matter.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import certificate, fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> checked = certificate(fit(X, y), X, y)
        >>> checked.decrement < 1e-4, checked.separated, checked.separation
        (True, False, 'overlap')
    """

    cost: float
    gradient_norm: float
    decrement: float
    change: float
    separated: bool
    separation: str = UNKNOWN
    gap: float | None = None

    def _repr_html_(self) -> str:
        given = self._asdict().items()
        return as_html({name: str(value) for name, value in given if value is not None})


def certificate(
    fit: Any,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    l1: Any = 0.0,
    bias: bool = True,
) -> Certificate:
    """Return the certificate of a fit: its quantities, recomputed; host only.

    Shapes: fit a Fit of one problem, or anything with params w (n, 1), b (1, 1); X
    (n, m), y, weight and offset (1, m), l2 and l1 () or (n, 1), and bias, as in the
    fit. The excess of J over its minimum is about decrement^2 / 2, and the logits
    differ from those at the minimum by about `change`; equation (18) of
    docs/derivation.md. With l1 the excess is at most `gap`.

    `separation` is decided by linear programs in double precision and proved in exact
    arithmetic, of the numbers of X as they are: no tolerance has a say in it. It has no
    switch, since it is what a status without an answer leaves open, and parameters that
    separate the labels need no program. Else 100 features of 10 000 samples take some 2
    seconds, 5 if the labels are separated. "unknown" is rare: it needs more than 5
    million numbers (of which only a part is looked at, which can show an overlap), or
    hundreds of features beyond the number of samples, or features so nearly collinear
    that the proof fails.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of range, NaN or infinite.
        TypeError: if a number is traced: call this outside jit.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import certificate, fit
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
        >>> model = fit(X, y)
        >>> abs(certificate(model, X, y).cost - float(model.cost)) < 1e-6
        True
    """
    params, samples, penalty = prepare_known(fit.params, X, y, weight, offset, l2)
    if is_traced(l1):
        raise TypeError("certificate needs known numbers: call it outside jit")
    sizes = check_l1(l1, params.w.shape[0], params.w.dtype)
    measured = measure(params, samples, penalty, check_bias(bias), sizes)
    penalty = penalty if sizes is None else penalty + sizes
    if measured.separated:
        return measured._replace(separation=COMPLETE)
    kept = np.asarray(samples.weights())[0] > 0
    free = np.broadcast_to(np.asarray(penalty) == 0, params.w.shape)[:, 0]
    columns = np.asarray(samples.X.dense())[free][:, kept].astype(float)
    labels = np.asarray(samples.y)[0, kept]
    pull = _pull(params, samples)[0, kept]
    if not bias:
        # A plane through 0 separates samples as it does their mirror images.
        columns = np.concatenate([columns, -columns], axis=1)
        labels = np.concatenate([labels, 1 - labels])
        pull = np.concatenate([pull, -pull])
    return measured._replace(separation=separation(columns, labels, pull))


def prepare_known(
    params: Params, X: Any, y: Any, weight: Any, offset: Any, l2: Any
) -> tuple[Params, Samples, Any]:
    """Return the arguments as in `prepare_problem`, all of them known numbers.

    Raises:
        TypeError: if a number is traced.
    """
    if any(map(is_traced, (params.w, y, l2, weight, offset))):
        raise TypeError("certificate needs known numbers: call it outside jit")
    X, y, weight, offset = gather((X, y, weight, offset))
    return prepare_problem(params, X, y, weight, offset, l2)[:3]


def _pull(params: Params, samples: Samples) -> np.ndarray:
    """Return -v dz of each sample (1, m), in double precision; equation (9)."""
    w, b = (np.asarray(leaf, float) for leaf in params)
    offset = 0 if samples.offset is None else np.asarray(samples.offset, float)
    z = w.T @ np.asarray(samples.X.dense(), float) + b + offset
    e = np.exp(-np.abs(z))
    a, rest = np.where(z >= 0, 1, e) / (1 + e), np.where(z >= 0, e, 1) / (1 + e)
    y, weight = np.asarray(samples.y, float), np.asarray(samples.weights(), float)
    pull: np.ndarray = weight * (y * rest - (1 - y) * a)
    return pull


def measure(
    params: Params,
    samples: Samples,
    penalty: Any,
    bias: bool = True,
    sizes: Any = None,
) -> Certificate:
    """Return the certificate of parameters, but for what the data are.

    Shapes: params w (n, 1), b (1, 1); penalty l2 and sizes l1 () or (n, 1), all of them
    prepared.
    """
    # theta = w above b, the penalties l2 above 0, and the direction u of (19): the
    # entries of theta without a penalty.
    point = np.concatenate([to_long_double(params.w), to_long_double(params.b)])
    ridge, l1 = _of_all(penalty, params), _of_all(0 if sizes is None else sizes, params)
    unpenalised = np.where(ridge + l1 == 0, point, 0)

    # Gradient and Hessian, (11) to (13), and the Newton step H^-1 g, (18).
    parts = list(sample_blocks(samples))
    sums = [block_sums(part, point, unpenalised) for part in parts]
    total = sum(one.weight for one in sums)
    slope = sum(one.slope for one in sums) / total + ridge * point + l1 * np.sign(point)
    H = sum(one.curvature for one in sums) / float(total)
    H = H + np.diag(ridge[:, 0].astype(float))
    if not bias:  # the last unknown stays 0
        slope[-1], H[-1], H[:, -1], H[-1, -1] = 0, 0, 0, 1
    # A weight at the kink of its penalty stays there.
    held = ((point == 0) & (l1 > 0))[:, 0]
    away = np.where(held[:, None], np.maximum(np.abs(slope) - l1, 0), np.abs(slope))
    slope[held], H[held], H[:, held] = 0, 0, 0
    H[held, held] = 1
    step = _solve(H, slope)
    loss = sum(one.loss for one in sums) / total
    # The squared decrement gT H^-1 g, (18), and the changes of the logits by the step.
    squared, change = np.longdouble(np.inf), np.longdouble(np.inf)
    if step is not None:
        squared = np.maximum((slope * step).sum(), 0)
        moves = [np.abs(step.T @ part.x)[part.weight > 0] for part in parts]
        change = np.concatenate(moves).max()
    gap = None
    if sizes is not None:
        along = np.zeros_like(point) if step is None else step
        gap = long_gap(parts, point, along, l1, ridge, bias)
    return Certificate(
        cost=float(loss + (ridge * point**2).sum() / 2 + (l1 * np.abs(point)).sum()),
        gradient_norm=float(away.max()),
        decrement=float(np.sqrt(squared)),
        change=float(change),
        separated=all(one.separated for one in sums),
        gap=gap,
    )


def _of_all(penalty: Any, params: Params) -> np.ndarray:
    """Return a penalty above 0 for the bias (n + 1, 1), in long double."""
    of_w = np.broadcast_to(to_long_double(penalty), params.w.shape)
    return np.concatenate([of_w, np.zeros((1, 1), np.longdouble)])


def _solve(H: np.ndarray, slope: np.ndarray) -> np.ndarray | None:
    """Return H^-1 slope, or None if H is singular once its diagonal is scaled to 1."""
    diagonal = np.diag(H)[:, None]
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1))
    try:
        step = np.linalg.solve(H * scale * scale.T, (scale * slope).astype(float))
    except np.linalg.LinAlgError:
        return None
    return to_long_double(scale) * step  # may exceed the range of a double
