"""The numbers of the programs are right, by NumPy and by hand."""

import itertools
import json
import math
import re

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.datasets.load import DataConfig, load
from experiments.programs import learning_rates
from experiments.programs.learning_rates import has_diverged
from experiments.programs.surface import count_violations
from experiments.runner import read_results
from tests.experiments.conftest import (
    CONFIGS,
    arrays_of,
    assert_is_png,
    fails_at,
    numpy_descent,
    printed_costs,
    table_cells,
    toy_images,
    write_hdf5,
)


def metrics_of(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_faces_are_told_apart_by_the_descent_of_numpy(run_ok):
    folder, out = run_ok(CONFIGS / "faces.toml")
    assert out.startswith(
        "150 samples to learn from, 50 held out, 625 features each\n"
        "step      0   J 0.693147\n"
    )
    assert "J rose" not in out
    data = load(DataConfig("faces"), seed=0)
    w, b, costs = numpy_descent(data.X_train, data.y_train, rate=0.02, steps=2000)
    arrays = arrays_of(folder)
    assert np.abs(arrays["w"] - w).max() <= 1e-4 * np.abs(w).max()
    assert abs(arrays["b"].item() - b) <= 1e-4 * abs(b)
    assert np.abs(arrays["costs"][0] - costs[:-1]).max() <= 2e-6
    printed = printed_costs(out)
    assert list(printed) == list(range(0, 2001, 100))
    for step, J in printed.items():
        assert abs(J - costs[step]) <= 2e-6, step
    assert metrics_of(folder) == [
        {"step": k, "cost": float(arrays["costs"][0, k])} for k in range(0, 2000, 100)
    ]

    train, test = (
        100 * np.mean((w.T @ X + b > 0) == y)
        for X, y in [(data.X_train, data.y_train), (data.X_test, data.y_test)]
    )
    assert (train >= 97, test >= 95) == (True, True)
    results = [
        ("cost J at the start", costs[0], "nats"),
        ("cost J at the end", costs[-1], "nats"),
        ("train accuracy", train, "%"),
        ("test accuracy", test, "%"),
    ]
    rows = read_results(folder)
    for row, cells, (quantity, value, unit) in zip(
        rows, table_cells(out), results, strict=True
    ):
        assert row == {"quantity": quantity, "value": row["value"], "unit": unit}
        assert float(row["value"]) == pytest.approx(value, rel=1e-5)
        assert cells == [quantity, f"{float(row['value']):.6g}", unit]


@pytest.mark.parametrize("standardize", [True, False])
def test_a_penalty_is_descended_as_numpy_does(standardize, config, table, run_ok):
    data = load(DataConfig("files", str(table), standardize=standardize), 0)
    penalty = ["--descent.l2=0.5", f"--data.standardize={standardize}".lower()]
    folder, out = run_ok(config, *penalty)
    assert out.startswith("9 samples to learn from, 3 held out, 3 features each\n")
    w, b, costs = numpy_descent(data.X_train, data.y_train, 0.5, 5, l2=0.5)
    arrays = arrays_of(folder)
    assert np.abs(arrays["costs"][0] - costs[:-1]).max() <= 2e-6
    assert np.abs(arrays["w"] - w).max() <= 1e-5
    assert abs(arrays["b"].item() - b) <= 1e-5
    end = float(read_results(folder)[1]["value"])
    assert end == pytest.approx(costs[-1], abs=2e-6)
    assert arrays.keys() == {"w", "b", "costs"} | data.units.keys()
    for name in data.units:
        np.testing.assert_array_equal(arrays[name], data.units[name])
    pictures = {path.name for path in folder.glob("*.png")}
    assert pictures == {"cost.png", "weights.png"}  # and none of mistakes


def test_a_rate_that_is_too_large_is_said(config, run_ok):
    _, out = run_ok(config, "--descent.learning_rate=1000")
    assert re.search(r"^J rose.*: descent\.learning_rate is too large\.$", out, re.M)


# By itself matplotlib shows images of 1, 3 and 4 colours only.
@pytest.mark.parametrize("colours", [1, 2, 4])
def test_images_may_have_any_number_of_colours(colours, config, tmp_path, run_ok):
    images, labels = toy_images(8, shape=(4, 4, colours))
    path = write_hdf5(tmp_path / "images.h5", train_set_x=images, train_set_y=labels)
    folder, out = run_ok(config, f"--data.train={path}")
    assert f"{16 * colours} features each" in out
    assert_is_png(folder / "largest_losses.png")


# To matplotlib what stands between dollars is mathematics.
@pytest.mark.parametrize("names", [r"$_$,\alpha,a$b$c", "_hidden,a_b,100 %"])
def test_features_may_have_any_name(names, config, table, run_ok):
    table.write_text(table.read_text().replace("a,b,c", names))
    folder, _ = run_ok(config)
    assert_is_png(folder / "weights.png")


def test_every_rate_descends_as_numpy_does_or_is_named(run_ok):
    with fails_at(learning_rates, "gradient_descent", 0) as calls:
        folder, out = run_ok(CONFIGS / "learning_rates.toml", "--sweep.steps=50")
    assert "8 descents of 50 steps in one call; diverged: 30, 100\n" in out
    assert len(calls) == 1  # all rates at once: traced once, under vmap
    data = load(DataConfig("breast_cancer", standardize=True), seed=0)
    arrays, rows = arrays_of(folder), read_results(folder)
    rates = [0.001, 0.01, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0]
    np.testing.assert_array_equal(arrays["learning_rates"], np.float32(rates))
    for k, (rate, row) in enumerate(zip(rates, rows, strict=True)):
        assert float(row["learning rate"]) == rate
        assert row["diverged"] == ("yes" if rate > 10 else "no")
        assert float(row["J at the end"]) == arrays["costs"][k, -1]
        assert float(row["smallest J"]) == arrays["costs"][k].min()
        if rate <= 3:  # larger ones amplify the roundings
            w, b, costs = numpy_descent(data.X_train, data.y_train, rate, 50, l2=0.01)
            assert np.abs(arrays["costs"][k] - costs[:-1]).max() <= 1e-5
            assert np.abs(arrays["w"][k] - w).max() <= 1e-4
            assert abs(arrays["b"][k].item() - b) <= 1e-4


# More features than samples have a Gram matrix, here one that float32 cannot hold.
@pytest.mark.parametrize(("features", "scale"), [(3, 1e3), (3, 1e30), (100, 1e25)])
def test_descents_that_overflow_have_diverged(features, scale, tmp_path, run_ok):
    values = np.random.default_rng(0).normal(size=(12, features)) * scale
    path = tmp_path / "large.h5"
    write_hdf5(path, train_set_x=values, train_set_y=np.arange(12) % 2)
    files = ["--data.source=files", "--data.standardize=false", f"--data.train={path}"]
    rates = ["--sweep.learning_rates=[1e30, 3e38]"]
    folder, out = run_ok(CONFIGS / "learning_rates.toml", *files, *rates)
    assert "diverged: 1e+30, 3e+38\n" in out
    assert [row["diverged"] for row in read_results(folder)] == ["yes", "yes"]


SETTLED = [
    *([3, 2, 1, 0], [3, 3, 3, 3], [3, 9, 2, 1], [3, 9, 3, 3], [3, math.inf, 2, 1]),
    *([3], [3, 2]),
]
DIVERGED = [
    *([3, 2, 4, 1], [3, 2, 1, 4], [3, 4, 5, 6], [3, 2, 1, math.nan], [3, 4]),
    *([3, 2, math.nan, 1], [3, 2, 1, math.inf], [math.nan] * 4),
    [3, math.inf, math.nan, math.nan],
]


def test_a_descent_has_diverged_that_ends_above_its_start():
    for row in SETTLED:
        assert has_diverged(np.array([row], np.float32)) == [False], row
    for row in DIVERGED:
        assert has_diverged(np.array([row], np.float32)) == [True], row
    rows = np.array([[1, 0.5], [1, 2], [1, math.nan], [1, 1]], np.float32)
    assert has_diverged(rows) == [False, True, True, False]


def grid(f, dtype=np.float32):
    w, b = np.linspace(-2, 2, 21)[None], np.linspace(-2, 2, 21)[:, None]
    return jnp.asarray(f(w, b) + 0 * (w + b), dtype)


# With the share of the inner points where it bulges.
SURFACES = {
    "bowl": (lambda w, b: w**2 + 3 * b**2 + w * b, 0),
    "valley": (lambda w, b: (w - b) ** 2, 0),
    "plane": (lambda w, b: 2 * w - b + 1, 0),
    "cone": (lambda w, b: np.hypot(w, b), 0),
    "log loss": (lambda w, b: np.logaddexp(0, 3 * w + b), 0),
    "far up": (lambda w, b: 1e6 + w**2 + b**2, 0),
    "ridge along b": (lambda w, b: -(w**2), 1),
    "ridge along w": (lambda w, b: -(b**2), 1),
    "saddle, along one diagonal": (lambda w, b: w * b, 1),
    "saddle, along the other": (lambda w, b: -w * b, 1),
    "steps": (lambda w, b: np.tanh(w), 9 / 19),
}


def test_points_where_a_function_bulges_are_counted():
    for name, (f, share) in SURFACES.items():
        for dtype in (np.float32, np.float64):
            count = count_violations(grid(f, dtype))
            assert count == pytest.approx(share * 19**2), name
    bowl, plane = grid(SURFACES["bowl"][0]), grid(SURFACES["plane"][0])
    assert count_violations(bowl.at[7, 11].add(1)) == 1
    rounding = 4 * np.spacing(plane.max())
    assert count_violations(plane.at[7, 11].add(rounding)) == 0


def test_log_loss_is_convex_and_squared_error_is_not(run_ok):
    small = ["--surface.points=21", "--surface.steps=20"]
    folder, out = run_ok(CONFIGS / "surface.toml", *small)
    data = load(DataConfig("breast_cancer", standardize=True), seed=0)
    x = data.X_train[data.features.index("mean radius")].astype(float)
    y, arrays = data.y_train, arrays_of(folder, "surfaces.npz")
    np.testing.assert_allclose(arrays["w"], np.linspace([-12], [16], 21).T, atol=1e-5)
    np.testing.assert_allclose(arrays["b"], np.linspace([-12], [12], 21), atol=1e-5)
    z = arrays["w"][..., None].astype(float) * x + arrays["b"][..., None]
    log_loss = (np.logaddexp(0, z) - y * z).mean(axis=-1)
    squared = ((1 / (1 + np.exp(-z)) - y) ** 2).mean(axis=-1) / 2
    rows = {row["cost"]: row for row in read_results(folder)}
    for name, expected in [("log_loss", log_loss), ("squared_error", squared)]:
        np.testing.assert_allclose(arrays[name], expected, rtol=1e-5, atol=1e-6)
        row = rows[name.replace("_", " ")]
        assert float(row["smallest on the grid"]) == arrays[name].min()
        assert float(row["largest on the grid"]) == arrays[name].max()
        bulges = int(row["midpoints above the chord"])
        assert bulges == 0 if name == "log_loss" else bulges > 100

    w, b, costs = numpy_descent(x[None], y, 2.0, 20, w=[[-10.0]], b=10.0)
    np.testing.assert_array_equal(arrays["path"][:, 0], [-10, 10])
    np.testing.assert_allclose(arrays["path"][:, -1], [w.item(), b], rtol=1e-4)
    np.testing.assert_allclose(arrays["costs"][0], costs, rtol=1e-5)
    pattern = r"^20 steps .* = \(-10, 10\) to \((\S+), (\S+)\): J (\S+) to (\S+)$"
    printed = [float(text) for text in re.search(pattern, out, re.M).groups()]
    assert printed == pytest.approx([w.item(), b, costs[0], costs[-1]], rel=1e-4)


TINY = ["--size.features=4", "--size.samples=6", "--size.dot=50", "--size.rounds=3"]
WORKS = ("cost and gradient, 4 x 6", "dot product, 50")
WAYS = ("loops", "NumPy", "jit")


@pytest.mark.usefixtures("no_pause")
def test_three_ways_agree_and_are_compared(run_ok):
    folder, _ = run_ok(CONFIGS / "tic_toc.toml", *TINY)
    rows, records = read_results(folder), metrics_of(folder)
    for table in (rows, records):
        pairs = [(row["work"], row["way"]) for row in table]
        assert pairs == list(itertools.product(WORKS, WAYS))
    loops = {record["work"]: record for record in records[::3]}
    results = {row["work"]: float(row["result"]) for row in rows[::3]}
    for row, record in zip(rows, records, strict=True):
        seconds = np.array(record["seconds"])
        assert seconds.shape == (3,)
        assert (seconds > 0).all()
        assert float(row["ms"]) == pytest.approx(1e3 * np.median(seconds))
        ratio = np.median(loops[row["work"]]["seconds"] / seconds)
        assert float(row["times as fast as loops"]) == pytest.approx(ratio)
        result = results[row["work"]]
        assert float(row["result"]) == pytest.approx(result, rel=1e-5, abs=1e-5)
    folder, _ = run_ok(CONFIGS / "tic_toc.toml", *TINY, "--seed=1")
    others = {row["result"] for row in read_results(folder)}
    assert not others & {row["result"] for row in rows}
