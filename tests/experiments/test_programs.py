"""What the programs print, write and draw is right, by NumPy and by hand."""

import itertools
import json
import math
import re
from contextlib import suppress

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.datasets.load import DataConfig, load
from experiments.programs import learning_rates
from experiments.programs.learning_rates import has_diverged
from experiments.programs.surface import count_violations
from experiments.runner import Run, read_results
from tests.experiments.conftest import (
    CONFIGS,
    assert_is_png,
    numpy_descent,
    printed_costs,
    toy_images,
    write_csv,
    write_hdf5,
)

COMMON = {".lock", "config.toml", "environment.json", "results.csv"}


def names(folder):
    return {path.name for path in folder.iterdir()}


def arrays_of(folder, name="params.npz"):
    with np.load(folder / name) as file:
        return dict(file)


def numbers_of(folder):
    """Return the results of `classify` as numbers by quantity."""
    return {row["quantity"]: float(row["value"]) for row in read_results(folder)}


def shown(out, quantity):
    """Return what the table on the terminal says of a quantity, with its unit."""
    pattern = rf"^│ {re.escape(quantity)} +│ +(\S+) │ (\S+) +│$"
    ((value, unit),) = re.findall(pattern, out, re.MULTILINE)
    return float(value), unit


# --- classify -------------------------------------------------------------------------


def test_faces_print_and_keep_what_the_descent_did(run_ok):
    steps = ["--descent.steps=30", "--descent.print_every=10"]
    folder, out = run_ok(CONFIGS / "faces.toml", *steps)
    assert out.startswith(
        "150 samples to learn from, 50 held out, 625 features each\n"
        "step      0   J 0.693147\n"
    )
    printed = printed_costs(out)
    assert list(printed) == [0, 10, 20, 30]
    assert sorted(printed.values(), reverse=True) == list(printed.values())

    arrays = arrays_of(folder)
    assert arrays["costs"].shape == (1, 30)
    assert arrays["w"].shape == (625, 1)
    assert arrays["b"].shape == (1, 1)
    for values in arrays.values():
        assert values.dtype == np.float32
    costs = arrays["costs"][0]
    assert abs(costs[0] - np.log(2)) <= 8 * np.spacing(np.float32(np.log(2)))
    assert (np.diff(costs) < 0).all()
    results = numbers_of(folder)
    assert results["cost J at the start"] == costs[0]
    assert results["cost J at the end"] < costs[-1]
    assert "The cost rose" not in out
    for quantity, value in results.items():
        found, unit = shown(out, quantity)
        assert found == pytest.approx(value, rel=1e-5)
        assert unit == ("%" if "accuracy" in quantity else "nats")

    pictures = {"cost.png", "weights.png", "mistakes.png"}
    assert names(folder) == COMMON | pictures | {"metrics.jsonl", "params.npz"}
    for name in pictures:
        assert_is_png(folder / name)


def test_faces_are_told_apart(run_ok):
    folder, out = run_ok(CONFIGS / "faces.toml")
    assert list(printed_costs(out)) == list(range(0, 2001, 100))
    results = numbers_of(folder)
    assert results["train accuracy"] >= 97
    assert results["test accuracy"] >= 95
    # The accuracies are those of the parameters that were kept.
    data, params = load(DataConfig("faces"), seed=0), arrays_of(folder)
    for X, y, quantity in [
        (data.X_train, data.y_train, "train accuracy"),
        (data.X_test, data.y_test, "test accuracy"),
    ]:
        answers = params["w"].T.astype(float) @ X + params["b"] > 0
        assert results[quantity] == pytest.approx(100 * np.mean(answers == y))


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
    assert names(folder) == COMMON | {
        "metrics.jsonl", "params.npz", "cost.png", "weights.png"
    }  # fmt: skip
    assert_is_png(folder / "cost.png")
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


def test_learning_rates_that_are_too_large_are_named(run_ok, monkeypatch):
    calls = []
    plain = learning_rates.gradient_descent

    def counted(*arguments, **options):
        calls.append(options)
        return plain(*arguments, **options)

    monkeypatch.setattr(learning_rates, "gradient_descent", counted)
    folder, out = run_ok(CONFIGS / "learning_rates.toml")
    assert "8 descents of 300 steps in one call; diverged: 30, 100\n" in out
    assert len(calls) == 1  # all rates at once: traced once, under vmap
    rows = read_results(folder)
    due = dict.fromkeys((0.001, 0.01, 0.1, 1.0, 3.0, 10.0), "no")
    due |= {30.0: "yes", 100.0: "yes"}
    assert {float(row["learning rate"]): row["diverged"] for row in rows} == due

    arrays = arrays_of(folder)
    assert arrays["costs"].shape == (8, 300)
    assert arrays["w"].shape == (8, 30, 1)
    assert arrays["b"].shape == (8, 1, 1)
    np.testing.assert_array_equal(arrays["learning_rates"], np.float32(list(due)))
    for row, curve in zip(rows, arrays["costs"], strict=True):
        assert float(row["J at the end"]) == curve[-1]
        assert float(row["smallest J"]) == curve.min()
    assert names(folder) == COMMON | {"params.npz", "costs.png"}
    assert_is_png(folder / "costs.png")


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


@pytest.mark.parametrize(
    ("features", "scale"),
    [
        (3, 1e3),
        (3, 1e30),
        # More features than samples, and a Gram matrix that float32 cannot hold.
        (100, 1e25),
    ],
)
def test_descents_that_overflow_have_diverged(features, scale, tmp_path, run_ok):
    values = np.random.default_rng(0).normal(size=(12, features)) * scale
    path = tmp_path / "large.h5"
    write_hdf5(path, train_set_x=values, train_set_y=np.arange(12) % 2)
    files = ["--data.source=files", "--data.standardize=false", f"--data.train={path}"]
    rates = ["--sweep.learning_rates=[1e30, 3e38]"]
    folder, out = run_ok(CONFIGS / "learning_rates.toml", *files, *rates)
    assert "diverged: 1e+30, 3e+38\n" in out
    assert [row["diverged"] for row in read_results(folder)] == ["yes", "yes"]


@pytest.mark.parametrize(
    ("row", "due"),
    [
        ([3, 2, 1, 0], False),
        ([3, 3, 3, 3], False),
        ([3, 9, 2, 1], False),
        ([3, 9, 3, 3], False),
        ([3, 2, 4, 1], True),
        ([3, 2, 1, 4], True),
        ([3, 4, 5, 6], True),
        ([3, 2, 1, math.nan], True),
        ([3, 2, math.nan, 1], True),
        ([3, 2, 1, math.inf], True),
        ([3, math.inf, math.nan, math.nan], True),
        ([3, math.inf, 2, 1], False),
        ([math.nan] * 4, True),
        ([3], False),
        ([3, 4], True),
        ([3, 2], False),
    ],
)
def test_has_diverged(row, due):
    assert has_diverged(np.array([row], np.float32)) == [due]


def test_has_diverged_goes_row_by_row():
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


@pytest.mark.parametrize("name", CONVEX)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_convex_function_never_bulges(name, dtype):
    assert count_violations(grid(CONVEX[name], dtype=dtype)) == 0


@pytest.mark.parametrize("name", BULGING)
def test_a_function_that_bulges_is_caught(name):
    f, share = BULGING[name]
    assert count_violations(grid(f)) == pytest.approx(share * 19**2)


def test_a_single_bump_is_caught_in_its_place():
    J = grid(CONVEX["bowl"]).at[7, 11].add(1)
    assert count_violations(J) == 1


def test_a_bump_of_a_rounding_is_not():
    J = grid(CONVEX["plane"])
    assert count_violations(J.at[7, 11].add(4 * np.spacing(J.max()))) == 0


def test_log_loss_is_convex_and_squared_error_is_not(run_ok):
    small = ["--surface.points=21", "--surface.steps=20"]
    folder, out = run_ok(CONFIGS / "surface.toml", *small)
    rows = {row["cost"]: row for row in read_results(folder)}
    assert int(rows["log loss"]["midpoints above the chord"]) == 0
    assert int(rows["squared error"]["midpoints above the chord"]) > 100
    assert names(folder) == COMMON | {
        "log_loss.png", "squared_error.png", "surfaces.npz"
    }  # fmt: skip
    assert_is_png(folder / "log_loss.png")
    assert_is_png(folder / "squared_error.png")

    data = load(DataConfig("breast_cancer", standardize=True), seed=0)
    x = data.X_train[data.features.index("mean radius")].astype(float)
    y, arrays = data.y_train, arrays_of(folder, "surfaces.npz")
    assert arrays["w"].shape == (1, 21)
    assert arrays["b"].shape == (21, 1)
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


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["--surface.feature=size"], "there is no 'size', only mean radius, mean tex"),
        (["--data.source=faces"], "no 'mean radius', only pixels without names"),
    ],
)
def test_an_unknown_feature_is_named(overrides, words, refused):
    line = refused(CONFIGS / "surface.toml", *overrides)
    assert "surface.feature: " in line
    assert words in line


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


def assert_metrics_are_whole(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    pairs = [(record["work"], record["way"]) for record in records]
    assert pairs == list(itertools.product(WORKS, WAYS))
    for record in records:
        assert len(record["seconds"]) == 3
        assert min(record["seconds"]) > 0
    return records


@pytest.mark.usefixtures("no_pause")
def test_three_ways_agree_and_are_compared(run_ok):
    folder, out = run_ok(CONFIGS / "tic_toc.toml", *TINY)
    rows = read_results(folder)
    assert [(row["work"], row["way"]) for row in rows] == list(
        itertools.product(WORKS, WAYS)
    )
    for work in WORKS:
        own = [row for row in rows if row["work"] == work]
        loops, *others = [float(row["result"]) for row in own]
        for other in others:
            assert other == pytest.approx(loops, rel=1e-5, abs=1e-5)
        assert float(own[0]["times as fast as loops"]) == 1
        for row in own:
            assert float(row["times as fast as loops"]) > 0
    for row, record in zip(rows, assert_metrics_are_whole(folder), strict=True):
        assert float(row["ms"]) == pytest.approx(1e3 * np.median(record["seconds"]))
    assert "times as fast" in " ".join(out.split())
    assert names(folder) == COMMON | {"metrics.jsonl", "times.png"}
    assert_is_png(folder / "times.png")


@pytest.mark.usefixtures("no_pause")
def test_the_work_is_decided_by_the_seed(run_ok):
    results = []
    for seed in (0, 1):
        folder, _ = run_ok(CONFIGS / "tic_toc.toml", *TINY, f"--seed={seed}")
        results.append([row["result"] for row in read_results(folder)])
    assert len(set(results[0]) & set(results[1])) == 0


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize("tail", ["", '{"work": "cost and gr'])
def test_an_interrupted_timing_begins_again(tail, run_cli, runs, monkeypatch):
    plain = Run.log

    def interrupted(run, **record):
        if record["work"] == WORKS[1]:
            with (run.folder / "metrics.jsonl").open("a") as file:
                file.write(tail)
            raise OSError
        plain(run, **record)

    with monkeypatch.context() as patch, suppress(OSError):
        patch.setattr(Run, "log", interrupted)
        assert run_cli(CONFIGS / "tic_toc.toml", *TINY).code != 0
    (folder,) = runs.iterdir()
    assert run_cli(CONFIGS / "tic_toc.toml", *TINY).code == 0
    assert_metrics_are_whole(folder)
