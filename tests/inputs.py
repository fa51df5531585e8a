"""One table of inputs, good, unusual and bad, and of how a fit of each may end.

An input is a change of the base problem of its group: what a group's cases share is
compiled once. That a fit ends with CONVERGED always demands that it is right; where
nothing else is allowed, the case is called right.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jlogreg import Params, Status

Statuses = frozenset[Status]

RIGHT = frozenset([Status.CONVERGED])
SEPARATED = frozenset([Status.SEPARATED])
SINGULAR = frozenset([Status.SINGULAR])
STEPS_OUT = frozenset([Status.MAX_STEPS])
OVERFLOW = frozenset([Status.NONFINITE])
BAD = frozenset([Status.BAD_INPUT])
# No minimum, or none that is told apart: the steps go on, or lead nowhere.
ENDLESS = frozenset([Status.DIVERGED, Status.MAX_STEPS, Status.SINGULAR])
# Too hard for the precision, perhaps; but not separated.
HONEST = RIGHT | OVERFLOW | ENDLESS


class Case(NamedTuple):
    """Hold one input: what it changes, and what is expected.

    traced: the statuses it may end with where its numbers are unknown; eager: the same
    where they are known, or the words of a ValueError; harder: statuses that solvers
    without a Hessian may end with too; near: (n + 1,), where the oracle starts; due:
    (n + 1,), what a formula says of w and b.
    """

    name: str
    changes: dict[str, Any]
    traced: Statuses
    eager: Statuses | str
    harder: Statuses = frozenset()
    near: tuple[float, ...] | None = None
    due: tuple[float, ...] | None = None


class Group(NamedTuple):
    """Hold a base problem, its cases, and the solvers they are for, by name."""

    name: str
    base: dict[str, Any]
    cases: list[Case]
    solvers: tuple[str, ...] = ("default",)


def ends(
    name: str,
    statuses: Statuses,
    *,
    harder: Statuses = frozenset(),
    near: tuple[float, ...] | None = None,
    due: tuple[float, ...] | None = None,
    **changes: Any,
) -> Case:
    return Case(name, changes, statuses, statuses, harder, near, due)


def right(name: str, **changes: Any) -> Case:
    return ends(name, RIGHT, **changes)


def refused(name: str, words: str, **changes: Any) -> Case:
    """Return a case that is a ValueError in eager mode, BAD_INPUT where traced."""
    return Case(name, changes, BAD, words)


def put(array: np.ndarray, place: Any, value: Any) -> np.ndarray:
    """Return a copy of an array with other numbers in one place."""
    array = array.copy()
    array[place] = value
    return array


def rows(*numbers: Any) -> np.ndarray:
    return np.array(numbers, float)


def start(*numbers: float) -> Params:
    """Return parameters as float64: w above b."""
    column = np.array(numbers, float)[:, None]
    return Params(w=column[:-1], b=column[-1:])


def base(X: np.ndarray, y: np.ndarray, **changes: Any) -> dict[str, Any]:
    """Return a problem with every argument given, so that all compile alike."""
    rest = {
        "weight": np.ones_like(y),
        "offset": np.zeros_like(y),
        "l2": 0.0,
        "init": start(*np.zeros(len(X) + 1)),
        "tol": 2.0**-26,
        "max_steps": 100,
    }
    return {"X": X, "y": y, **rest, **changes}


# Two features of twelve samples; multiples of an eighth, so exact in float32 as well.
X = rows(
    [-2.5, -1.75, -1.25, -1, -0.5, -0.25, 0.25, 0.75, 1, 1.5, 2, 2.75],
    [0.5, -1.5, 1, 2, -0.75, -2.25, 1.75, -0.5, 0.25, -1.25, 1.5, 0.75],
)
Y = rows([0, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1])
SOFT = rows([0.1, 0.4, 0.3, 0.2, 0.6, 0.5, 0.45, 0.9, 0.7, 0.8, 0.95, 0.85])
PLACES = np.arange(12)
ONES, ZEROS, SIDE = np.ones((1, 12)), np.zeros((1, 12)), 2 * Y - 1
SOLUTION = start(0.8073963000361963, -0.08364664361411722, -0.05539684102331543)
APART = (X[:1] > 0) * 1.0  # labels that the first feature separates
ALMOST = put(APART, (0, 2), 1.0)  # all but a sample amid the others
LIGHT = put(ONES, (0, 2), 1e-9)
LEFT_OUT = put(ONES, (0, [4, 10]), 0.0)
EVEN = (PLACES % 2 == 0) * ONES
# A feature that occurs with one label only, alone and added to another one.
QUASI = np.stack([PLACES >= 8, X[0]])
SKEW = QUASI + [[1], [0]] * X[:1]
QUASI_Y = put(Y, (0, slice(8, 12)), 1.0)
# The same on both sides; offsets can tell the other labels.
TIES = np.stack([np.repeat([0.0, 1, -1], [6, 3, 3]), X[1]])
TIES_Y = rows([0, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0])


def second(column: Any) -> np.ndarray:
    """Return X with another second feature."""
    return put(X, 1, column)


def spoiled(value: float) -> np.ndarray:
    """Return X with one sample, which LEFT_OUT leaves out, of this size."""
    return put(X, (slice(None), 4), [value, -value])


LABELS = [
    right("plain"),
    right("soft labels", y=SOFT),
    right("labels 0.3 everywhere", y=0.3 * ONES, due=(0, 0, np.log(3 / 7))),
    right("labels 0.5 everywhere", y=0.5 * ONES, due=(0, 0, 0)),
    right("labels almost hard", y=np.abs(Y - 1e-9)),
    right(
        "labels almost hard, apart",
        y=np.where(APART == 1, 1 - 1e-9, 1e-9),
        harder=ENDLESS,
    ),
    right("one soft label", y=put(Y, (0, 3), 0.5)),
    right("one soft label holds the line", y=put(APART, (0, 11), 0.9)),
    right("label -0.0", y=np.where(Y == 0, -0.0, Y)),
    refused(
        "label -1", r"y must be in \[0, 1\].* y\[0, 3\] = -1", y=put(Y, (0, 3), -1)
    ),
    refused("labels -1 and 1", "6 of 12 entries", y=SIDE),
    refused("labels 0 and 2", "6 of 12 entries", y=2 * Y),
    refused("label just above 1", "y must be in", y=put(Y, (0, 2), 1 + 1e-9)),
    refused("label just below 0", "y must be in", y=put(Y, (0, 0), -1e-9)),
    refused("label NaN", r"y\[0, 0\] = nan", y=put(Y, (0, 0), np.nan)),
    refused("label infinite", r"y\[0, 11\] = inf", y=put(Y, (0, 11), np.inf)),
]

FEATURES = [
    right("column x 1e8", X=second(1e8 * X[1])),
    right("column x 1e-8", X=second(1e-8 * X[1])),
    right("column x 1e150", X=second(1e150 * X[1]), harder=ENDLESS),
    right("column x 1e-140", X=second(1e-140 * X[1]), harder=ENDLESS),
    ends("column x 1e-150", HONEST, X=second(1e-150 * X[1])),
    ends("column x 2e154", HONEST, X=second(2e154 * X[1])),
    ends("column x 1e-155", HONEST, X=second(1e-155 * X[1])),
    ends("column x 1e200", OVERFLOW, X=second(1e200 * X[1]), harder=ENDLESS),
    ends("column x 6e307", OVERFLOW, X=second(6e307 * X[1]), harder=ENDLESS),
    ends("all features 1e308", OVERFLOW, X=1e308 * np.sign(X), harder=ENDLESS),
    right("column + 1e3", X=second(X[1] + 1e3)),
    ends("column + 1e6", HONEST, X=second(X[1] + 1e6)),
    ends("column + 1e9", HONEST, X=second(X[1] + 1e9)),
    right("columns alike to 1e-4", X=second(X[0] + 1e-4 * X[1])),
    ends("columns alike to 1e-9", HONEST, X=second(X[0] + 1e-9 * X[1])),
    ends("zero column", SINGULAR, X=second(0.0)),
    ends("constant column", SINGULAR, X=second(3.0), harder=ENDLESS),
    ends("duplicated column", SINGULAR, X=second(X[0])),
    ends("multiple of a column", SINGULAR, X=second(2 * X[0] - 1), harder=ENDLESS),
    ends("subnormal column", SINGULAR, X=second(1e-310 * X[1])),
    right("zero column, l2", X=second(0.0), l2=0.1),
    right("constant column, l2", X=second(3.0), l2=0.1),
    right("duplicated column, l2", X=second(X[0]), l2=0.1),
    right("subnormal column, l2", X=second(1e-310 * X[1]), l2=0.1),
    right("all features 0, l2", X=0 * X, l2=1.0, due=(0, 0, 0)),
    refused("X NaN", "X must be finite", X=put(X, (1, 7), np.nan)),
    refused("X NaN everywhere", "X must be finite", X=np.nan * X),
    refused("X infinite", "X must be finite", X=put(X, (0, 0), np.inf)),
    refused("X -infinite", "X must be finite", X=put(X, (0, 0), -np.inf)),
]

WEIGHTS = [
    right("weights", weight=rows([1, 2, 3, 0.5, 1, 1, 2, 1, 4, 1, 0.25, 1])),
    right("weights of many sizes", weight=10.0 ** -PLACES[None]),
    right("weights 1e300", weight=1e300 * ONES),
    right("weights 1e-300", weight=1e-300 * ONES),
    right("weights 1.7e308", weight=1.7e308 * ONES),
    right("weights 1e300 and 1", weight=put(1e300 * ONES, (0, 0), 1.0)),
    ends("weights 1e300 and 1e-300", HONEST | SEPARATED, weight=1e300**SIDE),
    right("weight -0.0", weight=put(ONES, (0, 0), -0.0)),
    right("weight 0 over X NaN", weight=LEFT_OUT, X=put(X, (0, 4), np.nan)),
    right("weight 0 over X infinite", weight=LEFT_OUT, X=put(X, (1, 10), np.inf)),
    right("weight 0 over label NaN", weight=LEFT_OUT, y=put(Y, (0, 4), np.nan)),
    right("weight 0 over label 7", weight=LEFT_OUT, y=put(Y, (0, 10), 7.0)),
    right(
        "weight 0 over offset NaN", weight=LEFT_OUT, offset=put(ZEROS, (0, 10), np.nan)
    ),
    right("weight 0 over X 1e4", weight=LEFT_OUT, X=spoiled(1e4)),
    right("weight 0 over X 1e7", weight=LEFT_OUT, X=spoiled(1e7)),
    # The preconditioner, which knows X alone, overflows; that is said.
    right("weight 0 over X 1e300", weight=LEFT_OUT, X=spoiled(1e300), harder=ENDLESS),
    right(
        "weight 1e-9 on the wrong side",
        y=ALMOST,
        weight=put(ONES, (0, 2), 1e-9),
        harder=ENDLESS,
    ),
    right("all but one on the right side", y=ALMOST),
    ends(
        "feature of light samples only",
        HONEST,
        X=second(X[1] * (PLACES > 5)),
        y=rows([0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 0, 1]),
        weight=np.where(PLACES > 5, 1e-13, 1)[None],
    ),
    ends(
        "weights leave a constant",
        SINGULAR,
        weight=EVEN,
        X=second(X[1] ** (1 - EVEN)),
        harder=ENDLESS,
    ),
    ends("weights leave two soft", SINGULAR, y=SOFT, weight=ONES * (PLACES < 2)),
    ends("weights leave one class", SEPARATED, weight=Y),
    refused("weight NaN", r"weight\[0, 4\] = nan", weight=put(ONES, (0, 4), np.nan)),
    refused("weight infinite", "weight must be", weight=put(ONES, (0, 4), np.inf)),
    refused(
        "weight -1", r"at least 0 .* weight\[0, 4\] = -1", weight=put(ONES, (0, 4), -1)
    ),
    refused("weight -1e-300", "at least 0", weight=put(ONES, (0, 4), -1e-300)),
    refused("weights all 0", "weight is 0 for every sample", weight=ZEROS),
]

LOGITS = np.log(SOFT / (1 - SOFT))
OFFSETS = [
    right("offset", offset=X[1:]),
    right("offset explains everything", y=SOFT, offset=LOGITS),
    right("offset -10 everywhere", offset=-10 * ONES),
    *(
        ends(f"offset {c:g} everywhere", HONEST, offset=c * ONES, near=(0, 0, -c))
        for c in (-30, 1e3, 1e6, 1e10, 1e16, 1e300)
    ),
    ends("offset -1e12 at one sample", HONEST, offset=put(ZEROS, (0, 7), -1e12)),
    right("offset 30 tells the labels", offset=30 * SIDE),
    right("offset 300 tells the labels", offset=300 * SIDE, harder=ENDLESS),
    ends("offset 700 tells the labels", HONEST, offset=700 * SIDE),
    ends("offset 720 tells the labels", HONEST, offset=720 * SIDE),
    ends(
        "offset 1e3 tells them wrong",
        HONEST,
        offset=-1e3 * SIDE,
        near=(1037, -593, -74),
    ),
    ends("offset 30 against a plane", SEPARATED, y=APART, offset=30 - 60 * APART),
    refused("offset NaN", r"offset\[0, 1\] = nan", offset=put(ZEROS, (0, 1), np.nan)),
    refused("offset infinite", "offset must be finite", offset=np.inf * ONES),
]

SEPARATION = [
    ends("separated", SEPARATED, y=APART),
    ends("separated, features x 1e9", SEPARATED, y=APART, X=1e9 * X),
    ends("separated, features x 1e-9", SEPARATED, y=APART, X=1e-9 * X),
    ends("separated, weight 1e-9", SEPARATED, y=APART, weight=LIGHT),
    ends(
        "separated where weights are",
        SEPARATED,
        y=ALMOST,
        weight=put(ONES, (0, 2), 0.0),
    ),
    ends("separated, from afar", SEPARATED, y=APART, init=start(1e3, 1, -5)),
    ends("separated, from the wrong side", SEPARATED, y=APART, init=start(-1e3, 1, 5)),
    ends("separated, l2 lost", HONEST | SEPARATED, y=APART, l2=1e-310),
    ends("separated, l2 1e-300", HONEST, y=APART, l2=1e-300),
    right("separated, l2 1e-9", y=APART, l2=1e-9, harder=ENDLESS),
    right("separated, l2 1", y=APART, l2=1.0),
    ends("one class", SEPARATED, y=ONES),
    ends("the other class", SEPARATED, y=ZEROS),
    ends("one class, l2", SEPARATED, y=ONES, l2=1.0),
    ends("one class, offset -1e3", SEPARATED, y=ONES, offset=-1e3 * ONES),
    right("one sample of a class, l2", y=put(ZEROS, (0, 4), 1.0), l2=0.1),
    ends("quasi-separated", ENDLESS, X=QUASI, y=QUASI_Y),
    ends("quasi-separated, skew", ENDLESS, X=SKEW, y=QUASI_Y),
    ends("quasi-separated, 1000 steps", ENDLESS, X=QUASI, y=QUASI_Y, max_steps=1000),
    ends("quasi-separated, tol 0.1", ENDLESS, X=QUASI, y=QUASI_Y, tol=0.1),
    *(
        ends(f"quasi-separated, from {far:g}", ENDLESS, X=QUASI, y=QUASI_Y, init=init)
        for far, init in ((x, start(x, 0, 0)) for x in (1e2, 1e4, 1e8))
    ),
    ends(
        "quasi-separated, skew, from afar",
        ENDLESS,
        X=SKEW,
        y=QUASI_Y,
        init=start(1e4, -1e4, 0),
    ),
    *(
        ends(
            f"quasi-separated, skew, offset {c}",
            ENDLESS | OVERFLOW,
            X=SKEW,
            y=QUASI_Y,
            offset=c * (2 * QUASI_Y - 1),
        )
        for c in (30, 677, 706, 707, 1e4)
    ),
    right("quasi-separated, l2", X=QUASI, y=QUASI_Y, l2=1e-3),
    ends("quasi-separated, both sides", ENDLESS, X=TIES, y=TIES_Y),
    *(
        ends(
            f"quasi-separated, offset {c}",
            ENDLESS | OVERFLOW,
            X=TIES,
            y=TIES_Y,
            offset=c * (2 * TIES_Y - 1),
        )
        for c in (30, 700, 705, 1e4)
    ),
]

PENALTIES = [
    right("l2 0.1", l2=0.1),
    right("l2 1e6", l2=1e6),
    right("l2 1e300", l2=1e300),
    right("l2 1e-300", l2=1e-300),
    right("l2 -0.0", l2=-0.0),
    refused("l2 NaN", "l2 must be at least 0, but is nan", l2=np.nan),
    refused("l2 infinite", "l2 must be at least 0, but is inf", l2=np.inf),
    refused("l2 -1", "l2 must be at least 0, but is -1", l2=-1.0),
    refused("l2 -1e-300", "l2 must be at least 0", l2=-1e-300),
]

STEPS = [
    ends("max_steps 0", STEPS_OUT, max_steps=0),
    ends("max_steps 0, init", STEPS_OUT, max_steps=0, init=start(1, -2, 0.5)),
    ends("max_steps 0 at the solution", STEPS_OUT, max_steps=0, init=SOLUTION),
    ends("max_steps 0, separated", SEPARATED, max_steps=0, y=APART),
    ends("max_steps 1", STEPS_OUT, max_steps=1),
    right("init at the solution", init=SOLUTION),
    *(
        right(
            f"init {far:g}", init=start(far, -far, far / 2), harder=ENDLESS | OVERFLOW
        )
        for far in (1e3, -1e6, 1e100, 1e300)
    ),
    right("tol 1e-3", tol=1e-3),
    right("tol 1e-12", tol=1e-12),
    ends("tol 1e-300", HONEST, tol=1e-300),
    right("tol 0.1", tol=0.1),
    refused("tol 0", "tol must be", tol=0.0),
    refused("tol -1", "tol must be", tol=-1.0),
    refused("tol 1.5", "tol must be", tol=1.5),
    refused("tol NaN", "tol must be", tol=np.nan),
    refused("tol infinite", "tol must be", tol=np.inf),
    refused("max_steps -1", "max_steps must be at least 0", max_steps=-1)._replace(
        traced=BAD | STEPS_OUT
    ),
    refused("init NaN", r"init.w\[1, 0\] = nan", init=start(0, np.nan, 0)),
    refused("init infinite", "init.b must be finite", init=start(0, 0, np.inf)),
]

TALL = Group(
    "tall",
    base(X, Y),
    [
        *LABELS,
        *FEATURES,
        *WEIGHTS,
        *OFFSETS,
        *SEPARATION,
        *PENALTIES,
        *STEPS,
    ],
    ("default", "newton_cg", "lbfgs"),
)
