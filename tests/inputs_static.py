"""Inputs of other shapes and dtypes than those of inputs.py."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from jlogreg import Params
from tests.inputs import (
    APART,
    ENDLESS,
    HONEST,
    ONES,
    OVERFLOW,
    QUASI,
    QUASI_Y,
    SEPARATED,
    SIDE,
    SINGULAR,
    SKEW,
    TALL,
    Group,
    X,
    Y,
    base,
    ends,
    put,
    refused,
    right,
    rows,
    second,
    start,
)

# Five features of three samples: Newton works in their span, if the penalty is one.
W = rows([1, 0, -2], [0.5, 1, 1], [-1, 0.25, 0], [2, -1, 0.5], [0, 3, 1])
V = rows([0, 1, 1])
SOFT_V = rows([0.25, 0.75, 0.4])
LEFT_OUT = rows([1, 1, 0])
FAR = start(1, -2, 3, 0, 0.5, -1)


def spoiled(value: float) -> np.ndarray:
    """Return W with one sample, which LEFT_OUT leaves out, of this size."""
    return put(W, (slice(None), 2), value)


SPAN = [
    right("l2 0.1", l2=0.1),
    right("l2 1e-8", l2=1e-8),
    right("l2 1e6", l2=1e6),
    right("l2 1e-8, soft", y=SOFT_V, l2=1e-8),
    ends("l2 1e-17, soft", HONEST, y=SOFT_V, l2=1e-17),
    ends("l2 1e-300, soft", HONEST, y=SOFT_V, l2=1e-300),
    ends("no l2", SEPARATED),
    ends("no l2, soft", ENDLESS, y=SOFT_V),  # SINGULAR, MAX_STEPS if maps share it
    ends("no l2, two alike", SINGULAR | ENDLESS, X=put(W, (slice(None), 1), W[:, 0])),
    ends("one class, l2", SEPARATED, y=rows([1, 1, 1]), l2=1.0),
    right("labels 0.3, l2", y=rows([0.3] * 3), l2=1.0, due=(0,) * 5 + (np.log(3 / 7),)),
    right("X zero, l2", X=0 * W, l2=1.0, due=(0,) * 5 + (np.log(2),)),
    right("features x 1e3, l2", X=1e3 * W, y=SOFT_V, l2=0.1),
    right("features + 1e3, l2", X=W + 1e3, y=SOFT_V, l2=0.1),
    ends("features + 1e9, l2", HONEST, X=W + 1e9, y=SOFT_V, l2=0.1),
    ends("feature x 1e8, l2", HONEST, X=put(W, 0, 1e8 * W[0]), y=SOFT_V, l2=0.1),
    ends("samples almost alike", HONEST, X=put(W, (0, 1), 1 + 1e-9), l2=1e-9),
    ends("feature x 1e200", OVERFLOW, X=put(W, 0, 1e200 * W[0]), l2=0.1),
    right("weight 0 over X NaN", X=spoiled(np.nan), weight=LEFT_OUT, l2=0.1),
    right("weight 0 over X 1e7", X=spoiled(1e7), weight=LEFT_OUT, l2=0.1),
    right("weight 0 over X 1e200", X=spoiled(1e200), weight=LEFT_OUT, l2=0.1),
    right("weights 1e300", weight=1e300 * rows([1, 2, 3]), l2=0.1),
    ends("offset -30 everywhere", HONEST, offset=rows([-30] * 3), l2=0.1),
    right("init outside the span", init=FAR, l2=0.1),
    right("init 1e6", init=start(*[1e6] * 6), l2=0.1),
    ends("max_steps 0", SEPARATED, init=FAR, max_steps=0),
    refused("X NaN", "X must be finite", X=put(W, (4, 2), np.nan)),
    refused("label 2", r"y must be in \[0, 1\]", y=2 * V),
    refused("l2 -1", "l2 must be at least 0", l2=-1.0),
]


def single(array: Any) -> np.ndarray:
    return np.asarray(array, np.float32)


# In float32, with a penalty of its own for each feature, or none.
HELD, FREE = single([[0], [1]]), single([[0], [0]])
TINY = np.float32(1e-9)
SINGLE = [
    right("plain", l2=FREE),
    right("l2 alike", l2=single([[0.1], [0.1]])),
    right("l2 0 and 1", l2=HELD),
    right("l2 0 and 1e30", l2=1e30 * HELD),
    right("features x 1e3", X=single(1e3 * X)),
    right("column x 1e-15", X=single(X * [[1], [1e-15]])),
    right("column + 10", X=single(X + rows([0], [10]))),
    ends("column x 1e25", OVERFLOW, X=single(X * [[1], [1e25]]), harder=ENDLESS),
    ends("duplicated column", SINGULAR, X=single([X[0], X[0]])),
    right("duplicated column, one held", X=single([X[0], X[0]]), l2=HELD),
    right("constant column, held", X=single(second(3.0)), l2=HELD),
    ends(
        "constant column, free",
        SINGULAR,
        X=single(second(3.0)),
        l2=HELD[::-1],
        harder=ENDLESS,
    ),
    ends("separated by the free feature", SEPARATED, y=single(APART), l2=HELD),
    right("separated by the held feature", y=single(APART), l2=HELD[::-1]),
    ends("separated, both free", SEPARATED, y=single(APART)),
    ends("one class, both held", SEPARATED, y=single(0 * Y), l2=HELD + 1),
    right("separated, l2 1e-9", y=single(APART), l2=FREE + TINY, harder=ENDLESS),
    right("offset 20 tells the labels", offset=single(20 * SIDE), harder=ENDLESS),
    right("offset 40 tells the labels", offset=single(40 * SIDE), harder=ENDLESS),
    ends(
        "separated, offset",
        SEPARATED,
        y=single(APART),
        offset=single(200 * SIDE),
        harder=ENDLESS,
    ),
    ends("quasi-separated, free", ENDLESS, X=single(QUASI), y=single(QUASI_Y), l2=HELD),
    right("quasi-separated, held", X=single(QUASI), y=single(QUASI_Y), l2=HELD[::-1]),
    *(
        ends(
            f"quasi-separated, offset {c}",
            ENDLESS | OVERFLOW,
            X=single(SKEW),
            y=single(QUASI_Y),
            offset=single(c * (2 * QUASI_Y - 1)),
        )
        for c in (30, 80, 84, 1e3)
    ),
    right("weights 1e30", weight=single(1e30 * ONES)),
    right("weights 1e-30", weight=single(1e-30 * ONES)),
    ends("tol 1e-30", HONEST, tol=1e-30),
    refused("label NaN", r"y\[0, 0\] = nan", y=single(put(Y, (0, 0), np.nan))),
    refused("l2 NaN in one place", r"l2\[0, 0\] = nan", l2=single([[np.nan], [1]])),
    refused("l2 -1 in one place", r"l2\[1, 0\] = -1", l2=-HELD),
    refused("l2 infinite", "l2 must be at least 0", l2=single([[0], [np.inf]])),
]
ONE = [
    ends("hard label", SEPARATED, y=rows([1])),
    ends("hard label, l2", SEPARATED, y=rows([0]), l2=1.0),
    ends("soft label", SINGULAR),
    right("soft label, l2", l2=1.0, due=(0, np.log(3 / 7))),
    right("x 0, l2", X=rows([0]), l2=1.0, due=(0, np.log(3 / 7))),
    ends("x 1e150, l2", HONEST, X=rows([1e150]), l2=1.0),
    right("offset 5, l2", offset=rows([5]), l2=1.0, due=(0, np.log(3 / 7) - 5)),
    refused("x infinite", "X must be finite", X=rows([np.inf])),
    refused("weight 0", "weight is 0 for every sample", weight=rows([0])),
]
# No weights, offset or start at all, and arrays as they come; more features than
# samples, with a penalty for each.
COLUMN = np.full((5, 1), 0.1)
BARE = [
    right("l2 alike"),
    right("arrays of JAX", X=jnp.asarray(W), y=jnp.asarray(V), l2=jnp.asarray(COLUMN)),
    right("in Fortran's order", X=np.asfortranarray(W)),
    right("backwards", X=W[:, ::-1], y=V[:, ::-1]),
    right("every second entry", X=np.repeat(W, 2, axis=1)[:, ::2]),
    right("one row for all", X=np.broadcast_to(W[:1], W.shape), y=SOFT_V),
    ends("feature x 2e154, soft", HONEST, X=put(W, 3, 2e154 * W[3]), y=SOFT_V),
    right("one free", y=SOFT_V, l2=put(COLUMN, 2, 0.0)),
    ends("four free", SINGULAR, y=SOFT_V, l2=rows([1], [0], [0], [0], [0])),
    ends("all free", SEPARATED, l2=0 * COLUMN),
    ends("separated by a free feature", SEPARATED, l2=rows([1], [0], [1], [1], [1])),
    right("not by a free feature", y=rows([0, 1, 0]), l2=rows([0], [1], [1], [1], [1])),
    ends("one class", SEPARATED, y=rows([1, 1, 1])),
    refused("X NaN", r"X must be finite .* X\[1, 2\] = nan", X=put(W, (1, 2), np.nan)),
    refused("X infinite", r"X\[0, 0\] = inf", X=put(W, (0, 0), np.inf)),
    refused("label NaN", r"y\[0, 2\] = nan", y=put(V, (0, 2), np.nan)),
    refused("l2 NaN", "l2 must be", l2=put(COLUMN, 3, np.nan)),
]


def in_float32() -> dict[str, Any]:
    problem = base(X, Y, l2=FREE, tol=2.0**-11)
    rows = {key: single(problem[key]) for key in ("X", "y", "weight", "offset")}
    return {**problem, **rows, "init": Params(FREE, FREE[:1])}


NONE = {"weight": None, "offset": None, "init": None}
GROUPS = [
    TALL,
    Group("wide", base(W, V), SPAN),
    Group("float32", in_float32(), SINGLE, ("default", "newton_cg")),
    Group("one sample", base(rows([2]), rows([0.3])), ONE),
    Group("bare", {**base(W, V, l2=COLUMN), **NONE}, BARE, ("default", "newton_cg")),
]
