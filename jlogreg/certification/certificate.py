"""Certificates: quantities of a fit, recomputed independently in high precision.

They are computed by NumPy on the host and share no code with the solvers, only the
definition of the cost. Logits, losses and gradient are summed in long double; the
Newton decrement uses a Hessian in double precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jlogreg.base.arrays import is_traced
from jlogreg.base.checks import AnyArray
from jlogreg.base.params import Params, check_bias
from jlogreg.certification.separation import COMPLETE, UNKNOWN, separation
from jlogreg.data.design import Design
from jlogreg.data.samples import Samples
from jlogreg.objective.cost import prepare_problem

__all__ = [
    "Certificate",
    "block_sums",
    "certificate",
    "measure",
    "prepare_known",
    "sample_blocks",
    "to_long_double",
]

# Samples in a block.
BLOCK = 4096
LONG = np.finfo(np.longdouble)


class Certificate(NamedTuple):
    """Quantities of a fit, recomputed independently, as Python numbers.

    cost: J, in nats. gradient_norm: the largest |entry| of dw and db. decrement:
    sqrt(gT H^-1 g), infinite if H is singular. change: the largest |change| of a logit
    by one more Newton step, infinite if H is singular. separated: whether the
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


def certificate(
    fit: Any,
    X: Float[AnyArray, "n m"] | Design,
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
    bias: bool = True,
) -> Certificate:
    """Return the certificate of a fit: its quantities, recomputed; host only.

    Shapes: fit a Fit of one problem, or anything with params w (n, 1), b (1, 1); X
    (n, m), y, weight and offset (1, m), l2 () or (n, 1), and bias, as in the fit. The
    excess of J over its minimum is about decrement^2 / 2, and the logits differ from
    those at the minimum by about `change`; equation (18) of docs/derivation.md.

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
    measured = measure(params, samples, penalty, check_bias(bias))
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
    params: Params, samples: Samples, penalty: Any, bias: bool = True
) -> Certificate:
    """Return the certificate of parameters, but for what the data are.

    Shapes: params w (n, 1), b (1, 1); penalty () or (n, 1), all of them prepared.
    """
    # theta = w above b, the penalties l2 above 0, and the direction u of (19): the
    # entries of theta without a penalty.
    point = np.concatenate([to_long_double(params.w), to_long_double(params.b)])
    w_ridge = np.broadcast_to(to_long_double(penalty), params.w.shape)
    ridge = np.concatenate([w_ridge, np.zeros((1, 1), np.longdouble)])
    unpenalised = np.where(ridge == 0, point, 0)

    # Gradient and Hessian, (11) to (13), and the Newton step H^-1 g, (18).
    parts = list(sample_blocks(samples))
    sums = [block_sums(part, point, unpenalised) for part in parts]
    total = sum(one.weight for one in sums)
    slope = sum(one.slope for one in sums) / total + ridge * point
    H = sum(one.curvature for one in sums) / float(total)
    H = H + np.diag(ridge[:, 0].astype(float))
    if not bias:  # the last unknown stays 0
        slope[-1], H[-1], H[:, -1], H[-1, -1] = 0, 0, 0, 1
    step = _solve(H, slope)
    loss = sum(one.loss for one in sums) / total
    # The squared decrement gT H^-1 g, (18), and the changes of the logits by the step.
    squared, change = np.longdouble(np.inf), np.longdouble(np.inf)
    if step is not None:
        squared = np.maximum((slope * step).sum(), 0)
        moves = [np.abs(step.T @ part.x)[part.weight > 0] for part in parts]
        change = np.concatenate(moves).max()
    return Certificate(
        cost=float(loss + (ridge * point**2).sum() / 2),
        gradient_norm=float(np.abs(slope).max()),
        decrement=float(np.sqrt(squared)),
        change=float(change),
        separated=all(one.separated for one in sums),
    )


class _Part(NamedTuple):
    """A block of samples, in long double.

    Shapes: x (n + 1, size), the features above a row of ones; labels, weight and offset
    (1, size).
    """

    x: np.ndarray
    labels: np.ndarray
    weight: np.ndarray
    offset: np.ndarray


class _Sums(NamedTuple):
    """Weighted sums over a block of samples.

    Shapes: loss () and weight (); slope (n + 1, 1), the sum of x dz; curvature (n + 1,
    n + 1), that of x s xT; separated, whether all samples are.
    """

    loss: Any
    slope: Any
    curvature: Any
    weight: Any
    separated: bool


def to_long_double(array: Any) -> np.ndarray:
    """Return an array as a NumPy array of long double."""
    return np.asarray(array).astype(np.longdouble)


def sample_blocks(samples: Samples) -> Iterator[_Part]:
    """Return an iterator over blocks of at most 4096 samples."""
    weight, offset = samples.weight, samples.offset
    m = samples.X.shape[1]
    columns, y = np.asarray(samples.X.dense()), np.asarray(samples.y)
    v = np.ones((1, m)) if weight is None else np.asarray(weight)
    z0 = np.zeros((1, m)) if offset is None else np.asarray(offset)
    for start in range(0, m, BLOCK):
        part = slice(start, start + BLOCK)
        labels = to_long_double(y[:, part])
        yield _Part(
            x=np.concatenate([to_long_double(columns[:, part]), np.ones_like(labels)]),
            labels=labels,
            weight=to_long_double(v[:, part]),
            offset=to_long_double(z0[:, part]),
        )


def block_sums(part: _Part, point: np.ndarray, unpenalised: np.ndarray) -> _Sums:
    """Return the sums of a block, equations (2) to (13) of docs/derivation.md.

    Shapes: point (n + 1, 1), w above b; unpenalised (n + 1, 1), the same with 0 for the
    weights that have a penalty.
    """
    x, labels, v = part.x, part.labels, part.weight
    # Logits (2), probabilities a and rest = 1 - a (3), losses (6), derivatives dz (9).
    z = point.T @ x + part.offset
    e = np.exp(-np.abs(z))
    a, rest = np.where(z >= 0, 1, e) / (1 + e), np.where(z >= 0, e, 1) / (1 + e)
    loss = np.where(z >= 0, 1 - labels, labels) * np.abs(z) + np.log1p(e)
    dz = v * ((1 - labels) * a - labels * rest)
    # Separation (19): the label is 0 or 1, and uT x has the sign that belongs to it,
    # by more than the rounding of its sum.
    free = unpenalised.T @ x
    rounding = (len(x) + 2) * LONG.eps * (np.abs(unpenalised.T) @ np.abs(x))
    right = np.where(labels == 1, free > rounding, (labels == 0) & (free < -rounding))
    return _Sums(
        loss=(v * loss).sum(),
        slope=x @ dz.T,
        curvature=(x * (v * a * rest)).astype(float) @ x.T.astype(float),
        weight=v.sum(),
        separated=bool((right | (v == 0)).all()),
    )


def _solve(H: np.ndarray, slope: np.ndarray) -> np.ndarray | None:
    """Return H^-1 slope, or None if H is singular once its diagonal is scaled to 1."""
    diagonal = np.diag(H)[:, None]
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1))
    try:
        step = np.linalg.solve(H * scale * scale.T, (scale * slope).astype(float))
    except np.linalg.LinAlgError:
        return None
    return to_long_double(scale) * step  # may exceed the range of a double
