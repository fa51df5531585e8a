"""Compute the cost and its gradient by the textbook's explicit loops, in plain Python.

There is one loop over the samples, and one over the features inside it; vectorized code
has neither. It is slow on purpose. It shares no arithmetic with the rest of the
library: the tests use it as an independent reference, and the timing experiment
compares the vectorized code with it. All arithmetic is in double precision.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from jlogreg.base.checks import AnyArray, check_matrix
from jlogreg.base.params import Params
from jlogreg.objective.cost import prepare_problem

__all__ = ["cost", "dot", "gradient", "value_and_gradient"]


def value_and_gradient(
    params: Params,
    X: Float[AnyArray, "n m"],
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
) -> tuple[float, Params]:
    """Return J and (dw, db) by loops over samples and features.

    Shapes: X (n, m), y (1, m), w (n, 1), b (1, 1); result (J, Params(w = dw (n, 1),
    b = db (1, 1))) in float64. The program of section 6 of docs/derivation.md: J, dw
    and db start at zero, each sample adds its part, and the sums are divided by m (by
    the sum of the weights, where there are weights).

    Raises:
        DtypeError, RankError, ShapeError: if an argument has the wrong type, dtype,
            rank or shape.
        ValueError: if a number is out of range, NaN or infinite.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import init_params, loops
        >>> X, y = jnp.array([[0.0, 1.0, 2.0, 3.0]]), jnp.array([[0.0, 0.0, 1.0, 1.0]])
        >>> J, (dw, db) = loops.value_and_gradient(init_params(1), X, y)
        >>> print(f"{J:.6f}", dw.tolist(), db.tolist())
        0.693147 [[-0.5]] [[0.0]]
    """
    X = check_matrix("X", X, ("n", "m"), no_rows=True)
    prepare_problem(params, X, y, weight, offset, l2)
    x, (labels,) = np.asarray(X, float).tolist(), np.asarray(y, float).tolist()
    n, m, b = len(x), len(labels), float(np.asarray(params.b)[0, 0])
    w = [float(value) for (value,) in np.asarray(params.w)]
    weights = [1.0] * m if weight is None else np.asarray(weight, float)[0].tolist()
    offsets = [0.0] * m if offset is None else np.asarray(offset, float)[0].tolist()
    penalty = np.broadcast_to(np.asarray(l2, float), (n, 1))[:, 0].tolist()

    J, dw, db, total = 0.0, [0.0] * n, 0.0, 0.0
    for i in range(m):
        if weights[i] == 0:
            continue  # excluded, even if its features are NaN
        z = b + offsets[i]
        for j in range(n):
            z += w[j] * x[j][i]
        J += weights[i] * _loss(z, labels[i])  # equation (8)
        dz = weights[i] * (_sigmoid(z) - labels[i])
        for j in range(n):
            dw[j] += x[j][i] * dz
        db += dz  # equations (11) and (12)
        total += weights[i]
    J, db = J / total, db / total
    for j in range(n):
        dw[j] = dw[j] / total + penalty[j] * w[j]
        J += penalty[j] * w[j] * w[j] / 2
    columns: Any = np.array([dw]).T, np.array([[db]])
    return J, Params(*columns)


def cost(
    params: Params,
    X: Float[AnyArray, "n m"],
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
) -> float:
    """Return J by loops over samples and features.

    Shapes: X (n, m), y (1, m), w (n, 1), b (1, 1); the result is a Python float, in
    nats. Equation (8) of docs/derivation.md; errors as in `value_and_gradient`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import init_params, loops
        >>> X, y = jnp.array([[0.0, 1.0, 2.0, 3.0]]), jnp.array([[0.0, 0.0, 1.0, 1.0]])
        >>> print(f"{loops.cost(init_params(1), X, y):.6f}")
        0.693147
    """
    options = {"weight": weight, "offset": offset, "l2": l2}
    return value_and_gradient(params, X, y, **options)[0]


def gradient(
    params: Params,
    X: Float[AnyArray, "n m"],
    y: Float[AnyArray, "1 m"],
    *,
    weight: Float[AnyArray, "1 m"] | None = None,
    offset: Float[AnyArray, "1 m"] | None = None,
    l2: Any = 0.0,
) -> Params:
    """Return dw and db by loops over samples and features.

    Shapes: X (n, m), y (1, m); result Params(w = dw (n, 1), b = db (1, 1)). Equations
    (11) and (12) of docs/derivation.md; errors as in `value_and_gradient`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import init_params, loops
        >>> X, y = jnp.array([[0.0, 1.0, 2.0, 3.0]]), jnp.array([[0.0, 0.0, 1.0, 1.0]])
        >>> dw, db = loops.gradient(init_params(1), X, y)
        >>> dw.tolist(), db.tolist()
        ([[-0.5]], [[0.0]])
    """
    options = {"weight": weight, "offset": offset, "l2": l2}
    return value_and_gradient(params, X, y, **options)[1]


def dot(u: Float[AnyArray, "n 1"], v: Float[AnyArray, "n 1"]) -> float:
    """Return the sum of u_i v_i by a loop.

    Shapes: u and v (n, 1).

    Raises:
        DtypeError, RankError, ShapeError: if u and v are not float32 or float64 arrays
            of one shape (n, 1).

    Examples:
        >>> import numpy as np
        >>> from jlogreg import loops
        >>> loops.dot(np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]]))
        11.0
    """
    rows = check_matrix("u", u, ("n", 1)).shape[0]
    check_matrix("v", v, (rows, 1))
    total = 0.0
    for left, right in zip(np.ravel(u).tolist(), np.ravel(v).tolist(), strict=True):
        total += left * right
    return total


def _sigmoid(z: float) -> float:
    if z < 0:
        return math.exp(z) / (1 + math.exp(z))
    return 1 / (1 + math.exp(-z))


def _loss(z: float, label: float) -> float:
    return max(z, 0.0) - label * z + math.log1p(math.exp(-abs(z)))
