"""One model with fewer and fewer loops: all ways come to the same J, and all say so."""

import itertools
import json
import re
import subprocess
import sys
from types import MappingProxyType

import jax
import numpy as np
import pytest

from experiments import baselines
from experiments.config import convert, read_table
from experiments.datasets.load import DigitsConfig, load_digits
from experiments.errors import UserError
from experiments.programs import vectorising
from experiments.runner import read_results
from tests.experiments.conftest import (
    CONFIGS,
    ROOT,
    arrays_of,
    numpy_descent,
    only_folder,
)

CONFIG = CONFIGS / "vectorising.toml"
STEPS, RATE, DIGIT, RATES = 4, 0.5, 3, 3
MODELS = 10 * RATES
SMALL = [
    *("--data.test_fraction=0.9", f"--descent.digit={DIGIT}", "--timing.rounds=2"),
    *(f"--descent.steps={STEPS}", f"--descent.rates={RATES}"),
]
DATA = load_digits(DigitsConfig(test_fraction=0.9), seed=0)
SETTINGS = vectorising.DescentConfig(
    digit=DIGIT, learning_rate=RATE, rates=RATES, steps=STEPS
)
LEFT = {
    "both loops": "models, steps, samples, features",
    "one loop": "models, steps, samples",
    "no loop": "models, steps",
    "jit": "models",
    "vmap": "none",
    "both cores": "none",
}

pytestmark = pytest.mark.usefixtures("no_pause")


def due(digit=DIGIT, rate=RATE):
    """Return w, b and J of a model by another descent, in float64."""
    w, b, costs = numpy_descent(DATA.X_train, DATA.Y_train[[digit]], rate, STEPS)
    return w, b, costs[-1]


def makers():
    """Return the ways by Python and NumPy, and those by JAX."""
    X, Y = DATA.X_train, DATA.Y_train
    by_numpy = vectorising.by_numpy(X, Y[[DIGIT]], SETTINGS)
    return {"by_numpy": by_numpy, "by_jax": vectorising.by_jax(X, Y, SETTINGS)}


@pytest.fixture(scope="module")
def found():
    """Return the model (w, b) of each way, in NumPy."""
    each = {
        maker: {name: tuple(map(np.asarray, way())) for name, way in ways.items()}
        for maker, ways in makers().items()
    }
    return MappingProxyType(each)


@pytest.fixture
def quick(found, monkeypatch):
    """Let the ways return their models of before; return a function that spoils one."""

    def spoil(wrong="", fault=0.0):
        for maker, each in found.items():
            ways = {
                name: lambda w=w, b=b + (fault if name == wrong else 0): (w, b)
                for name, (w, b) in each.items()
            }
            monkeypatch.setattr(vectorising, maker, lambda *_, ways=ways: ways)

    spoil()
    return spoil


def test_every_way_comes_to_the_same_model(run_ok):
    folder, out = run_ok(CONFIG, *SMALL)
    w, b, J = due()
    rows = read_results(folder)
    assert {row["way"]: row["loops left"] for row in rows} == LEFT
    for row in rows:
        # The printed J may be half a digit off, and the models by float32.
        assert abs(float(row["J"]) - J) <= 0.5e-6 + 1e-7
        assert len(row["J"].partition(".")[2]) == 6
        assert row["J"] in out
    arrays = arrays_of(folder)
    assert np.abs(arrays["w"] - w).max() <= 1e-5 * np.abs(w).max()
    assert np.abs(arrays["b"] - b).max() <= 1e-5 * abs(b)


def test_times_are_those_of_one_model(quick, run_ok, monkeypatch):
    """Two rounds in which every call takes 20 s, or 40: of 30 models, a 30th."""
    calls = iter([20.0, 40.0])

    def timed(ways, rounds, once):
        assert rounds == 1
        assert set(once) <= set(ways)
        now = next(calls)
        return {name: [now] for name in ways}

    monkeypatch.setattr(vectorising, "interleaved", timed)
    folder, _ = run_ok(CONFIG, *SMALL)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    many = ("vmap", "both cores")
    for k, (turn, line) in enumerate(zip((20.0, 40.0), lines, strict=True)):
        times = {name: turn / (MODELS if name in many else 1) for name in LEFT}
        assert json.loads(line) == {"round": k, "seconds": pytest.approx(times)}
    for row in read_results(folder):
        models = MODELS if row["way"] in many else 1
        assert float(row["ms a model"]) == pytest.approx(30_000 / models)
        assert float(row["times as fast"]) == pytest.approx(models)


def test_all_models_are_fitted_by_vmap_and_by_both_cores(found):
    rates = RATE * np.array([1 / 3, 2 / 3, 1])
    for name in ("vmap", "both cores"):
        all_w, all_b = found["by_jax"][name]
        assert all_w.shape == (MODELS, 64, 1)
        for k, (digit, rate) in enumerate(itertools.product(range(10), rates)):
            w, b, _ = due(digit, rate)
            assert np.abs(all_w[k] - w).max() <= 1e-5 * np.abs(w).max()
            assert abs(all_b[k].item() - b) <= 1e-5 * abs(b)


def test_each_of_two_cores_has_half_the_models():
    ways = makers()["by_jax"]
    shards = ways["both cores"]().w.addressable_shards
    assert len({shard.device for shard in shards}) == len(shards) == 2
    assert [shard.data.shape for shard in shards] == [(MODELS // 2, 64, 1)] * 2
    assert len(ways["vmap"]().w.devices()) == 1


@pytest.mark.parametrize(
    ("wrong", "fault"), [*((name, 0.01) for name in LEFT), ("vmap", np.nan)]
)
def test_a_way_that_comes_elsewhere_is_caught(wrong, fault, quick, run_cli, runs):
    quick(wrong, fault)
    result = run_cli(CONFIG, *SMALL)
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith("error: the ways have not come to the same J: ")
    each = re.findall(r"(\S+) by (\w+ ?\w+)", line)
    J = {name: float(value) for value, name in each}
    assert list(J) == list(LEFT)
    right = [value for name, value in J.items() if name != wrong]
    assert np.ptp(right) <= 1e-6
    assert not abs(J[wrong] - due()[2]) <= 2e-6
    assert not (only_folder(runs) / "results.csv").exists()


def test_another_digits_model_is_caught(run_cli, monkeypatch):
    plain = vectorising.by_jax

    def mixed(X, Y, settings):
        return plain(X, np.roll(Y, 1, axis=0), settings)

    monkeypatch.setattr(vectorising, "by_jax", mixed)
    assert "not come to the same J" in run_cli(CONFIG, *SMALL).err


@pytest.mark.parametrize("off", [1.1e-6, -1.1e-6, 1.0, np.nan, np.inf])
def test_six_decimals_are_asked_for(off):
    vectorising.check_same({"one": 0.25, "two": 0.25 + 0.9e-6, "three": 0.25})
    with pytest.raises(UserError, match=r"J: 0\.250000 by one, \S+ by two; if none"):
        vectorising.check_same({"one": 0.25, "two": 0.25 + off})


def test_a_rate_that_is_too_large_is_said_in_one_line(run_cli):
    result = run_cli(CONFIG, *SMALL, "--descent.learning_rate=3e30")
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.endswith("descent.learning_rate is too large")


@pytest.mark.parametrize("scale", [0, 1, 2])
def test_the_loop_over_samples_is_the_matrix_product(scale):
    random = np.random.default_rng(0)
    X = random.normal(size=(5, 40)).astype(np.float32)
    y = (random.random((1, 40)) < 0.5).astype(np.float32)
    w = np.float32(scale) * random.normal(size=(5, 1)).astype(np.float32)
    b = np.full((1, 1), np.float32(0.3))
    found = baselines.by_samples(w, b, X, y)
    assert [np.shape(part) for part in found] == [(), (5, 1), (1, 1)]
    assert found[1].dtype == found[2].dtype == np.float32
    other = baselines.value_and_gradient(*(v.astype(float) for v in (w, b, X, y)))
    for one, two in zip(found, other, strict=True):
        assert np.abs(one - two).max() <= 1e-6 * max(1, np.abs(two).max())


def test_the_loop_over_samples_does_not_overflow():
    X, y = np.array([[1e4, -1e4]]), np.array([[0.0, 1.0]])
    J, dw, db = baselines.by_samples(np.ones((1, 1)), np.zeros((1, 1)), X, y)
    assert (J, dw.item(), db.item()) == (1e4, 1e4, 0)


def test_one_device_is_too_few(refused, monkeypatch):
    alone = jax.devices("cpu")[:1]
    monkeypatch.setattr(vectorising.jax, "devices", lambda platform: alone)
    assert "JAX has started with one CPU device" in refused(CONFIG)


def test_jax_starts_with_a_device_for_each_core():
    lines = [
        "import jax",
        "from pathlib import Path",
        "from experiments.config import convert, read_table",
        "from experiments.programs.vectorising import Config, load",
        f"table = read_table(Path({str(CONFIG)!r}))",
        "load(convert(table, Config, ''))",
        "print(len(jax.devices('cpu')))",
    ]
    words = [sys.executable, "-c", "\n".join(lines)]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "2\n"
    load = vectorising.load(convert(read_table(CONFIG), vectorising.Config, ""))
    assert load.X_train.shape == (64, 1347)
    assert len(jax.devices("cpu")) == 4  # as conftest.py has said, and no fewer
