"""One model with fewer and fewer loops: all ways come to the same J, and all say so."""

import itertools
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments import baselines
from experiments.datasets.load import DigitsConfig, load_digits
from experiments.errors import UserError
from experiments.programs import vectorising
from experiments.runner import read_results
from tests.experiments.conftest import (
    CONFIGS,
    ROOT,
    arrays_of,
    error_line,
    names,
    numpy_descent,
    only_folder,
)

CONFIG = CONFIGS / "vectorising.toml"
STEPS, RATE, DIGIT, RATES = 4, 0.5, 3, 3
MODELS = 10 * RATES
SMALL = [
    *("--data.test_fraction=0.9", "--descent.digit=3", "--descent.steps=4"),
    *("--descent.rates=3", "--timing.rounds=2"),
]
DATA = load_digits(DigitsConfig(test_fraction=0.9), seed=0)
LEFT = {
    "both loops": "models, steps, samples, features",
    "one loop": "models, steps, samples",
    "no loop": "models, steps",
    "jit": "models",
    "vmap": "none",
    "both cores": "none",
}
MANY = ("vmap", "both cores")

pytestmark = pytest.mark.usefixtures("no_pause")


def expected_model(digit=DIGIT, rate=RATE):
    """Return w, b and J of a model by another descent, in float64."""
    w, b, costs = numpy_descent(DATA.X_train, DATA.Y_train[[digit]], rate, STEPS)
    return w, b, costs[-1]


def test_every_way_comes_to_the_same_model(run_ok, monkeypatch):
    """Two rounds in which every call takes 20 s, or 40: of 30 models, a 30th."""
    turns = iter([20.0, 40.0])

    def timed(ways, rounds, once):
        assert (rounds, once) == (1, ("both loops", "one loop"))
        seconds = next(turns)
        return {name: [seconds] for name in ways}

    monkeypatch.setattr(vectorising, "interleaved", timed)
    folder, out = run_ok(CONFIG, *SMALL)
    w, b, J = expected_model()
    arrays = arrays_of(folder)
    assert np.abs(arrays["w"] - w).max() <= 1e-5 * np.abs(w).max()
    assert np.abs(arrays["b"] - b).max() <= 1e-5 * abs(b)
    rows = read_results(folder)
    assert {row["way"]: row["loops left"] for row in rows} == LEFT
    for row in rows:
        # The printed J may be half a digit off, and the models by float32.
        assert abs(float(row["J"]) - J) <= 0.5e-6 + 1e-7
        assert len(row["J"].partition(".")[2]) == 6
        assert row["J"] in out
        models = MODELS if row["way"] in MANY else 1
        assert float(row["ms a model"]) == pytest.approx(30_000 / models)
        assert float(row["times as fast"]) == pytest.approx(models)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    for k, (turn, line) in enumerate(zip((20.0, 40.0), lines, strict=True)):
        times = {name: turn / (MODELS if name in MANY else 1) for name in LEFT}
        assert json.loads(line) == {"round": k, "seconds": pytest.approx(times)}


def test_all_models_are_fitted_by_vmap_and_by_both_cores():
    settings = vectorising.DescentConfig(
        digit=DIGIT, learning_rate=RATE, rates=RATES, steps=STEPS
    )
    ways = vectorising.by_jax(DATA.X_train, DATA.Y_train, settings)
    rates = RATE * np.array([1 / 3, 2 / 3, 1])
    for name, devices in zip(MANY, (1, 2), strict=True):
        w_of_all, b_of_all = ways[name]()
        shards = w_of_all.addressable_shards
        shape = (MODELS // devices, 64, 1)
        assert [shard.data.shape for shard in shards] == [shape] * devices
        assert len({shard.device for shard in shards}) == devices
        for k, (digit, rate) in enumerate(itertools.product(range(10), rates)):
            w, b, _ = expected_model(digit, rate)
            assert np.abs(np.asarray(w_of_all)[k] - w).max() <= 1e-5 * np.abs(w).max()
            assert abs(b_of_all[k].item() - b) <= 1e-5 * abs(b)


def test_a_way_that_comes_elsewhere_is_one_line(run_cli, runs, monkeypatch):
    plain = vectorising.by_jax

    def mixed(X, Y, settings):
        return plain(X, np.roll(Y, 1, axis=0), settings)

    monkeypatch.setattr(vectorising, "by_jax", mixed)
    line = error_line(run_cli(CONFIG, *SMALL))
    assert line.startswith("the ways have not come to the same J: ")
    assert all(f" by {name}" in line for name in LEFT)
    assert "results.csv" not in names(only_folder(runs))


def test_six_decimals_are_asked_for():
    vectorising.check_same({"one": 0.25, "two": 0.25 + 0.9e-6, "three": 0.25})
    for off in (1.1e-6, -1.1e-6, 1.0, np.nan, np.inf):
        with pytest.raises(UserError, match=r"J: 0\.250000 by one, \S+ by two; if "):
            vectorising.check_same({"one": 0.25, "two": 0.25 + off})


def test_a_rate_that_is_too_large_is_said_in_one_line(run_cli):
    line = error_line(run_cli(CONFIG, *SMALL, "--descent.learning_rate=3e30"))
    assert line.endswith("descent.learning_rate is too large")


@pytest.mark.parametrize("scale", [0, 1, 2])
def test_the_loop_over_samples_is_the_matrix_product(scale):
    random = np.random.default_rng(0)
    X = random.normal(size=(5, 40)).astype(np.float32)
    y = (random.random((1, 40)) < 0.5).astype(np.float32)
    w = np.float32(scale) * random.normal(size=(5, 1)).astype(np.float32)
    b = np.full((1, 1), np.float32(0.3))
    parts = baselines.by_samples(w, b, X, y)
    assert [np.shape(part) for part in parts] == [(), (5, 1), (1, 1)]
    assert parts[1].dtype == parts[2].dtype == np.float32
    exact = baselines.value_and_gradient(*(v.astype(float) for v in (w, b, X, y)))
    for one, other in zip(parts, exact, strict=True):
        assert np.abs(one - other).max() <= 1e-6 * max(1, np.abs(other).max())


def test_the_loop_over_samples_does_not_overflow():
    X, y = np.array([[1e4, -1e4]]), np.array([[0.0, 1.0]])
    J, dw, db = baselines.by_samples(np.ones((1, 1)), np.zeros((1, 1)), X, y)
    assert (J, dw.item(), db.item()) == (1e4, 1e4, 0)


def test_one_device_is_too_few(refused, monkeypatch):
    alone = jax.devices("cpu")[:1]
    monkeypatch.setattr(vectorising.jax, "devices", lambda platform: alone)
    assert "JAX has started with one CPU device" in refused(CONFIG)


def test_jax_starts_with_a_device_for_each_core(tmp_path):
    words = [sys.executable, "-m", "experiments", "run", CONFIG, *SMALL]
    run = subprocess.run(
        [*words, "--runs", tmp_path], cwd=ROOT, capture_output=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, b"")
