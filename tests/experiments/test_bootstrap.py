"""Bootstrap intervals are those of refitting resampled data one by one."""

from contextlib import contextmanager
from statistics import NormalDist

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from experiments.config import convert, read_table
from experiments.datasets.load import DataConfig, load
from experiments.programs import bootstrap
from experiments.runner import Run, read_results
from jlogreg import Status, bootstrap_weights
from jlogreg.batch import setup
from tests.experiments.conftest import (
    CONFIGS,
    assert_is_png,
    toy_images,
    write_csv,
    write_hdf5,
)

CONFIG = CONFIGS / "bootstrap.toml"
COUNT, L2 = 40, 0.1


@pytest.fixture
def mine(tmp_path):
    """Return the overrides for a table of 60 samples whose labels overlap."""
    random = np.random.default_rng(2)
    values = random.normal(size=(60, 3)).round(3)
    labels = values[:, 0] - values[:, 1] + random.logistic(size=60) > 0
    table = write_csv(tmp_path / "mine.csv", values, labels)
    return [
        "--data.source=files",
        f"--data.train={table}",
        f"--bootstrap.replicates={COUNT}",
        f"--bootstrap.l2={L2}",
    ]


def samples_of(overrides):
    """Return X (n, m), y (m,) and the weights of the replicates (K, m), in float64."""
    config = convert(read_table(CONFIG, overrides), bootstrap.Config, CONFIG.name)
    X, y, *_ = bootstrap.load(config)
    key = jax.random.key(config.seed)
    weight = bootstrap_weights(
        key, y.size, config.bootstrap.replicates, dtype=np.float32
    )
    return (np.asarray(a, np.float64) for a in (X, y[0], weight))


def refit(X, y, l2):
    """Return the weights and the bias (n + 1,) by scikit-learn."""
    model = LogisticRegression(
        C=1 / (l2 * y.size), solver="newton-cholesky", tol=1e-10, max_iter=1000
    )
    model.fit(X.T, y)
    return np.append(model.coef_[0], model.intercept_)


def arrays_of(folder, name):
    with np.load(folder / name) as file:
        return dict(file)


def test_the_intervals_are_those_of_a_loop(mine, run_ok):
    folder, out = run_ok(CONFIG, *mine)
    assert f"{COUNT} replicates of 60 samples in one call; converged: {COUNT}\n" in out
    X, y, weight = samples_of(mine)
    assert (weight.sum(axis=1) == 60).all()
    drawn = [np.repeat(np.arange(60), row.astype(int)) for row in weight]
    due = np.array([refit(X[:, picked], y[picked], L2) for picked in drawn])

    fits = arrays_of(folder, "replicates.npz")
    assert fits["finished"].all()
    assert (fits["status"] == Status.CONVERGED).all()
    found = np.concatenate([fits["w"], fits["b"]], axis=1)[:, :, 0]
    assert np.abs(found - due).max() <= 1e-4
    arrays = arrays_of(folder, "params.npz")
    ends = np.quantile(due[:, :3], [0.025, 0.975], axis=0).T
    assert np.abs(arrays["bootstrap"] - ends).max() <= 1e-4
    estimate = refit(X, y, L2)
    assert np.abs(arrays["w"][:, 0] - estimate[:3]).max() <= 1e-4
    assert abs(arrays["b"].item() - estimate[3]) <= 1e-4

    # Wald's, by sums over the samples.
    F = np.zeros((4, 4))
    for x in np.vstack([X, np.ones(60)]).T:
        a = 1 / (1 + np.exp(-x @ estimate))
        F += a * (1 - a) * np.outer(x, x) / 60
    inverse = np.linalg.inv(F + L2 * np.diag([1, 1, 1, 0]))
    covariance = inverse @ F @ inverse / 60
    assert np.abs(arrays["covariance"] - covariance).max() <= 1e-5
    half = NormalDist().inv_cdf(0.975) * np.sqrt(np.diag(covariance)[:3])
    wald = np.stack([estimate[:3] - half, estimate[:3] + half], axis=1)
    assert np.abs(arrays["wald"] - wald).max() <= 1e-4

    table = np.column_stack([estimate[:3], wald, ends])
    columns = ("estimate", "Wald low", "Wald high", "boot low", "boot high")
    for name, row, values in zip("abc", read_results(folder), table, strict=True):
        assert row["feature"] == name
        assert float(row["fitted %"]) == 100
        found = [float(row[column]) for column in columns]
        assert found == pytest.approx(values, rel=2e-3, abs=1e-3)
    assert {path.name for path in folder.iterdir()} == {
        ".lock", "config.toml", "environment.json", "intervals.png", "params.npz",
        "replicates.npz", "results.csv",
    }  # fmt: skip
    assert_is_png(folder / "intervals.png")


def test_wald_without_a_penalty_has_the_inverse_hessian(mine):
    config = convert(
        read_table(CONFIG, [*mine, "--bootstrap.l2=0"]), bootstrap.Config, CONFIG.name
    )
    data = bootstrap.load(config)
    X, y, _ = samples_of([*mine, "--bootstrap.l2=0"])
    estimate = refit(X, y, 1e-9)
    X = np.vstack([X, np.ones(60)])
    a = 1 / (1 + np.exp(-estimate @ X))
    due = np.linalg.inv((X * a * (1 - a)) @ X.T)
    found = bootstrap.wald_covariance(data, 0.0)
    assert np.abs(found - due).max() <= 1e-4 * np.abs(due).max()


def test_no_sample_is_held_out(mine):
    X, y, _ = samples_of(["--bootstrap.replicates=1"])
    whole = load(DataConfig("breast_cancer", standardize=True), 0, whole=True)
    np.testing.assert_array_equal(X, whole.X_train)
    assert X.shape == (30, 569)
    assert y.sum() == 212
    assert np.abs(X.mean(axis=1)).max() <= 1e-4
    assert np.abs(X.std(axis=1) - 1).max() <= 1e-4


def test_the_level_is_that_of_both_intervals(mine, run_ok):
    widths = []
    for level in (0.5, 0.9):
        folder, _ = run_ok(CONFIG, *mine, f"--bootstrap.level={level}")
        arrays = arrays_of(folder, "params.npz")
        widths.append([np.ptp(arrays[kind], axis=1) for kind in ("wald", "bootstrap")])
    wald, boot = np.divide(widths[1], widths[0])
    due = NormalDist().inv_cdf(0.95) / NormalDist().inv_cdf(0.75)
    np.testing.assert_allclose(wald, due, rtol=1e-5)
    assert (boot > 1.5).all()


def test_replicates_that_fail_are_counted_and_left_out(mine, run_ok, monkeypatch):
    plain = bootstrap.fit_many

    def spoilt(*arguments, **options):
        found = plain(*arguments, **options)
        status = np.array(found.status)
        status[::2] = Status.SEPARATED
        return found._replace(status=status)

    monkeypatch.setattr(bootstrap, "fit_many", spoilt)
    folder, out = run_ok(CONFIG, *mine)
    assert f"converged: {COUNT // 2}\n" in out
    assert {row["fitted %"] for row in read_results(folder)} == {"50.0"}
    w = arrays_of(folder, "replicates.npz")["w"][1::2, :, 0]
    np.testing.assert_allclose(
        arrays_of(folder, "params.npz")["bootstrap"],
        np.quantile(w, [0.025, 0.975], axis=0).T,
    )


def test_no_replicate_at_all_gives_no_interval(mine, run_ok, monkeypatch):
    plain = bootstrap.fit_many

    def spoilt(*arguments, **options):
        found = plain(*arguments, **options)
        return found._replace(status=np.full(COUNT, Status.SEPARATED))

    monkeypatch.setattr(bootstrap, "fit_many", spoilt)
    folder, out = run_ok(CONFIG, *mine)
    assert "converged: 0\n" in out
    for row in read_results(folder):
        assert row["boot low"] == row["boot high"] == "nan"
        assert row["fitted %"] == "0.0"
        assert float(row["Wald low"]) < float(row["estimate"])


def test_images_may_be_resampled(tmp_path, run_ok):
    images, labels = toy_images(24)
    train = write_hdf5(tmp_path / "train.h5", train_set_x=images, train_set_y=labels)
    files = ["--data.source=files", f"--data.train={train}"]
    folder, _ = run_ok(CONFIG, *files, "--bootstrap.replicates=8", "--bootstrap.l2=1")
    rows = read_results(folder)
    assert [row["feature"] for row in rows] == [f"feature {j}" for j in range(48)]
    assert_is_png(folder / "intervals.png")


# --- interrupted ----------------------------------------------------------------------


class Killed(BaseException):
    """Nothing between here and the test catches this, as nothing catches a kill."""


def test_an_interrupted_run_keeps_the_replicates_it_has(
    mine, run_cli, run_ok, runs, tmp_path, monkeypatch
):
    monkeypatch.setattr(setup, "MAX_WIDTH", 8)
    whole, _ = run_ok(CONFIG, *mine, runs=tmp_path / "whole")
    plain, written = Run.write_arrays, []

    def killed(run, name, **arrays):
        plain(run, name, **arrays)
        written.append(arrays["finished"].sum())
        if len(written) == 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_arrays", killed)
        with pytest.raises(Killed):
            run_cli(CONFIG, *mine)
    assert 0 < written[0] < written[1] < written[2] < COUNT
    (folder,) = runs.iterdir()
    before = arrays_of(folder, "replicates.npz")

    result = run_cli(CONFIG, *mine)
    assert (result.code, result.err) == (0, "")
    assert f"Resuming after {written[2]} replicates.\n" in result.out
    after, due = (arrays_of(each, "replicates.npz") for each in (folder, whole))
    done = before["finished"][:, 0]
    for name, values in after.items():
        np.testing.assert_array_equal(values[done], before[name][done])
    np.testing.assert_array_equal(after["status"], due["status"])
    assert np.abs(after["w"] - due["w"]).max() <= 1e-5
    assert len(read_results(folder)) == 3


def test_a_finished_run_is_shown_and_not_run_again(mine, run_ok, run_cli, monkeypatch):
    folder, out = run_ok(CONFIG, *mine)
    monkeypatch.setattr(bootstrap, "fit_many", None)
    result = run_cli(CONFIG, *mine)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Finished before; delete {folder} to run it again.\n")
    assert cells_of(result.out) == cells_of(out)


def test_the_bar_counts_the_replicates(mine, run_ok, monkeypatch):
    monkeypatch.setattr(setup, "MAX_WIDTH", 8)
    bars = bars_of(monkeypatch)
    run_ok(CONFIG, *mine)
    ((what, total, done, steps),) = bars
    assert (what, total, done) == ("fitting", COUNT, 0)
    assert sum(steps) == COUNT
    assert len(steps) > 2


def cells_of(out):
    """Return the cells of the table that was printed."""
    lines = out.replace("100.0", "100").splitlines()
    return [line.split() for line in lines if line.startswith("│")]


def bars_of(monkeypatch):
    """Return a list that will hold of each bar its settings and its advances."""
    bars, plain = [], Run.progress

    @contextmanager
    def recorded(run, what, total, done=0):
        steps = []
        bars.append((what, total, done, steps))
        with plain(run, what, total, done) as advance:
            yield lambda count: (steps.append(count), advance(count))

    monkeypatch.setattr(Run, "progress", recorded)
    return bars


# --- mistakes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["--bootstrap.replicates=0"], "bootstrap.replicates: "),
        (["--bootstrap.replicates=10000000"], "bootstrap.replicates: "),
        (["--bootstrap.l2=-1"], "bootstrap.l2: "),
        (["--bootstrap.l2=inf"], "bootstrap.l2 must be a finite number"),
        (["--bootstrap.level=1"], "bootstrap.level: "),
        (["--bootstrap.level=95"], "bootstrap.level: "),
        (["--bootstrap.folds=5"], "unknown field `folds`"),
        (["--bootstrap.l2=0"], "bootstrap.l2 = 0: SEPARATED: a plane separates"),
        (["--data.source=digits"], "data.source: "),
        (["--data.source=files"], "data.train is not set"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(overrides, words, refused):
    assert words in refused(CONFIG, *overrides)


def test_labels_of_one_class_are_refused(mine, samples, tmp_path, refused):
    table = write_csv(tmp_path / "ones.csv", samples[0], np.ones(12))
    line = refused(CONFIG, *mine, f"--data.train={table}")
    assert "SEPARATED: " in line
    assert "labels of one class" in line


def test_too_many_features_are_refused(mine, refused, monkeypatch):
    monkeypatch.setattr(bootstrap, "MOST_FEATURES", 2)
    assert "data: a sample has 3 features, more than 2" in refused(CONFIG, *mine)
