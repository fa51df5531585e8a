"""Problems, the judge, answers that are kept, rates and the command of the search."""

import json

import jax
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import Status
from jlogreg.testing.search import answers
from jlogreg.testing.search.__main__ import main
from jlogreg.testing.search.answers import answers_to
from jlogreg.testing.search.judge import Judgement, Said, default_tol, judge
from jlogreg.testing.search.oracle import Truth, Where, truth_of
from jlogreg.testing.search.problems import (
    COLUMNS,
    LABELS,
    SPECIAL,
    Hard,
    make_hard,
    shape_of,
)
from jlogreg.testing.search.rates import Outcome, outcomes_of, table_of

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


# --- problems -------------------------------------------------------------------------


def test_problems_are_valid_and_have_every_hazard():
    hazards = set()
    for seed in range(240):
        problem, same = make_hard(seed, F32), make_hard(seed, F32)
        n, m, rows, per_feature = shape_of(seed)
        given = problem.arguments
        assert {name: array.shape for name, array in given.items()} == {
            **{"X": (n, m), "y": (1, m), "l2": (n, 1) if per_feature else ()},
            **({"weight": (1, m), "offset": (1, m)} if rows else {}),
        }
        for name, array in given.items():
            assert array.dtype == F32
            np.testing.assert_array_equal(array, same.arguments[name])
        if rows:
            weighted = problem.weight[problem.weight > 0]
            assert weighted.size
            assert weighted.min() >= np.finfo(F32).tiny
        assert (problem.l2 >= 0).all()
        jl.validate(**{name: given[name] for name in given if name != "l2"})
        hazards |= {*problem.hazards}
        # The same problem in both precisions, but for the rounding.
        double = make_hard(seed, F64)
        assert problem.hazards == double.hazards
        for name, array in double.arguments.items():
            np.testing.assert_array_equal(given[name], array.astype(F32))
    expected = {f"{kind} features" for kind in (*COLUMNS, "mixed")}
    expected |= {f"{kind} labels" for kind in LABELS} | {*SPECIAL} - {""}
    assert hazards > expected | {"tiny weights", "huge offset", "penalty"}


# --- the judge ------------------------------------------------------------------------

FINITE = make_hard(74, F64)  # a problem with one minimum
ELSEWHERE = [Where.MANY_POINTS, Where.QUASI_SEPARATED, Where.SEPARATED, Where.ONE_CLASS]
WORDS = {
    (Status.SEPARATED, Where.MANY_POINTS): Said.NOT_SEPARATED,
    (Status.SEPARATED, Where.QUASI_SEPARATED): Said.NOT_SEPARATED,
    (Status.SEPARATED, Where.SEPARATED): Said.RIGHT,
    (Status.SEPARATED, Where.ONE_CLASS): Said.RIGHT,
    (Status.CONVERGED, Where.MANY_POINTS): Said.NOT_UNIQUE,
    (Status.CONVERGED, Where.QUASI_SEPARATED): Said.AT_INFINITY,
    (Status.CONVERGED, Where.SEPARATED): Said.SEPARATED,
    (Status.CONVERGED, Where.ONE_CLASS): Said.SEPARATED,
    (Status.SINGULAR, Where.MANY_POINTS): Said.RIGHT,
    (Status.DIVERGED, Where.QUASI_SEPARATED): Said.RIGHT,
    (Status.MAX_STEPS, Where.SEPARATED): Said.ANOTHER_WORD,
    (Status.NONFINITE, Where.ONE_CLASS): Said.ANOTHER_WORD,
    # A minimum that the oracle has not found.
    (Status.CONVERGED, Where.ONE_POINT): Said.RIGHT,
    (Status.SINGULAR, Where.ONE_POINT): Said.ANOTHER_WORD,
}


@pytest.mark.parametrize(("status", "where"), WORDS)
def test_a_status_is_judged_by_where_the_minimum_is(status, where):
    w, b = np.zeros((2, 1)), np.zeros((1, 1))
    said = judge(FINITE, Truth(where), status, w, b).said
    assert said == WORDS[status, where]


@pytest.fixture(scope="module")
def truth():
    return truth_of(FINITE)


def moved(truth, change, dtype=F64):
    """Return w and b at the minimum, b changed."""
    w, b = truth.minimum[:2]
    return w[:, None].astype(dtype), np.array([[b + change]], dtype)


@pytest.mark.parametrize(
    ("change", "said"),
    [(0, Said.RIGHT), (0.9, Said.RIGHT), (3, Said.OFF), (np.nan, Said.OFF)],
)
def test_converged_is_judged_by_the_logits(truth, change, said):
    where = moved(truth, change * default_tol(F64))
    judged = judge(FINITE, truth, Status.CONVERGED, *where)
    assert judged.said == said
    assert (judged.excess > 1) == (said == Said.OFF)
    other = judge(FINITE, truth, Status.MAX_STEPS, *where)
    assert other == Judgement(Said.ANOTHER_WORD)
    assert judge(FINITE, truth, Status.SEPARATED, *where).said == Said.NOT_SEPARATED


def plain(X, y, dtype, l2=0.0):
    X, y = np.array(X, dtype), np.array([y], dtype)
    return Hard(0, X, y, None, None, np.array(l2, dtype), ())


def test_rounded_parameters_are_no_error():
    """A year times a weight in float32 is off by more than tol."""
    years = plain([1e5 + np.arange(8.0)], [0, 1, 0, 1, 0, 1, 1, 1], F32)
    truth = truth_of(years)
    w, b = moved(truth, 0, F32)
    z = w.astype(float).T @ years.X + b
    assert abs(z - truth.minimum.z).max() > default_tol(F32)
    assert judge(years, truth, Status.CONVERGED, w, b).said == Said.RIGHT


def test_rounding_that_is_amplified_beyond_tol_is_no_excuse():
    flat = plain([[2, 1, 2], [2, 0, 2]], [1, 1, 0], F64, l2=1e-14)
    truth = truth_of(flat)
    w, b = moved(truth, 0)
    assert judge(flat, truth, Status.CONVERGED, w, b).said == Said.RIGHT
    assert 8 * np.finfo(F64).eps * truth.minimum.amplification.max() > 0.02
    w = w - [[0.0], [0.01]]  # the logits of the other two stay
    judged = judge(flat, truth, Status.CONVERGED, w, b + 0.02)
    assert judged.said == Said.OFF
    assert judged.error == pytest.approx(0.02, rel=1e-3)


# --- answers that are kept ------------------------------------------------------------


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_answers_are_kept_in_a_file(tmp_path, monkeypatch):
    keys = [(seed, name) for seed in range(6) for name in ("float32", "float64")]
    path = tmp_path / "answers.jsonl"
    computed = answers_to(keys)
    assert [key[0] for key in computed] == [key[0] for key in keys]
    same(answers_to(keys[:4], path), {key: computed[key] for key in keys[:4]})
    kept = path.read_text()
    old = json.dumps([0, 4, "float64", "one class", []])
    path.write_text(f"{kept}{old}\n{kept[:30]}")  # another version, and a torn line
    asked = []

    def counted(problem):
        asked.append(problem.name)
        return truth_of(problem)

    monkeypatch.setattr(answers, "truth_of", counted)
    same(answers_to(keys, path), computed)
    assert asked == [2, 2, 3, 3, 4, 4, 5, 5]


def test_two_processes_give_the_same_answers(monkeypatch):
    keys = [(seed, "float32") for seed in range(1, 60, 12)]
    monkeypatch.setattr(answers, "FEW", 2)
    same(answers_to(keys, processes=2), answers_to(keys, processes=1))


# --- rates ----------------------------------------------------------------------------

SMALL = range(1, 120, 12)  # of one shape, (1, 2)


def test_alone_and_in_batches_the_outcomes_are_the_same():
    problems = [make_hard(seed, F64) for seed in SMALL]
    truths = [truth_of(problem) for problem in problems]
    alone = outcomes_of(problems, truths, jl.Newton())
    assert [outcome.problem.name for outcome in alone] == [*SMALL]
    for batch in (4, 25):  # three batches; two copies of each problem and more
        together = outcomes_of(problems, truths, jl.Newton(), batch)
        assert [one.status for one in together] == [one.status for one in alone]
        assert all(one.copies == {one.status} for one in together)
    for problem, outcome in zip(problems, alone, strict=True):
        found = jl.fit(**problem.arguments, solver=jl.Newton())
        assert outcome.status == found.status


def test_the_table_counts_and_names_what_is_wrong(truth):
    problem = FINITE._replace(hazards=("years",))
    right = Outcome(problem, truth, Status.CONVERGED, Judgement(Said.RIGHT), {0})
    off = Judgement(Said.OFF, 0.5, 2e7)
    apart = right._replace(truth=Truth(Where.SEPARATED), status=Status.SEPARATED)
    apart = apart._replace(copies={Status.SEPARATED})
    missed = Judgement(Said.ANOTHER_WORD)
    outcomes = {
        "newton": [right, right._replace(judgement=off), apart],
        "lbfgs": [
            right,
            right._replace(copies={Status.CONVERGED, Status.DIVERGED}),
            apart._replace(status=Status.DIVERGED, judgement=missed, copies={4}),
        ],
    }
    lines = list(table_of(outcomes, F64))
    counts = {tuple(line.rsplit(maxsplit=2)) for line in lines}
    assert (Said.OFF, "1", "0") in counts
    assert ("copies of one problem ended differently", "0", "1") in counts
    off = f"newton, problem 74: {Said.OFF}, by 0.5, 2e+07 times what is allowed (years)"
    assert off in lines
    assert "lbfgs, problem 74: CONVERGED, but copies are DIVERGED (years)" in lines
    assert "lbfgs, separated, but DIVERGED: problems 74" in lines


# --- the command ----------------------------------------------------------------------


def test_the_command_prints_rates_and_problems(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(jax, "clear_caches", lambda: None)  # other tests' programs
    options = ["--dtype", "float64", "--solvers", "newton", "--batch", "alone"]
    options += ["--answers", str(tmp_path / "answers.jsonl"), "--only", "1"]
    assert main(options) == 0
    text = capsys.readouterr().out
    assert "float64, 1 problems" in text
    assert f"problem 1: {', '.join(make_hard(1, F64).hazards)}: " in text
    assert "X = np.array([[" in text
    liar = Judgement(Said.NOT_SEPARATED)
    monkeypatch.setattr("jlogreg.testing.search.rates.judge", lambda *_: liar)
    assert main(options) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--solvers", "newton,bfgs"], "'bfgs' is not a solver: choose from newton, "),
        (["--batch", "many"], "'many' is not a batch: write alone, or a number of pro"),
        (["--batch", "0"], "'0' is not a batch: "),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(capsys, options, message):
    with pytest.raises(SystemExit, match="2"):
        main(options)
    assert message in capsys.readouterr().err
