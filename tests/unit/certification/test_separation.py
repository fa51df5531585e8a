"""What the labels are: by hand, by rational arithmetic, and on every path."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize
from jax.experimental.sparse import BCOO

import jlogreg as jl
from jlogreg.certification import rational
from jlogreg.certification import separation as module
from jlogreg.certification.separation import separation
from jlogreg.testing.search.exact.separation import grows, separates
from jlogreg.testing.search.oracle import parts_of
from jlogreg.testing.search.problems import make_hard

COMPLETE, QUASI, OVERLAP = "complete", "quasi-complete", "overlap"


def decided(X, y, **options):
    """Return what the certificate of parameters of 0 says that the labels are."""
    n, _ = X.shape
    params = jl.Params(np.zeros((n, 1), X.dtype), np.zeros((1, 1), X.dtype))
    return jl.certificate(SimpleNamespace(params=params), X, y, **options).separation


def truth(X, y):
    """Return what they are by a simplex method in rational numbers."""
    rows = np.vstack([X, np.ones_like(y)])
    if not grows(rows, y):
        return OVERLAP
    return COMPLETE if separates(rows, y) else QUASI


LINE = [[0.0, 1, 2, 3, 4, 5]]
TOUCHING = [[0.0, 1, 2, 2, 3, 4]]
MIXED, APART = [0, 0, 1, 0, 1, 1], [0, 0, 0, 1, 1, 1]
SOFT_INSIDE = [0, 0, 0.5, 1, 1, 1]
CASES = {
    "a plane between": (COMPLETE, LINE, APART, {}),
    "two neighbours in the last place": (COMPLETE, [[1, 1 + 2**-52, 1]], [0, 1, 0], {}),
    "labels overlap": (OVERLAP, LINE, MIXED, {}),
    "one sample on the plane": (QUASI, [[0, 1, 1, 2, 3, 4]], APART[:2] + [1] * 4, {}),
    "two samples on the plane": (QUASI, TOUCHING, APART, {}),
    "a rare feature of one label": (QUASI, [[0, 0, 1, 0, 0, 1]], MIXED, {}),
    "no weight on the plane": (
        COMPLETE,
        TOUCHING,
        APART,
        {"weight": [1, 1, 1, 0, 1, 1]},
    ),
    "a weight of 0 is enough": (COMPLETE, LINE, MIXED, {"weight": [1, 1, 0, 1, 1, 1]}),
    "a small weight is not": (OVERLAP, LINE, MIXED, {"weight": [1, 1, 1e-30, 1, 1, 1]}),
    "an offset does not matter": (
        OVERLAP,
        LINE,
        MIXED,
        {"offset": [-9, -9, 9, -9, 9, 9]},
    ),
    "a soft label forbids it": (OVERLAP, LINE, [0, 0.5, 1, 0, 1, 1], {}),
    "a soft label on the plane": (QUASI, LINE, SOFT_INSIDE, {}),
    "a soft label and a rare feature": (
        QUASI,
        [*LINE, [0, 0, 0, 0, 0, 1]],
        [0.5, *MIXED[1:]],
        {},
    ),
    "soft labels only": (OVERLAP, LINE, [0.5] * 6, {}),
    "one class": (COMPLETE, LINE, [1] * 6, {}),
    "one class, with a penalty": (COMPLETE, LINE, [0] * 6, {"l2": 1.0}),
    "separated, with a penalty": (OVERLAP, LINE, APART, {"l2": 1e-9}),
    "the free feature separates": (COMPLETE, [MIXED, APART], APART, {"l2": [1.0, 0]}),
    "the other one separates": (OVERLAP, [MIXED, APART], APART, {"l2": [0, 1.0]}),
    "collinear": (OVERLAP, [LINE[0], [1, 3, 5, 7, 9, 11]], MIXED, {}),
    "collinear and apart": (COMPLETE, [LINE[0], [1, 3, 5, 7, 9, 11]], APART, {}),
    "collinear and touching": (QUASI, [TOUCHING[0], [1, 3, 5, 5, 7, 9]], APART, {}),
    "collinear but for the last place": (
        COMPLETE,
        [LINE[0], [1, 3, 5 + 2**-50, 7, 9, 11]],
        [0, 0, 1, 0, 0, 0],
        {},
    ),
    "a constant": (OVERLAP, [LINE[0], [3.7] * 6], MIXED, {}),
    "constants only": (OVERLAP, [[3.7] * 6, [0] * 6], MIXED, {}),
    "a constant and apart": (COMPLETE, [LINE[0], [3.7] * 6], APART, {}),
    "both labels at each point": (OVERLAP, [[0, 0, 1, 1, 2, 2]], [0, 1] * 3, {}),
    "both labels at one point": (QUASI, [[0, 0, 1, 1, 2, 2]], APART, {}),
    "no features": (OVERLAP, np.zeros((0, 6)), MIXED, {}),
    "no features, one class": (COMPLETE, np.zeros((0, 6)), [1] * 6, {}),
    "one sample": (COMPLETE, [[2.0]], [1], {}),
    "more features than samples": (COMPLETE, [[1.0, 2], [3, 5], [2, 2]], [0, 1], {}),
    "wide and soft": (OVERLAP, [[1.0, 2], [3, 5], [2, 2]], [0.5, 0.5], {}),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_cases_by_hand(case, dtype):
    expected, X, y, options = CASES[case]
    X, y = np.array(X, dtype), np.array([y], dtype)
    rows = {key: np.array([row], dtype) for key, row in options.items() if key != "l2"}
    l2 = np.array(options.get("l2", 0.0), dtype)
    if dtype == np.float32 and "last place" in case:
        pytest.skip("float32 has another last place")
    l2 = l2[:, None] if l2.ndim else l2
    assert decided(X, y, **rows, l2=l2) == expected


@pytest.mark.parametrize("unit", [1e-300, 1e-30, 1e30, 1e300])
@pytest.mark.parametrize(
    "case", ["a plane between", "two samples on the plane", "labels overlap"]
)
def test_units_and_years_make_no_difference(case, unit):
    _, X, y, _ = CASES[case]
    years = 2000 + np.array([[3.0, 1, 4, 4, 5, 9]])
    X, y = np.vstack([X, years]), np.array(y, float)
    assert separation(X * [[unit], [1]], y) == separation(X, y) == truth(X, y)


def test_a_sparse_design_is_read_as_well():
    X = BCOO.fromdense(np.array(TOUCHING))
    params = jl.Params(np.zeros((1, 1)), np.zeros((1, 1)))
    found = jl.certificate(
        SimpleNamespace(params=params), X, np.array([1.0 * x for x in APART])[None]
    )
    assert found.separation == QUASI


def test_parameters_that_separate_the_labels_are_the_proof(monkeypatch):
    monkeypatch.setattr(module, "independent_rows", None)  # is not called
    params = jl.Params(np.ones((1, 1)), np.full((1, 1), -2.5))
    X, y = np.array(LINE), np.array([APART], float)
    found = jl.certificate(SimpleNamespace(params=params), X, y)
    assert found.separated
    assert found.separation == COMPLETE


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hard_problems_against_rational_arithmetic(dtype):
    for seed in range(24):
        problem = make_hard(seed, np.dtype(dtype))
        parts = parts_of(problem)
        expected = truth(parts.X[parts.l2 == 0], parts.y)
        assert decided(**problem.arguments) == expected, seed


# --- many samples, where a part is looked at first ------------------------------------


def many(kind, m=400):
    """Return features (3, m) and labels (m,) of a kind."""
    random = np.random.default_rng(5)
    X = random.normal(size=(3, m))
    z = X[0] + X[1]
    y = 1.0 * (z > 0)
    if kind != COMPLETE:
        y = 1.0 * (random.random(m) < 0.3 + 0.4 * y)
    if kind == QUASI:
        X[2] = 0
        X[2, np.flatnonzero(y)[:9]] = 1
    return X, y


KINDS = [COMPLETE, QUASI, OVERLAP]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("few", [1, 20])
def test_a_part_of_many_samples_comes_first(kind, few, monkeypatch):
    monkeypatch.setattr(module, "FEW", few)
    assert separation(*many(kind)) == kind


def test_a_feature_that_only_few_samples_have_is_not_passed_over():
    # One of each label has it, so that it cannot part them. Neither is in the part.
    X, y = many(OVERLAP)
    X[2] = 0
    out = ~module._some(400, 80)
    ones = [np.flatnonzero(out & (y == label))[0] for label in (0, 1)]
    X[2, ones] = 1
    assert separation(X, y) == OVERLAP
    X[2, ones[0]] = 0
    assert separation(X, y) == QUASI


@pytest.mark.parametrize("kind", KINDS)
def test_of_too_many_numbers_only_overlap_is_seen(kind, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 800)
    assert separation(*many(kind)) == (OVERLAP if kind == OVERLAP else "unknown")


def test_of_too_many_relations_only_what_needs_none_is_decided(monkeypatch):
    monkeypatch.setattr(rational, "LARGEST_SOLVE", 0)
    for kind, expected in ((COMPLETE, COMPLETE), (OVERLAP, "unknown")):
        X, y = many(kind)
        X = np.vstack([X, X[:1] - X[1:2]])
        assert separation(X, y) == expected
    X, y = many(COMPLETE, m=4)
    X = np.vstack([X, X[:1] - X[1:2], X[1:2] - X[2:3]])
    # A soft label: the direction that is found is the whole proof.
    assert separation(X, np.append(y[:3], 0.5)) == QUASI


# --- where double precision is not enough ---------------------------------------------

NO_SOLUTION = SimpleNamespace(status=4)


@pytest.mark.parametrize("case", CASES)
def test_without_a_solution_integers_decide(case, monkeypatch):
    expected, X, y, options = CASES[case]
    if options:
        pytest.skip("is about the certificate")
    monkeypatch.setattr(scipy.optimize, "linprog", lambda *_, **__: NO_SOLUTION)
    X, y = np.array(X, float), np.array(y, float)
    assert separation(X, y) == expected
    monkeypatch.setattr(module, "LARGEST_EXACT", 0)
    assert separation(X, y) in ("unknown", OVERLAP)


@pytest.mark.parametrize("wrong", [-1, 0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_solution_is_not_believed(kind, wrong, monkeypatch):
    X, y = many(kind, m=60)
    solve = module._solve_program

    def mistaken(columns, hard, used):
        prices, multipliers = solve(columns, hard, used)
        prices[0] += wrong
        return prices, multipliers + wrong * np.arange(60)

    monkeypatch.setattr(module, "_solve_program", mistaken)
    assert separation(X, y) == kind


@pytest.mark.parametrize("kind", KINDS)
def test_features_that_agree_but_for_the_last_digits(kind):
    X, y = many(kind)
    x, noise = np.round(1000 * X[0]), np.round(1000 * X[1]) / 2**40
    X = np.array([x, x + noise, x - noise, X[2]])
    assert separation(X, y) == kind
