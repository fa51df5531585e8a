"""The benchmark `accuracy` reports the errors that the functions have."""

import jax
import mpmath
import numpy as np
import pytest

from experiments.benchmarks import accuracy, ulp
from experiments.errors import UserError
from jlogreg.losses.arithmetic import EXACT, FAST

FUNCTIONS = ("sigmoid", "log_sigmoid", "dz2", "dz, y = 1", "log_loss, y = 0.3")
FEW = accuracy.Work(stride=99991, points=1000, checked=5, elements=64, rounds=1)


@pytest.mark.usefixtures("no_pause")
def test_every_function_is_shown_and_recorded_with_its_peers(results, console):
    accuracy.run(console, FEW)
    text = console.file.getvalue()
    for words in (*FUNCTIONS, "jax.nn", "optax", "scipy", "of mpmath's 350 digits"):
        assert words in text
    record = results("accuracy")
    assert record["work"] == FEW._asdict()
    for dtype in ("float32", "float64"):
        errors = record["worst"][dtype]
        assert {name.partition(":")[0] for name in errors} > set(FUNCTIONS)
        assert errors["sigmoid: jlogreg"]["ulp"] < errors["sigmoid: jax.nn"]["ulp"]
        for what in ("each loss", "the sum"):
            times = record["times"][f"{what}, {dtype}"]
            ways = [way["way"] for way in times]
            assert ways == ["optax", "jlogreg", "jlogreg, in sums"]
            assert times[0]["ratio"] == 1
            assert all(way["median_s"] == way["fastest_s"] > 0 for way in times)


@pytest.mark.usefixtures("results", "no_pause")
def test_an_error_that_is_too_large_fails(monkeypatch, console):
    def worst(chunks, dtype, wide):
        return {("sigmoid", "jlogreg"): ulp.Error(3.5, 1.0)}

    monkeypatch.setattr(accuracy, "_worst", worst)
    with pytest.raises(UserError, match=r"sigmoid in float32 errs by 3\.50, more"):
        accuracy.run(console, FEW)


def test_every_number_of_float32_is_in_a_chunk():
    """Chunks follow each other without a gap, each with its negatives."""
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
    exact = ulp.references(z, np.longdouble)["sigmoid"]
    units = ulp.unit(exact, np.float64)
    values = exact.astype(float)
    assert ulp.error(values, exact, units, z).size <= 0.5
    values[2] = np.nextafter(np.nextafter(values[2], 1), 1)
    error = ulp.error(values, exact, units, z)
    assert 1.5 <= error.size <= 2.5
    assert error.at == z[2]
    values[4] = np.nan
    assert ulp.error(values, exact, units, z) == ulp.Error(np.inf, z[4])


def test_0_is_correct_if_the_exact_value_is_not_a_normal_number():
    z = np.array([-100.0], np.float32)
    exact = ulp.references(z, np.float64)["sigmoid"]
    assert 0 < exact < np.finfo(np.float32).tiny
    units = ulp.unit(exact, np.float32)
    assert ulp.error(np.zeros(1, np.float32), exact, units, z).size == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_references_are_those_of_mpmath(name):
    z = np.array([-30.0, -1.0, 0.25, 40.0])
    values = ulp.references(z, np.longdouble)[name]
    with mpmath.workdps(60):
        for at, value in zip(z, values, strict=True):
            exact = accuracy._exact(name, mpmath.mpf(at), np.float64)
            assert abs(float(value) / float(exact) - 1) <= 2.3e-16


@pytest.mark.parametrize("tails", [EXACT, FAST])
def test_a_limit_that_is_not_reached_at_infinity_is_noticed(tails, monkeypatch):
    def wrong(dtype):
        return {("sigmoid", "jlogreg"): jax.jit(lambda z: 0.5 * tails.sigmoid(z))}

    monkeypatch.setattr(accuracy, "ways", wrong)
    with pytest.raises(AssertionError, match="sigmoid, jlogreg"):
        accuracy.check_infinity(np.dtype(np.float32))


# The largest errors of the exact forms over all numbers of float32, rounded up.
MOST = {"sigmoid": 0.92, "log_sigmoid": 0.97, "dz": 0.92, "dz2": 1.99, "log_loss": 1.29}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_exact_forms_have_no_larger_errors_than_documented(dtype):
    """At a hundred thousand numbers of every size, and next to changes of formula."""
    wide = np.float64 if dtype == np.float32 else np.longdouble
    chunks = ulp.float64_chunks(50_000) if dtype == np.float64 else None
    z = np.concatenate(list(chunks or ulp.float32_chunks(4001)))
    for (name, whose), function in ulp.ways(dtype).items():
        if whose == "jlogreg":
            exact = ulp.references(z, wide)[name]
            error = ulp.error(function(z), exact, ulp.unit(exact, dtype), z)
            assert error.size <= MOST[name.partition(",")[0]], (name, error)
