"""Kinds of argument, and the mistakes that can be made with each kind.

A mistake is a wrong value, made from the valid one that tests/table.py holds, with the
error that it must cause and the words of the message. The table says of which kind each
argument of each public function is, so every function meets every mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import scipy.sparse
from jax.experimental.sparse import BCOO

import jlogreg as jl
from jlogreg import Dense, Params, Sparse, Stacked, Standardized

NAN, INF = float("nan"), float("inf")


class Mistake(NamedTuple):
    """The error that a wrong value must cause, and how to make it from a valid one.

    words: a regular expression, in which {name} is the name of the argument; bad: of
    the valid argument, as NumPy's array where it is one.
    """

    error: type[Exception]
    words: str
    bad: Callable[[Any], Any]


class Kind(NamedTuple):
    """A kind of argument.

    static: mistakes of type, dtype, rank or shape, known when a function is traced;
    values: mistakes of the numbers, errors where they are known and NaN in the result
    where they are traced; rank: the rank it must have, "0 or 2", or None where the rank
    discipline has a test of its own; free: whether a transpose is valid too.
    """

    static: tuple[Mistake, ...] = ()
    values: tuple[Mistake, ...] = ()
    rank: int | str | None = 2
    free: bool = False

    def taking_booleans(self) -> Kind:
        """Return the kind of labels, for which booleans are no mistake."""
        kept = (one for one in self.static if "dtype bool" not in one.words)
        return self._replace(static=tuple(kept))

    def but(self, *static: Mistake, **changes: Any) -> Kind:
        """Return the kind with more static mistakes, or other fields."""
        return self._replace(static=(*self.static, *static), **changes)


dtype, rank = partial(Mistake, jl.DtypeError), partial(Mistake, jl.RankError)
shape, value = partial(Mistake, jl.ShapeError), partial(Mistake, ValueError)


def given(make: Callable[..., Mistake], words: str, *values: Any) -> list[Mistake]:
    """Return the mistakes of giving one of these values."""
    return [make(words, lambda _, value=value: value) for value in values]


def sizes(found: str, due: str, bad: Callable[[Any], Any], cure: str = "") -> Mistake:
    """Return the mistake of another shape; cure: what to write instead, if said."""
    cure = f": write {{name}}.reshape\\({cure}" if cure else "$"
    words = rf"^{{name}} has rank 2, shape \({found}\), but must have shape \({due}\)"
    return shape(words + cure, bad)


def put(array: Any, number: float) -> np.ndarray:
    """Return a copy of an array with another number in the first place."""
    array = np.array(array)
    array[0, 0] = number
    return array


def entries(due: str, *numbers: float, cure: str = "") -> tuple[Mistake, ...]:
    """Return the mistakes of one entry that is out of range."""
    words = (
        rf"^{{name}} must be {due} everywhere, but 1 of \d+ entries are not; the first "
        r"is {name}\[0, 0\] = "
    )
    return tuple(
        value(f"{words}{number:g}{cure}$", lambda a, number=number: put(a, number))
        for number in numbers
    )


def numbers(due: str, *numbers: float) -> tuple[Mistake, ...]:
    """Return the mistakes of a number that is out of range."""
    return tuple(
        value(
            f"^{{name}} must be {due}, but is {number:g}$",
            lambda _, number=number: np.float64(number),
        )
        for number in numbers
    )


# --- arrays ---------------------------------------------------------------------------

NO_ARRAY = "^{name} must be an array of floating-point numbers, but is of type "
NONE = given(dtype, NO_ARRAY + "NoneType: .*jnp.asarray", None)
FLOAT = given(dtype, NO_ARRAY + "float", 1.0)
DTYPES = [
    dtype(
        f"^{{name}} has dtype {name}, but must be float32 or float64: convert it with "
        r"{name}.astype\(jnp.float32\)",
        lambda a, made=made: a.astype(made),
    )
    for name, made in {
        **{name: name for name in ("int64", "bool", "float16", "complex128", "object")},
        **{"float128|longdouble": "longdouble", "<U32": str, "bfloat16": jnp.bfloat16},
    }.items()
]
TYPES = [
    dtype(NO_ARRAY + "list: .*jnp.asarray", lambda a: a.tolist()),
    dtype(NO_ARRAY + "str: read its numbers", lambda _: "features"),
    dtype(
        NO_ARRAY + r"MaskedArray: write {name}\.filled",
        lambda a: np.ma.masked_array(a, a > 0),
    ),
    *DTYPES,
]
FLOAT32 = dtype(
    "^{name} has dtype float32, but the other arrays have float64: convert it with "
    r"{name}.astype\(jnp.float64\)",
    np.float32,
)
NOTHING = "^{name} has rank 2.* a size of 0"
NO_SAMPLES = shape(NOTHING, lambda a: a[:, :0])
EMPTY = [shape(NOTHING, lambda a: a[:0]), NO_SAMPLES]
TABLE = (*TYPES, FLOAT32, *EMPTY)
FINITE = entries("finite", NAN, INF, -INF)
POSITIVE = entries("at least 0", NAN, INF, -0.5)
PROBABILITY = entries(r"in \[0, 1\]", NAN, INF, -1, 2, 1.001)

ROW_CURE = r"1, -1\) for a row"

# Without features a model is the bias alone.
FEATURES = Kind((*TYPES, *NONE, NO_SAMPLES), FINITE)
ROW = Kind(
    (
        *(*TYPES, FLOAT32),
        sizes("5, 1", "1, 5", np.transpose, r"1, -1\) for a row"),
        sizes("1, 4", "1, 5", lambda a: a[:, :4]),
        sizes("2, 5", "1, 5", lambda a: np.vstack([a, a])),
    )
)
LABELS = ROW.but(*NONE, values=PROBABILITY).taking_booleans()
LEADING_LABELS = Kind(
    (*TYPES, *NONE, *EMPTY, sizes("5, 1", "1, m", np.transpose, ROW_CURE)), PROBABILITY
).taking_booleans()
ALL_0 = value("^weight is 0 for every sample", np.zeros_like)
WEIGHT = ROW.but(*FLOAT, values=(*POSITIVE, ALL_0))
OFFSET = ROW.but(*FLOAT, values=FINITE)
COVARIATES = Kind((*TYPES, FLOAT32, NO_SAMPLES), FINITE)

# --- features as a design -------------------------------------------------------------


def sparse(X: np.ndarray) -> BCOO:
    places = np.stack(np.nonzero(np.ones(X.shape)), axis=1)
    return BCOO((X.ravel(), places), shape=X.shape)


def bcoo(data: Any, rank: int, *size: int) -> BCOO:
    """Return a BCOO whose kinds of dimensions the ranks of its arrays tell."""
    return BCOO((data, np.zeros((3, 5, 1)[3 - rank :], int)), shape=size)


ONES = np.ones((3, 1))
NO_DESIGN = [
    rank("^X has rank 1", lambda X: Dense(X[0])),
    rank("n_batch 1, n_sparse 1", lambda X: bcoo(X, 3, 3, 5)),
    rank(
        "n_sparse 1 and n_dense 1", lambda X: BCOO((X, ONES.astype(int)), shape=(3, 5))
    ),
    rank("two sparse dimensions", lambda X: Sparse(bcoo(X[0], 2, 5))),
    shape(r"^X has shape \(3, 0\): a size", lambda X: sparse(X[:, :0])),
    dtype("^X.data has dtype int32", lambda X: sparse(X.astype(np.int32))),
    shape("^X.shared has 5 samples", lambda X: Stacked(X, X[:, 1:])),
    dtype("^X.shared has dtype float64", lambda X: Stacked(X, np.float32(X))),
    rank("^X.own has rank 1", lambda X: Stacked(X, Dense(X[0]))),
    rank(r"^X.shared .* rank 2, shape \(n, m\)", lambda X: Stacked(X[0], X)),
    dtype("^X.mean has dtype", lambda X: Standardized(np.float32(X), ONES, ONES)),
    shape("^X.mean has rank 2", lambda X: Standardized(X, ONES[1:], ONES)),
    rank("^X.scale has rank 1", lambda X: Standardized(X, ONES, ONES[:, 0])),
]
# The numbers of a BCOO that is a constant of a compiled function are not looked at.
NOT_SEEN_UNDER_JIT = "^X.own.data must be finite"
BAD_DESIGN = [
    value(r"X.scale\[0, 0\] = 0$", lambda X: Standardized(X, ONES, put(ONES, 0))),
    value("^X.mean must be finite", lambda X: Standardized(X, put(ONES, NAN), ONES)),
    value(r"X.X\[0, 0\] = nan", lambda X: Standardized(put(X, NAN), ONES, ONES)),
    value(NOT_SEEN_UNDER_JIT, lambda X: Stacked(X[:1], sparse(put(X[1:], NAN)))),
    value(r"X.shared\[0, 0\] = nan", lambda X: Stacked(put(X[:2], NAN), X[2:])),
]
TRANSPOSED = shape(
    r"^X has shape \(5, 3\).* a column per sample: write X\.T$", np.transpose
)
SCIPY = dtype("^X must be an array .*BCOO.from_scipy_sparse", scipy.sparse.csr_array)
FRAME = dtype(r"^X must be an array .*X\.to_numpy\(\)", lambda X: pd.DataFrame(X.T))
NO_DESIGN += [TRANSPOSED, SCIPY, FRAME]
DESIGN = FEATURES.but(*NO_DESIGN, values=(*FINITE, *BAD_DESIGN))
SOME_DESIGN = DESIGN._replace(values=FINITE[:1])
ANY_DESIGN = DESIGN._replace(values=())

# --- parameters -----------------------------------------------------------------------

LONG = shape("^{name} has rank 2, .*must have", lambda a: np.vstack([a, a]))
VECTOR = Kind((*TYPES, *NONE, LONG))
MODELS_W = VECTOR.but(FLOAT32)
OTHER_FEATURES = shape(
    r"^X has shape \(3, 5\), but the model has 6 features: X must have shape \(6, m\)",
    LONG.bad,
)
PREDICTING_W = Kind((*TYPES, *NONE, FLOAT32, OTHER_FEATURES))
B = MODELS_W.but(sizes("1, 2", "1, 1", lambda a: np.hstack([a, a])))
W = MODELS_W.but(
    sizes("1, 3", "3, 1", np.transpose, r"-1, 1\) for a column"),
    sizes("3, 2", "3, 1", lambda a: np.hstack([a, a])),
)
FINITE_W, FINITE_B = W._replace(values=FINITE), B._replace(values=FINITE)


def setting(*static: Mistake) -> Kind:
    return Kind(static, rank=None)


NO_PARAMS = r"^{name} must be Params\(w, b\), but is of type "
INIT = setting(
    dtype(NO_PARAMS + "tuple", tuple),
    dtype(NO_PARAMS, lambda params: params.w),
    *given(dtype, "must be an array of floating.* NoneType", Params(None, None)),
)
PARAMS = INIT.but(*given(dtype, NO_PARAMS + "NoneType", None))
NO_LEADING_AXIS = (
    r"^params has w of shape .*\(K, n, 1\) and \(K, 1, 1\): map over several"
)
NO_MODELS = r"^params has w of shape .*, but must have \(K, n, 1\) and \(K, 1, 1\)"
STACKED = setting(
    dtype(r"^params\.. must be an array .*list", lambda a: a.tolist()),
    dtype(r"^params\.. has dtype int64", lambda a: a.astype(int)),
    *given(rank, NO_LEADING_AXIS, *(np.ones(size * (1,)) for size in (0, 1, 2, 4))),
    shape(NO_MODELS, lambda a: np.concatenate([a, a])),
    shape(NO_MODELS, lambda a: np.concatenate([a, a], axis=2)),
)
IMAGES = setting(
    dtype("^images must be an array .*list", lambda a: a.tolist()),
    dtype("^images has dtype <U.*, but must hold real", lambda a: a.astype(str)),
    shape("^images has shape .* a size of 0 holds nothing", lambda a: a[:0]),
    *(
        rank(
            rf"^images has rank {len(size)}, .* write images\[None\] for",
            lambda _, size=size: np.ones(size),
        )
        for size in ((), (12,), (3, 4), (1, 2, 3, 4, 5))
    ),
)

# --- elementwise ----------------------------------------------------------------------

LOGIT = Kind((*TYPES, *NONE, *given(dtype, NO_ARRAY, 0, True)), rank="0 or 2")
LABEL = LOGIT.but(
    shape(
        r"^shapes must be equal, but are z \(1, 5\), y \(2, 5\)$",
        lambda a: np.vstack([a, a]),
    ),
    dtype("^dtypes must be equal, but are z float64, y float32$", np.float32),
    values=(*PROBABILITY, *numbers(r"in \[0, 1\]", 2.0, -0.5, NAN)),
)

# --- settings -------------------------------------------------------------------------

NUMBER = Kind(
    (
        *given(dtype, NO_ARRAY, "0.1", True, [0.1], 1j),
        *given(value, "^{name} does not fit a floating-point number", 10**400),
        *given(rank, "^{name} has rank 1.*jax[.]vmap", np.full(2, 0.1)),
    ),
    rank=0,
)
THRESHOLD = NUMBER.but(*NONE, values=numbers(r"in \[0, 1\]", -0.1, 1.1, NAN, INF))
TOLERANCE = NUMBER._replace(values=numbers(r"in \(0, 0.1\]", 0, -1, 1, NAN, INF))
RATE = NUMBER.but(
    *given(value, "^learning_rate is missing", None),
    *given(dtype, "^learning_rate must be a number, but is a function.*optax.sgd", abs),
    values=numbers("greater than 0", 0, -0.1, NAN, INF),
)
PRIOR = NUMBER._replace(values=numbers("at least 0", -1, NAN, INF))
WORD = dtype(
    NO_ARRAY + r"str: give a number; jlogreg.cross_validate\(X, y\) chooses one",
    lambda _: "cv",
)
PENALTY = NUMBER.but(
    *(*NONE, WORD),
    *given(rank, r"^{name} has rank 1, .*{name}.reshape\(-1, 1\)", np.ones(3)),
    *given(rank, "^{name} has rank 3", np.ones((1, 3, 1))),
    sizes("1, 3", "3, 1", lambda _: ONES.T, r"-1, 1\) for a column"),
    sizes("2, 1", "3, 1", lambda _: ONES[1:]),
    FLOAT32._replace(bad=lambda _: np.float32(ONES)),
    values=(
        *numbers("at least 0", -1, NAN, INF),
        *(one._replace(bad=lambda _, one=one: one.bad(ONES)) for one in POSITIVE),
    ),
)


def count(least: int, *others: Any) -> Kind:
    """Return the kind of a whole number of at least this many."""
    wrong = (2.5, True, np.True_, "2", NAN, np.float64(3), np.array([3]), *others)
    too_small = f"^{{name}} must be at least {least}, but is {least - 1}$"
    too_large = f"^{{name}} must be below 2147483648 and at least {least}"
    return setting(
        *given(dtype, "^{name} must be a whole number, but is ", *wrong),
        *given(value, too_small, least - 1),
        # Not of arrays: without the check they would be allocated.
        *(given(value, too_large, 2**31) if least == 0 else ()),
    )


FOLD_COUNT = count(2, None).but(
    *given(value, "^folds must be at most m = 7, but is 8$", 8)
)
BATCH_SIZE = count(1).but(
    *given(value, "^batch_size must be at most m = 5, but is 6$", 6)
)
KEY = setting(
    *given(dtype, r"^key must be one key .*jax\.random\.key\(7\), but is 7$", 7),
    *given(dtype, "^key must be one key of jax.random", None, "7", np.ones((2,))),
)
NO_SOLVER = (
    r"^solver must be Newton\(\), NewtonCG\(\), LBFGS\(\), Optax\(\.\.\.\) or "
    r"ProximalNewton\(\), but is "
)
SOLVER = setting(*given(dtype, NO_SOLVER, "newton", jl.Newton, optax.sgd(0.1), False))
OPTIMIZER = setting(
    *given(dtype, "^optimizer must be an optax tran.*'adam'", "adam"),
    *given(dtype, "^optimizer must be an optax tran", lambda rate: 5),
    *given(value, "given twice.*optimizer=optax.adam", optax.sgd(0.1)),
)
TRANSFORMATION = setting(
    *given(dtype, r"^optimizer must be .* such as optax.sgd\(0.1\)", "sgd", optax.sgd)
)
REAL = setting(
    *given(dtype, "^dtype has dtype .*: pass dtype=jnp.float32", int, np.float16, bool)
)
REDUCTION = setting(
    *given(value, '^reduction must be "mean" or "sum", but is ', "max", None)
)
RULE = setting(
    *given(value, 'must be "best" or "one_standard_error", but is ', "first", None)
)
MEMORY = setting(
    *given(dtype, "^memory_limit must be a whole number, but is ", 1e9, True, "1e9"),
    *given(value, "^memory_limit must be at least 0", -1),
    *given(value, "^memory_limit is 10 bytes, but one problem .* give at least", 10),
)

# --- many problems --------------------------------------------------------------------

NO_AGREEMENT = r"^\w+ is for 2 problems, but {name} for \d: give one row a problem, or"
OF_OTHERS = shape(NO_AGREEMENT, lambda a: np.concatenate([a, a, a]))
SHORT = sizes(r"\d, 4", "[KF], 5", lambda a: a[:, :4])
ROWS = Kind((*TABLE, SHORT, *FLOAT, OF_OTHERS))
LABEL_ROWS = Kind((*TABLE, SHORT, *NONE)).taking_booleans()
WEIGHT_ROWS = Kind(
    (*TABLE, SHORT, *FLOAT, sizes("3, 5", "2, 5", lambda a: np.vstack([a] * 3))),
    POSITIVE,
)
COLUMN = r"-1, 1\) for a column"
# Not a number or a column, but a word or a sequence.
NO_COLUMN = (
    *(one for one in TABLE if "str: read" not in one.words),
    WORD,
    dtype(
        r"^{name} is a list, .*write np\.array\(\[\[0.1, 2\]\]\)", lambda _: [0.1, 2]
    ),
    dtype(r"^{name} is a tuple, .*np\.array\(\[{name}\]\)\.T", lambda _: (0.1,) * 7),
)
PENALTIES = Kind(
    (*NO_COLUMN, *NONE, *FLOAT, sizes("1, 2", "L, 1", np.transpose, COLUMN)), POSITIVE
)
GRID = PENALTIES._replace(
    static=tuple(one for one in PENALTIES.static if one not in NONE)
)
PENALTY_EACH = Kind(
    (
        *(*NO_COLUMN, *NONE, *given(dtype, NO_ARRAY, True, 1j)),
        *(sizes("1, 2", "K, 1", np.transpose, COLUMN), OF_OTHERS),
    ),
    numbers("at least 0", -1, NAN, INF),
    rank="0 or 2",
)
# None is no prior.
PRIOR_EACH = PENALTY_EACH._replace(
    static=tuple(one for one in PENALTY_EACH.static if one not in (*NONE, WORD))
)
FOLDS = Kind(
    (
        *(*DTYPES, FLOAT32, *EMPTY, SHORT),
        *given(dtype, "^folds must be a whole number", 2.5, True, "5", [[0.0]]),
        *given(value, "^folds must be at least 2, but is 1$", 1),
        *given(value, "^folds must be at most m = 5, but is 6$", 6),
    ),
    (
        *POSITIVE,
        value("^folds has a row without a 0: it holds out no .* write 0", np.ones_like),
    ),
    rank="0 or 2",
)
NO_START = "^init must be Params"
NO_STARTS = r"^init has w of shape .*, but must have \(K, 3, 1\) and \(K, 1, 1\)$"


def stacked(K: int, w: np.ndarray, b: np.ndarray, K_b: int | None = None) -> Params:
    return Params(np.stack([w] * K), np.stack([b] * (K if K_b is None else K_b)))


STARTS = setting(
    dtype(NO_START, tuple),
    rank(NO_START, lambda one: one.w),
    rank(NO_START, lambda one: Params(stacked(2, *one).w, one.b)),
    rank(NO_START, lambda one: Params(one.w[:, 0], one.b[0])),
    shape(NO_AGREEMENT, lambda one: stacked(3, *one)),
    shape(NO_STARTS, lambda one: stacked(2, *one, K_b=1)),
    shape(NO_STARTS, lambda one: stacked(2, one.w[:2], one.b)),
)
START_LEAF = setting(*DTYPES, FLOAT32, LONG)

# --- metrics --------------------------------------------------------------------------

SCORES = Kind((*TYPES, *NONE, *EMPTY))
# A probability may be NaN, as that of a fit which failed.
LOGITS = r": for logits, write sigmoid\({name}\)"
PROBABILITIES = SCORES.but(
    values=entries(r"in \[0, 1\]", INF, -1, 2, 1.001, cure=LOGITS)
)
SHORT_ROWS = sizes("1, 4", "K, 5", lambda a: a[:, :4])
PLACED = Kind((*TABLE, *FLOAT, SHORT_ROWS))
SCORED_LABELS = Kind((*TABLE, *NONE, SHORT_ROWS), PROBABILITY).taking_booleans()
SCORED_WEIGHT = Kind((*TABLE, *FLOAT, SHORT_ROWS), POSITIVE)
NO_METRICS = "^metrics must be a sequence of some of accuracy, .*, but is "
METRICS = setting(
    *given(value, NO_METRICS + r"'brier': write \['brier'\]$", "brier"),
    *given(value, NO_METRICS + r"\['f1'\]$", ["f1"]),
    *given(value, NO_METRICS + r"\['AUC'\], did you mean 'roc_auc'\?$", ["AUC"]),
)

# --- scans ----------------------------------------------------------------------------

NO_ROWS = r"^G has shape \(%s\), but must have \(V, 5\), a row per feature$"
SCANNED = Kind(
    (
        shape(r"^G has shape \(5, 3\) and y \(1, 5\): .*write G\.T$", np.transpose),
        shape(NO_ROWS % "3, 4", lambda G: G[:, :4]),
        shape(NO_ROWS % "0, 5", lambda G: G[:0]),
        *(
            dtype(
                f"^G has dtype {name}, .* int8, or float64 like y: .*astype",
                lambda G, name=name: G.astype(name),
            )
            for name in ("int32", "uint8", "bool", "float32", "float16")
        ),
        *given(dtype, "^G must be an array, .* list: convert it", [[0.0, 1.0]]),
        *given(shape, "^G has no blocks: an iterator", []),
        shape("^G has no blocks: an iterator", lambda _: iter([])),
        rank("^G has rank 1", lambda G: iter([G, G[0]])),
    )
)
