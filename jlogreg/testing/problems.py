"""Problems of every kind, made from a seed in NumPy."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from jlogreg.base.params import Params

__all__ = ["Kind", "Problem", "can_be", "make_problem"]


class Kind(StrEnum):
    """A kind of problem, named for a property of its data.

    PLAIN: random labels, without any guarantee. ZERO_START: the same, at parameters of
    0. HUGE_LOGITS: at parameters whose largest logit is between 100 and 10 000.
    SOFT_LABELS: labels inside (0, 1). ILL_SCALED: features of sizes from 0.001 to 1000;
    a single feature has size 0.001. WEIGHTED: weights among 0, 1/2, 1, 2 and 3 and, in
    half of these problems, an offset.

    WELL_POSED: one finite minimum for every penalty, since each of n + 1 affinely
    independent samples occurs with both labels. COLLINEAR: the same, but feature 1 is
    twice feature 0. CONSTANT_COLUMN: the same, but feature 0 is constant, as the bias.

    ONE_CLASS: all labels are equal. SEPARABLE: a plane lies between the labels, half a
    unit from both. QUASI_SEPARABLE: samples on a plane have both labels, and all others
    are on the side of their label; no plane separates them strictly.

    Examples:
        >>> from jlogreg.testing import Kind
        >>> Kind("separable")
        <Kind.SEPARABLE: 'separable'>
        >>> len(Kind)
        12
    """

    PLAIN = "plain"
    ZERO_START = "zero start"
    HUGE_LOGITS = "huge logits"
    SOFT_LABELS = "soft labels"
    ILL_SCALED = "ill-scaled"
    WEIGHTED = "weighted"
    WELL_POSED = "well-posed"
    COLLINEAR = "collinear"
    CONSTANT_COLUMN = "constant column"
    ONE_CLASS = "one class"
    SEPARABLE = "separable"
    QUASI_SEPARABLE = "quasi-separable"


# These kinds would lose their property if a sample were excluded.
_OF_ALL = list(Kind)[6:]
_OVERLAPPING = (Kind.WELL_POSED, Kind.COLLINEAR, Kind.CONSTANT_COLUMN)


class Problem(NamedTuple):
    """The arguments of a cost: parameters, data and penalty.

    Shapes: params w (n, 1) and b (1, 1); X (n, m); y, weight, offset (1, m); l2 ().
    All are NumPy arrays of one dtype, so that only your own code is compiled.

    Examples:
        >>> from jlogreg.testing import make_problem
        >>> problem = make_problem("plain", (3, 20))
        >>> params, X, y = problem.arguments  # cost(*arguments, **options)
        >>> params.w.shape, X.shape, y.shape, [*problem.options]
        ((3, 1), (3, 20), (1, 20), ['weight', 'offset', 'l2'])
    """

    params: Params
    X: Float[np.ndarray, "n m"]
    y: Float[np.ndarray, "1 m"]
    weight: Float[np.ndarray, "1 m"]
    offset: Float[np.ndarray, "1 m"]
    l2: Float[np.ndarray, ""]

    @property
    def arguments(self) -> tuple[Any, Any, Any]:
        """The arguments by position: params, X and y."""
        return self.params, self.X, self.y

    @property
    def options(self) -> dict[str, Any]:
        """The arguments by name: weight, offset and l2."""
        return {"weight": self.weight, "offset": self.offset, "l2": self.l2}


def can_be(kind: Kind, shape: tuple[int, int]) -> bool:
    """Return whether problems of this kind exist with n features and m samples."""
    n, m = shape
    least = {Kind.SEPARABLE: 2, Kind.QUASI_SEPARABLE: 3}.get(kind, 1)
    if kind in _OVERLAPPING:
        least = 2 * n + 2
    return n >= (2 if kind == Kind.COLLINEAR else 1) and m >= least


def make_problem(
    kind: str = "plain",
    shape: tuple[int, int] = (3, 20),
    dtype: Any = np.float32,
    *,
    seed: int = 0,
    l2: float = 0.0,
    weighted: bool = False,
) -> Problem:
    """Return a random problem of a kind.

    Shapes: as for `Problem`, with (n, m) the `shape`.

    Args:
        kind: a `Kind`, or its name.
        shape: n features, m samples.
        dtype: of all arrays.
        seed: of NumPy's generator; equal seeds give equal problems.
        l2: the penalty.
        weighted: whether weights and offset are drawn, as for the kind "weighted";
            otherwise they are 1 and 0. Kinds whose property needs all samples have no
            weights of 0.

    Raises:
        ValueError: if the kind does not exist, or not in this shape.

    Examples:
        >>> from jlogreg import Status, fit
        >>> from jlogreg.testing import make_problem
        >>> _, X, y, *_ = make_problem("separable", (3, 20), seed=1)
        >>> Status(int(fit(X, y).status)).name
        'SEPARATED'
    """
    kind = Kind(kind)
    if not can_be(kind, shape):
        raise ValueError(f"no problem of shape {shape} is {kind}")
    random = np.random.default_rng(seed)
    X = random.standard_normal(shape)
    n, m = shape
    if kind == Kind.ILL_SCALED:
        X *= 10.0 ** random.permutation(np.linspace(-3, 3, n))[:, None]
    w: Any = random.standard_normal((n, 1))
    b: Any = random.standard_normal((1, 1))
    if kind == Kind.ZERO_START:
        w, b = 0 * w, 0 * b
    if kind == Kind.HUGE_LOGITS:
        w *= 10.0 ** random.uniform(2, 4) / np.abs(w.T @ X).max()
    y = (random.random((1, m)) < 0.5).astype(float)
    if kind == Kind.SOFT_LABELS:
        y = random.uniform(2.0**-10, 1 - 2.0**-10, (1, m))
    weight, offset = _rows(random, m, kind)
    if not (weighted or kind == Kind.WEIGHTED):
        weight, offset = np.ones_like(y), np.zeros_like(y)
    _impose(kind, X, y, random)
    arrays = (Params(w, b), X, y, weight, offset, np.array(l2))
    return Problem(*jax.tree.map(lambda array: array.astype(dtype), arrays))


def _rows(random: Any, m: int, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    weight = random.choice([0.0, 0.5, 1.0, 2.0, 3.0], (1, m))
    weight[0, 0] = 1.0  # at least one sample counts
    if kind in _OF_ALL:
        weight = np.maximum(weight, 0.5)
    offset = random.standard_normal((1, m)) * random.choice([0.0, 1.0])
    return weight, offset


def _impose(kind: Kind, X: np.ndarray, y: np.ndarray, random: Any) -> None:
    """Change X and y in place so that they have the property of the kind."""
    n, m = X.shape
    if kind in _OVERLAPPING:
        _with_both_labels(X, y, n + 1)
    if kind == Kind.COLLINEAR:
        X[1] = 2 * X[0]  # exact in any precision
    if kind == Kind.CONSTANT_COLUMN:
        X[0] = X[0, 0]
    if kind == Kind.ONE_CLASS:
        y[:] = random.integers(2)
    if kind == Kind.SEPARABLE:
        y[0, :2] = 0, 1
        normal = random.standard_normal((n, 1))
        normal /= np.linalg.norm(normal)
        z = normal.T @ X + random.standard_normal()
        X += normal * ((2 * y - 1) * (0.5 + np.abs(z)) - z)
    if kind == Kind.QUASI_SEPARABLE:
        pairs = min(n, (m - 1) // 2)
        _with_both_labels(X, y, pairs)
        across = random.integers(n)
        X[across] = (2 * y - 1) * np.abs(X[across])
        X[across, : 2 * pairs] = 0


def _with_both_labels(X: np.ndarray, y: np.ndarray, pairs: int) -> None:
    """Copy the first samples into the next ones, with the other label."""
    again = slice(pairs, 2 * pairs)
    X[:, again], y[:, again] = X[:, :pairs], 1 - y[:, :pairs]
