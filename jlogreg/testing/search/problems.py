"""Random problems with every hazard that a fit may meet, each made from its seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

__all__ = ["SHAPES", "VERSION", "Hard", "Shape", "make_hard", "shape_of"]

# Answers are kept with the version: another one makes other problems of the seeds.
VERSION = 1


class Shape(NamedTuple):
    """The static part of a problem: what is fitted by one compiled program.

    n features, m samples; rows: whether it has weights and an offset; per_feature:
    whether the penalty is a column.
    """

    n: int
    m: int
    rows: bool
    per_feature: bool


SHAPES = (
    Shape(1, 8, rows=True, per_feature=False),
    Shape(1, 2, rows=False, per_feature=False),
    Shape(2, 20, rows=False, per_feature=False),
    Shape(2, 20, rows=True, per_feature=True),
    Shape(3, 8, rows=True, per_feature=False),
    Shape(3, 8, rows=False, per_feature=True),
    Shape(4, 3, rows=False, per_feature=False),
    Shape(5, 40, rows=True, per_feature=False),
    Shape(5, 12, rows=False, per_feature=False),
    Shape(8, 5, rows=True, per_feature=False),
    Shape(12, 10, rows=True, per_feature=True),
    Shape(12, 80, rows=True, per_feature=False),
)


class Hard(NamedTuple):
    """A problem, rounded to its dtype: what these numbers say is what is true.

    Shapes: X (n, m); y (1, m); weight and offset (1, m), or None; l2 () or (n, 1).
    name is the seed of a random problem, or package/table:column of a real one; hazards
    are words for what is in it.
    """

    name: int | str
    X: Float[np.ndarray, "n m"]
    y: Float[np.ndarray, "1 m"]
    weight: Float[np.ndarray, "1 m"] | None
    offset: Float[np.ndarray, "1 m"] | None
    l2: Float[np.ndarray, ...]
    hazards: tuple[str, ...]

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `fit` by name, without those that are None."""
        named = {name: getattr(self, name) for name in ("X", "y", "weight", "offset")}
        named = {name: array for name, array in named.items() if array is not None}
        return {**named, "l2": self.l2}


def shape_of(seed: int) -> Shape:
    """Return the shape of the problem with this seed."""
    return SHAPES[seed % len(SHAPES)]


def make_hard(seed: int, dtype: Any) -> Hard:
    """Return the problem of a seed, rounded to the dtype.

    Each choice is drawn in the same order in every dtype, so that a seed is the same
    problem in both precisions, but for the rounding.
    """
    random = np.random.default_rng(seed)
    n, m, rows, per_feature = shape_of(seed)
    kind = _draw(random, COLUMNS | {"mixed": None})
    X = np.array([_column(random, kind, m) for _ in range(n)])
    weight_kind, weight = _weight(random, m, rows)
    special = _draw(random, SPECIAL)
    if special:
        _impose(random, special, X, weight > 0)
    if random.random() < 0.3:  # samples that occur more than once
        again = random.random(m) < 0.5
        X[:, again] = X[:, random.integers(m, size=m)[again]]
    units = random.random() < 0.3
    if units:
        X *= 10.0 ** random.integers(-8, 9, (n, 1))
    labels_kind = _draw(random, LABELS)
    y = _labels(random, labels_kind, X)
    offset_kind, offset = _offset(random, m, rows)
    l2 = _penalty(random, n, per_feature)
    return Hard(
        seed,
        X.astype(dtype),
        y.astype(dtype)[None],
        weight.astype(dtype)[None] if rows else None,
        offset.astype(dtype)[None] if rows else None,
        l2.astype(dtype),
        tuple(
            word
            for word in (
                f"{kind} features",
                special,
                units and "other units",
                f"{labels_kind} labels",
                rows and f"{weight_kind} weights",
                rows and f"{offset_kind} offset",
                bool(l2.any()) and "penalty",
            )
            if word
        ),
    )


RARE = (0.05, 0.2, 0.5)

# Kinds of features: each draws m numbers.
Draw = Callable[[Any, int], Any]
COLUMNS: dict[str, Draw | None] = {
    "normal": lambda random, m: random.normal(size=m),
    "integer": lambda random, m: random.integers(-2, 3, m).astype(float),
    "yes-or-no": lambda random, m: 1.0 * (random.random(m) < random.choice(RARE)),
    "genotype": lambda random, m: random.binomial(2, random.choice(RARE), m) * 1.0,
    "heavy-tailed": lambda random, m: random.standard_cauchy(m),
}
# What some of the features are instead, or nothing.
SPECIAL = [
    *("", "", "", "collinear", "collinear where weighted", "nearly collinear"),
    *("constant", "years", "kelvin", "large mean"),
]
LABELS = [
    *("logistic", "logistic", "logistic", "coin", "steep", "one class", "rare"),
    *("plane", "one feature", "soft", "equal soft", "partly soft"),
]


def _draw(random: Any, kinds: Any) -> str:
    return str(random.choice(list(kinds)))


def _column(random: Any, kind: str, m: int) -> Any:
    draw = COLUMNS.get(kind) or COLUMNS[_draw(random, COLUMNS)]
    assert draw is not None
    return draw(random, m)


def _impose(random: Any, special: str, X: Any, weighted: Any) -> None:
    """Make some features, or at least one, special."""
    n, m = X.shape
    some = random.random(n) < 0.4
    some[random.integers(n)] = True
    for j in np.flatnonzero(some):
        others = np.delete(X, j, axis=0)
        of_others = random.integers(-2, 3, len(others)) @ others + random.integers(
            -1, 2
        )
        noise = random.normal(size=m)
        if special == "collinear":
            X[j] = of_others
        elif special == "collinear where weighted":
            X[j] = np.where(weighted, of_others, noise)
        elif special == "nearly collinear":
            X[j] = of_others + 10.0 ** -random.integers(2, 16) * noise
        elif special == "constant":
            X[j] = random.choice([0.0, 1.0, 3.7, -1e4])
        elif special == "years":
            X[j] = random.integers(1950, 2026, m)
        elif special == "kelvin":
            X[j] = 293.15 + 10 * noise
        else:
            X[j] = 10.0 ** random.integers(1, 8) + noise


def _labels(random: Any, kind: str, X: Any) -> Any:
    m = X.shape[1]
    spread = X.std(axis=1, keepdims=True)
    unit = (X - X.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    z = random.normal(size=len(X)) @ unit * (6 if kind == "steep" else 1)
    a = 0.5 * (1 + np.tanh(z / 2))
    coins = 1.0 * (random.random(m) < 0.5)
    uniform, one = random.random(m), float(random.integers(2))
    y = 1.0 * (uniform < a)  # logistic, and steep
    if kind == "coin":
        y = coins
    elif kind == "one class":
        y = np.full(m, one)
    elif kind == "rare":
        y = np.where(np.arange(m) == random.integers(m), one, 1 - one)
    elif kind == "plane":
        y = 1.0 * (z > np.median(z))
    elif kind == "one feature":  # above its mean only one label occurs
        y = np.where(unit[random.integers(len(X))] > 0, one, coins)
    elif kind == "soft":
        y = a if random.random() < 0.5 else uniform
    elif kind == "equal soft":
        y = np.full(m, random.choice([0.5, 0.1, 1e-6]))
    elif kind == "partly soft":
        y = np.where(random.random(m) < 0.2, random.random(m), y)
    return y


def _weight(random: Any, m: int, rows: bool) -> tuple[str, Any]:
    """Return weights of at least 1e-37, a normal number of float32, or 0."""
    kinds: dict[str, Callable[[], Any]] = {
        "equal": lambda: np.ones(m),
        "uniform": lambda: random.random(m),
        "bootstrap": lambda: np.bincount(random.integers(m, size=m), minlength=m) * 1.0,
        "wide": lambda: 10.0 ** random.uniform(-6, 6, m),
        "tiny": lambda: 10.0 ** random.uniform(-36, -30) * random.uniform(0.1, 1, m),
        "huge": lambda: 10.0 ** random.uniform(20, 34) * random.random(m),
        "zero and one": lambda: 1.0 * (random.random(m) < 0.6),
    }
    kind = _draw(random, kinds) if rows else "equal"
    weight = kinds[kind]()
    if not weight.any():
        weight[0] = 1
    return kind, weight


def _offset(random: Any, m: int, rows: bool) -> tuple[str, Any]:
    kinds: dict[str, Callable[[], Any]] = {
        "no": lambda: np.zeros(m),
        "normal": lambda: random.normal(size=m),
        "large": lambda: 20 * random.normal(size=m),
        "equal": lambda: np.full(m, random.choice([-300.0, -30.0, 5.0, 30.0, 300.0])),
        "huge": lambda: random.uniform(-300, 300, m),
    }
    kind = _draw(random, [*kinds, "no"]) if rows else "no"
    return kind, kinds[kind]()


def _penalty(random: Any, n: int, per_feature: bool) -> Any:
    """Return penalties from 1e-12 to 10, half of them 0."""
    shape = (n, 1) if per_feature else ()
    penalty = 10.0 ** random.uniform(-12, 1, shape)
    return np.asarray(np.where(random.random(shape) < 0.5, 0.0, penalty))
