"""The errors that `bench accuracy` reports are those that are there."""

import io

import jax
import mpmath
import numpy as np
import pytest
from rich.console import Console

from experiments.benchmarks import accuracy, ulp
from experiments.benchmarks.harness import report
from experiments.errors import UserError
from jlogreg.losses.arithmetic import EXACT, FAST

FUNCTIONS = ("sigmoid", "log_sigmoid", "dz2", "dz, y = 1", "log_loss, y = 0.3")


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Let the benchmark look at few numbers, and write into a folder of its own."""
    monkeypatch.setattr(accuracy, "float32_chunks", lambda: ulp.float32_chunks(99991))
    monkeypatch.setattr(accuracy, "CHECKED", 5)
    monkeypatch.setattr(accuracy, "POINTS", 1000)
    monkeypatch.setattr(accuracy, "ELEMENTS", 64)
    monkeypatch.setattr(accuracy, "ROUNDS", 1)
    monkeypatch.setattr("experiments.timing.PAUSE", 0.0)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    return tmp_path


def run():
    text = io.StringIO()
    accuracy.main(Console(file=text, width=200))
    return text.getvalue()


def test_it_prints_every_function_beside_its_peers(few):
    text = run()
    for words in (*FUNCTIONS, "jax.nn", "optax", "scipy", "of mpmath's 350 digits"):
        assert words in text
    assert (few / "accuracy-cpu.json").exists()


def test_an_error_that_is_too_large_fails(few, monkeypatch):
    def worst(chunks, dtype, wide):
        return {("sigmoid", "jlogreg"): ulp.Seen(3.5, 1.0)}

    monkeypatch.setattr(accuracy, "_worst", worst)
    with pytest.raises(UserError, match=r"sigmoid in float32 errs by 3\.50, more"):
        run()


def test_every_number_of_float32_has_its_turn():
    """Chunks follow each other without a gap, and are each with its negatives."""
    chunks = ulp.float32_chunks()
    first, second = next(chunks), next(chunks)
    half = len(first) // 2
    assert first[0] == 2.0**-26
    assert (first[half:] == -first[:half]).all()
    assert (np.diff(first[:half].view(np.int32)) == 1).all()
    assert second[0].view(np.int32) - first[half - 1].view(np.int32) == 1
    last = list(ulp.float32_chunks(99991))[-1]
    assert 127 < last.max() < 128


def test_a_planted_error_is_counted_in_units_in_the_last_place():
    z = np.linspace(-3, 3, 7)
    due = ulp.references(z, np.longdouble)["sigmoid"]
    units = ulp.unit(due, np.float64)
    found = due.astype(float)
    assert ulp.error(found, due, units, z).error <= 0.5
    found[2] = np.nextafter(np.nextafter(found[2], 1), 1)
    seen = ulp.error(found, due, units, z)
    assert 1.5 <= seen.error <= 2.5
    assert seen.at == z[2]
    found[4] = np.nan
    assert ulp.error(found, due, units, z) == ulp.Seen(np.inf, z[4])


def test_where_the_true_value_is_no_normal_number_0_is_right():
    z = np.array([-100.0], np.float32)
    due = ulp.references(z, np.float64)["sigmoid"]
    assert 0 < due < np.finfo(np.float32).tiny
    units = ulp.unit(due, np.float32)
    assert ulp.error(np.zeros(1, np.float32), due, units, z).error == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_references_are_those_of_mpmath(name):
    z = np.array([-30.0, -1.0, 0.25, 40.0])
    found = ulp.references(z, np.longdouble)[name]
    with mpmath.workdps(60):
        for at, value in zip(z, found, strict=True):
            due = accuracy._exact(name, mpmath.mpf(at), np.float64)
            assert abs(float(value) / float(due) - 1) <= 2.3e-16


def test_every_way_has_a_reference():
    names = {name for name, _ in ulp.ways(np.float64)}
    assert names == set(ulp.references(np.zeros(1), np.longdouble))


def test_infinity_gives_the_limit():
    for dtype in (np.float32, np.float64):
        accuracy.check_infinity(np.dtype(dtype))


@pytest.mark.parametrize("tails", [EXACT, FAST])
def test_a_limit_that_is_not_reached_at_infinity_is_noticed(tails, monkeypatch):
    def wrong(dtype):
        return {("sigmoid", "jlogreg"): jax.jit(lambda z: 0.5 * tails.sigmoid(z))}

    monkeypatch.setattr(accuracy, "ways", wrong)
    with pytest.raises(AssertionError, match="sigmoid, jlogreg"):
        accuracy.check_infinity(np.dtype(np.float32))


# What the exact forms reach over all numbers of float32, rounded up.
REACHED = {
    "sigmoid": 0.92,
    "log_sigmoid": 0.97,
    "dz": 0.92,
    "dz2": 1.99,
    "log_loss": 1.29,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_exact_forms_err_by_no_more_than_is_said(dtype):
    """At a hundred thousand numbers of every size, and next to every border."""
    wide = np.float64 if dtype == np.float32 else np.longdouble
    chunks = ulp.float64_chunks(50_000) if dtype == np.float64 else None
    z = np.concatenate(list(chunks or ulp.float32_chunks(4001)))
    for (name, whose), function in ulp.ways(dtype).items():
        if whose == "jlogreg":
            due = ulp.references(z, wide)[name]
            seen = ulp.error(function(z), due, ulp.unit(due, dtype), z)
            assert seen.error <= REACHED[name.partition(",")[0]], (name, seen)
