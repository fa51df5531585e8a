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
    toy_images,
    write_csv,
    write_hdf5,
)


def numbers_of(folder):
    """Return the results of `classify` as numbers by quantity."""
    return {row["quantity"]: float(row["value"]) for row in read_results(folder)}


def shown(out, quantity):
    """Return what the table on the terminal says of a quantity, with its unit."""
    pattern = rf"^│ {re.escape(quantity)} +│ +(\S+) │ (\S+) +│$"
    ((value, unit),) = re.findall(pattern, out, re.MULTILINE)
    return float(value), unit


# --- classify -------------------------------------------------------------------------


def test_faces_are_told_apart_and_what_is_printed_is_kept(run_ok):
    folder, out = run_ok(CONFIGS / "faces.toml")
    assert out.startswith(
        "150 samples to learn from, 50 held out, 625 features each\n"
        "step      0   J 0.693147\n"
    )
    assert "J rose" not in out
    printed = printed_costs(out)
    assert list(printed) == list(range(0, 2001, 100))
    params = arrays_of(folder)
    costs = params["costs"][0]
    assert abs(costs[0] - np.log(2)) <= 8 * np.spacing(np.float32(np.log(2)))
    assert (np.diff(costs) < 0).all()
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    due = [{"step": k, "cost": float(costs[k])} for k in range(0, 2000, 100)]
    assert [json.loads(line) for line in lines] == due
    for step, J in list(printed.items())[:-1]:
        assert abs(J - costs[step]) <= 5e-7

    results = numbers_of(folder)
    assert list(results) == [
        *(f"cost J at the {end}" for end in ("start", "end")),
        *(f"{part} accuracy" for part in ("train", "test")),
    ]
    assert results["cost J at the start"] == costs[0]
    assert results["cost J at the end"] < costs[-1]
    for quantity, value in results.items():
        unit = "%" if "accuracy" in quantity else "nats"
        assert shown(out, quantity) == (pytest.approx(value, rel=1e-5), unit)
    # The accuracies are those of the parameters that were kept.
    data = load(DataConfig("faces"), seed=0)
    for X, y, part, least in [
        (data.X_train, data.y_train, "train", 97),
        (data.X_test, data.y_test, "test", 95),
    ]:
        answers = params["w"].T.astype(float) @ X + params["b"] > 0
        assert results[f"{part} accuracy"] == pytest.approx(100 * np.mean(answers == y))
        assert results[f"{part} accuracy"] >= least


@pytest.fixture
def cats(tmp_path):
    """Return the overrides that name two files, of 20 and of 10 images."""
    for name, count, seed in [("train", 20, 1), ("test", 10, 2)]:
        images, labels = toy_images(count, seed, shape=(8, 8, 3))
        arrays = {f"{name}_set_x": images, f"{name}_set_y": labels}
        write_hdf5(tmp_path / f"{name}.h5", **arrays)
    return [f"--data.{name}={tmp_path / name}.h5" for name in ("train", "test")]


def test_cats_descend_as_numpy_does(cats, run_ok):
    folder, out = run_ok(CONFIGS / "cats.toml", *cats)
    assert out.startswith("20 samples to learn from, 10 held out, 192 features each\n")
    printed = printed_costs(out)
    assert list(printed) == list(range(0, 2001, 100))

    images, labels = toy_images(20, 1, shape=(8, 8, 3))
    X, y = images.reshape(20, -1).T / 255, labels[None]
    w, b, costs = numpy_descent(X, y, rate=0.005, steps=2000)
    assert costs[0] == np.log(2)
    assert costs[-1] < 0.4 * costs[0]
    for step, J in printed.items():
        assert abs(J - costs[step]) <= 2e-6, step
    arrays = arrays_of(folder)
    assert np.abs(arrays["costs"][0] - costs[:-1]).max() <= 2e-6
    assert np.abs(arrays["w"] - w).max() <= 1e-4 * np.abs(w).max()
    assert abs(arrays["b"].item() - b) <= 1e-4 * abs(b)

    # The accuracies come last, in percent.
    others, answers = toy_images(10, 2, shape=(8, 8, 3))
    for quantity, x, truth in [
        ("train accuracy", X, y),
        ("test accuracy", others.reshape(10, -1).T / 255, answers[None]),
    ]:
        due = 100 * np.mean((w.T @ x + b > 0) == truth)
        assert shown(out, quantity) == (due, "%")
        assert due >= 90
    assert out.rindex("   J ") < out.index("train accuracy") < out.index("test acc")


@pytest.mark.parametrize("standardize", ["true", "false"])
def test_a_penalty_is_descended_as_numpy_does(standardize, config, table, run_ok):
    data = load(DataConfig("files", str(table), standardize=standardize == "true"), 0)
    penalty = ["--descent.l2=0.5", f"--data.standardize={standardize}"]
    folder, _ = run_ok(config, *penalty)
    w, b, costs = numpy_descent(data.X_train, data.y_train, 0.5, 5, l2=0.5)
    arrays = arrays_of(folder)
    assert np.abs(arrays["costs"][0] - costs[:-1]).max() <= 2e-6
    assert np.abs(arrays["w"] - w).max() <= 1e-5
    assert abs(arrays["b"].item() - b) <= 1e-5
    assert numbers_of(folder)["cost J at the end"] == pytest.approx(costs[-1], abs=2e-6)
    units = {"mean", "deviation"} if standardize == "true" else set()
    assert set(arrays) == {"w", "b", "costs"} | units
    for name in units:
        np.testing.assert_array_equal(arrays[name], data.units[name])


def test_a_table_is_drawn_as_bars_and_has_no_pictures_of_mistakes(config, run_ok):
    folder, out = run_ok(config)
    assert out.startswith("9 samples to learn from, 3 held out, 3 features each\n")
    pictures = {path.name for path in folder.glob("*.png")}
    assert pictures == {"cost.png", "weights.png"}
    assert_is_png(folder / "weights.png")


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
    assert_is_png(folder / "mistakes.png")


# To matplotlib what stands between dollars is mathematics.
@pytest.mark.parametrize("name", ["$_$", r"\alpha", "a_b", "100 %", "_hidden", "a$b$c"])
def test_features_may_have_any_name(name, config, table, samples, run_ok):
    write_csv(table, *samples)
    table.write_text(table.read_text().replace("a,b,c", f"{name},b,c", 1))
    folder, _ = run_ok(config)
    assert_is_png(folder / "weights.png")


# --- learning rates -------------------------------------------------------------------


def test_learning_rates_that_are_too_large_are_named(run_ok):
    with fails_at(learning_rates, "gradient_descent", 0) as calls:
        folder, out = run_ok(CONFIGS / "learning_rates.toml")
    assert "8 descents of 300 steps in one call; diverged: 30, 100\n" in out
    assert len(calls) == 1  # all rates at once: traced once, under vmap
    rows = read_results(folder)
    due = dict.fromkeys((0.001, 0.01, 0.1, 1.0, 3.0, 10.0), "no")
    due |= {30.0: "yes", 100.0: "yes"}
    assert {float(row["learning rate"]): row["diverged"] for row in rows} == due
    arrays = arrays_of(folder)
    np.testing.assert_array_equal(arrays["learning_rates"], np.float32(list(due)))
    for row, curve in zip(rows, arrays["costs"], strict=True):
        assert float(row["J at the end"]) == curve[-1]
        assert float(row["smallest J"]) == curve.min()


def test_every_rate_descends_as_numpy_does(run_ok):
    rates = [0.01, 0.1, 1.0, 3.0]
    overrides = [f"--sweep.learning_rates={rates}", "--sweep.steps=50"]
    folder, out = run_ok(CONFIGS / "learning_rates.toml", *overrides)
    assert "4 descents of 50 steps in one call; diverged: none\n" in out
    data = load(DataConfig("breast_cancer", standardize=True), seed=0)
    arrays = arrays_of(folder)
    for k, rate in enumerate(rates):
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


# --- surface --------------------------------------------------------------------------


def grid(f, points=21, dtype=np.float32):
    w = np.linspace(-2, 2, points).reshape(1, -1)
    b = np.linspace(-2, 2, points).reshape(-1, 1)
    return jnp.asarray(f(w, b) + 0 * (w + b), dtype)


CONVEX = {
    "bowl": lambda w, b: w**2 + 3 * b**2 + w * b,
    "valley": lambda w, b: (w - b) ** 2,
    "plane": lambda w, b: 2 * w - b + 1,
    "cone": lambda w, b: np.hypot(w, b),
    "log loss": lambda w, b: np.logaddexp(0, 3 * w + b),
    "far up": lambda w, b: 1e6 + w**2 + b**2,
}

# With the share of the inner points where it bulges.
BULGING = {
    "ridge along b": (lambda w, b: -(w**2), 1),
    "ridge along w": (lambda w, b: -(b**2), 1),
    "saddle, along one diagonal": (lambda w, b: w * b, 1),
    "saddle, along the other": (lambda w, b: -w * b, 1),
    "steps": (lambda w, b: np.tanh(w), 9 / 19),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_convex_function_never_bulges(dtype):
    for name, f in CONVEX.items():
        assert count_violations(grid(f, dtype=dtype)) == 0, name


def test_a_function_that_bulges_is_caught():
    for name, (f, share) in BULGING.items():
        assert count_violations(grid(f)) == pytest.approx(share * 19**2), name
    bowl, plane = grid(CONVEX["bowl"]), grid(CONVEX["plane"])
    assert count_violations(bowl.at[7, 11].add(1)) == 1
    rounding = 4 * np.spacing(plane.max())
    assert count_violations(plane.at[7, 11].add(rounding)) == 0


def test_log_loss_is_convex_and_squared_error_is_not(run_ok):
    small = ["--surface.points=21", "--surface.steps=20"]
    folder, out = run_ok(CONFIGS / "surface.toml", *small)
    rows = {row["cost"]: row for row in read_results(folder)}
    assert int(rows["log loss"]["midpoints above the chord"]) == 0
    assert int(rows["squared error"]["midpoints above the chord"]) > 100

    data = load(DataConfig("breast_cancer", standardize=True), seed=0)
    x = data.X_train[data.features.index("mean radius")].astype(float)
    y, arrays = data.y_train, arrays_of(folder, "surfaces.npz")
    np.testing.assert_allclose(arrays["w"], np.linspace([-12], [16], 21).T, atol=1e-5)
    np.testing.assert_allclose(arrays["b"], np.linspace([-12], [12], 21), atol=1e-5)
    z = arrays["w"][..., None].astype(float) * x + arrays["b"][..., None]
    log_loss = (np.logaddexp(0, z) - y * z).mean(axis=-1)
    squared = ((1 / (1 + np.exp(-z)) - y) ** 2).mean(axis=-1) / 2
    for name, due in [("log_loss", log_loss), ("squared_error", squared)]:
        np.testing.assert_allclose(arrays[name], due, rtol=1e-5, atol=1e-6)
        row = rows[name.replace("_", " ")]
        assert float(row["smallest on the grid"]) == arrays[name].min()
        assert float(row["largest on the grid"]) == arrays[name].max()

    w, b, costs = numpy_descent(x[None], y, 2.0, 20, w=[[-10.0]], b=10.0)
    np.testing.assert_array_equal(arrays["path"][:, 0], [-10, 10])
    np.testing.assert_allclose(arrays["path"][:, -1], [w.item(), b], rtol=1e-4)
    np.testing.assert_allclose(arrays["costs"][0], costs, rtol=1e-5)
    line = re.search(
        r"20 steps from \(w, b\) = \(-10, 10\) to \((\S+), (\S+)\): J (\S+) to (\S+)\n",
        out,
    )
    found = [float(number) for number in line.groups()]
    assert found == pytest.approx([w.item(), b, costs[0], costs[-1]], rel=1e-4)


def test_a_feature_of_a_table_may_be_drawn(config, table, run_ok):
    text = (CONFIGS / "surface.toml").read_text()
    config.write_text(
        text.replace("breast_cancer", "files").replace("mean radius", "b")
    )
    small = ["--surface.points=5", "--surface.steps=2"]
    folder, _ = run_ok(config, f"--data.train={table}", *small)
    assert arrays_of(folder, "surfaces.npz")["path"].shape == (2, 3)


# --- tic toc --------------------------------------------------------------------------

TINY = ["--size.features=4", "--size.samples=6", "--size.dot=50", "--size.rounds=3"]
WORKS = ("cost and gradient, 4 x 6", "dot product, 50")
WAYS = ("loops", "NumPy", "jit")


@pytest.mark.usefixtures("no_pause")
def test_three_ways_agree_and_are_compared(run_ok):
    folder, out = run_ok(CONFIGS / "tic_toc.toml", *TINY)
    assert "times as fast" in " ".join(out.split())
    rows = read_results(folder)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for table in (rows, records):
        pairs = [(row["work"], row["way"]) for row in table]
        assert pairs == list(itertools.product(WORKS, WAYS))
    for row, record in zip(rows, records, strict=True):
        assert len(record["seconds"]) == 3
        assert min(record["seconds"]) > 0
        assert float(row["ms"]) == pytest.approx(1e3 * np.median(record["seconds"]))
    for own in (rows[:3], rows[3:]):
        loops, *others = [float(row["result"]) for row in own]
        assert others == pytest.approx([loops] * 2, rel=1e-5, abs=1e-5)
        fast = [float(row["times as fast as loops"]) for row in own]
        assert fast[0] == 1
        assert min(fast) > 0


@pytest.mark.usefixtures("no_pause")
def test_the_work_is_decided_by_the_seed(run_ok):
    results = []
    for seed in (0, 1):
        folder, _ = run_ok(CONFIGS / "tic_toc.toml", *TINY, f"--seed={seed}")
        results.append({row["result"] for row in read_results(folder)})
    assert not results[0] & results[1]
