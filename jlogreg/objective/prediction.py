"""Forward propagation: from features to logits, to probabilities, to labels."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jlogreg.base.checks import AnyArray, check_matrix, check_number, check_range
from jlogreg.base.errors import ShapeError
from jlogreg.base.params import Fitted, Params, as_params, check_params
from jlogreg.base.programs import program
from jlogreg.data.design import Design, check_design
from jlogreg.losses.bernoulli import sigmoid

__all__ = ["adjoint", "logits", "predict", "predict_proba"]


def logits(
    params: Params | Fitted,
    X: Float[AnyArray, "n m"] | Design,
    *,
    offset: Float[AnyArray, "K m"] | None = None,
) -> Float[Array, "K m"]:
    """Return the logits z = wT X + b + offset of every sample.

    Shapes: X (n, m), an array or a design, w (n, 1), b (1, 1), offset and result (1,
    m); or K models side by side, w (n, K), b (K, 1), result (K, m), by one matrix
    product, and offset (K, m), or (1, m) for all. In place of the parameters it takes a
    `Fit` of one problem or of K. Equation (2) of docs/derivation.md.
    The product is taken at the highest precision that the device offers. Parameters
    that were fitted with an offset need that of the samples here.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if an offset is not finite.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import Params, logits
        >>> params = Params(w=jnp.array([[2.0]]), b=jnp.array([[-3.0]]))
        >>> logits(params, jnp.array([[1.0, 1.5, 2.0]])).tolist()
        [[-1.0, 0.0, 1.0]]
    """
    design = check_design("X", X)
    params = as_params(params)
    _check_features(design.shape, params)
    params = check_params(params, design.shape[0], design.dtype, K="K")
    if offset is None:
        return _logits(params, design)
    K = len(params.b)
    rows = 1 if np.shape(offset)[:1] == (1,) else K
    offset = check_matrix("offset", offset, (rows, design.shape[1]), design.dtype)
    return _logits(params, design, check_range("offset", offset))


def _check_features(shape: tuple[int, int], params: Params) -> None:
    """Raise a ShapeError if the model is a matrix of weights for other features.

    Without this check the message would blame the weights.
    """
    n, *others = getattr(getattr(params, "w", None), "shape", ()) or (None,)
    if len(others) == 1 and shape[0] != n:
        transposed = ": write X.T" if shape[1] == n else ""
        raise ShapeError(
            f"X has shape {shape}, but the model has {n} features: X must have shape "
            f"({n}, m), a column per sample{transposed}"
        )


@partial(program, inline=True)
def _logits(
    params: Params, design: Design, offset: Array | None = None
) -> Float[Array, "K m"]:
    z = design.forward(params.w) + params.b
    return z if offset is None else z + offset


def predict_proba(
    params: Params | Fitted,
    X: Float[AnyArray, "n m"] | Design,
    *,
    offset: Float[AnyArray, "K m"] | None = None,
) -> Float[Array, "K m"]:
    """Return the probability a = sigmoid(z) that each sample has the label 1.

    Shapes: X (n, m), w (n, 1), b (1, 1), offset and result (1, m), in [0, 1]; or for K
    models w (n, K), b (K, 1), result (K, m), offset (K, m) or (1, m); or a `Fit`. z are
    the `logits`. Equation (3) of docs/derivation.md.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if an offset is not finite.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import Params, predict_proba
        >>> params = Params(w=jnp.array([[2.0]]), b=jnp.array([[-3.0]]))
        >>> a = predict_proba(params, jnp.array([[1.0, 1.5, 2.0]]))
        >>> [f"{one:.2f}" for one in a[0]]
        ['0.27', '0.50', '0.73']
    """
    return sigmoid(logits(params, X, offset=offset))


def predict(
    params: Params | Fitted,
    X: Float[AnyArray, "n m"] | Design,
    threshold: Any = 0.5,
    *,
    offset: Float[AnyArray, "K m"] | None = None,
) -> Float[Array, "K m"]:
    """Return the label of each sample: 1 where a > threshold, else 0.

    Shapes: X (n, m), w (n, 1), b (1, 1), offset and result (1, m), of X's dtype; or for
    K models w (n, K), b (K, 1), result (K, m), offset (K, m) or (1, m); or a `Fit`. a
    is that of `predict_proba`. The threshold is a number in [0, 1]. Where a is NaN
    there is no label, and the result is NaN.

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if the threshold is not in [0, 1], or an offset not finite.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import Params, predict
        >>> params = Params(w=jnp.array([[2.0]]), b=jnp.array([[-3.0]]))
        >>> predict(params, jnp.array([[1.0, 1.5, 2.0]])).tolist()
        [[0.0, 0.0, 1.0]]
        >>> predict(params, jnp.array([[1.0, 1.5, 2.0]]), threshold=0.2).tolist()
        [[1.0, 1.0, 1.0]]
    """
    a = predict_proba(params, X, offset=offset)
    threshold = check_number("threshold", threshold, a.dtype)
    threshold = check_range("threshold", threshold, 0.0, 1.0)
    return _labels(a, threshold)


@partial(program, inline=True)
def _labels(a: Float[Array, "K m"], threshold: Array) -> Float[Array, "K m"]:
    labels = (a > threshold).astype(a.dtype)
    return jnp.where(jnp.isnan(a - threshold), jnp.nan, labels)


def adjoint(X: Design, dz: Float[Array, "1 m"]) -> Params:
    """Return the adjoint of `logits` at dz: Params(w = X dzT, b = sum of dz).

    Shapes: X stands for (n, m), dz (1, m). This is backward propagation through
    z = wT X + b, equations (11) and (12) of docs/derivation.md before the division by
    m. Arguments are not checked: it is for callers inside the library.
    """
    return Params(w=X.adjoint(dz), b=dz.sum(axis=1, keepdims=True))
