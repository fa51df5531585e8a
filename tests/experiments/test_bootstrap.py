"""Bootstrap intervals are those of refitting resampled data one by one."""

from statistics import NormalDist

import jax
import numpy as np
import pytest

import jlogreg as jl
from experiments.config import convert, read_table
from experiments.datasets.load import DataConfig, load
from experiments.programs import bootstrap
from experiments.runner import Run, read_results
from jlogreg.batch import setup
from tests.experiments.conftest import (
    CONFIGS,
    Killed,
    arrays_of,
    fails_at,
    only_folder,
    toy_images,
    write_csv,
    write_hdf5,
)
from tests.oracles.sklearn_fit import information, refit

CONFIG = CONFIGS / "bootstrap.toml"
COUNT, L2 = 40, 0.1


@pytest.fixture
def mine(tmp_path):
    """Return the overrides for a table of 60 samples whose labels overlap."""
    random = np.random.default_rng(2)
    values = random.normal(size=(60, 3)).round(3)
    labels = values[:, 0] - values[:, 1] + random.logistic(size=60) > 0
    table = write_csv(tmp_path / "mine.csv", values, labels)
    files = ["--data.source=files", f"--data.train={table}"]
    return [*files, f"--bootstrap.replicates={COUNT}", f"--bootstrap.l2={L2}"]


def loaded(overrides):
    config = convert(read_table(CONFIG, overrides), bootstrap.Config, CONFIG.name)
    return config, bootstrap.load(config)


def samples_of(overrides):
    """Return X (n, m), y (m,) and the weights of the replicates (K, m), in float64."""
    config, (X, y, *_) = loaded(overrides)
    key, count = jax.random.key(config.seed), config.bootstrap.replicates
    weight = jl.bootstrap_weights(key, y.size, count, dtype=np.float32)
    return (np.asarray(a, np.float64) for a in (X, y[0], weight))


def test_the_intervals_are_those_of_a_loop(mine, run_ok):
    folder, out = run_ok(CONFIG, *mine)
    assert f"{COUNT} replicates of 60 samples in one call; converged: {COUNT}\n" in out
    X, y, weight = samples_of(mine)
    assert (weight.sum(axis=1) == 60).all()
    drawn = [np.repeat(np.arange(60), row.astype(int)) for row in weight]
    due = np.array([refit(X[:, picked], y[picked], L2) for picked in drawn])

    fits, arrays = arrays_of(folder, "replicates.npz"), arrays_of(folder)
    assert fits["finished"].all()
    assert (fits["status"] == jl.Status.CONVERGED).all()
    found = np.concatenate([fits["w"], fits["b"]], axis=1)[:, :, 0]
    assert np.abs(found - due).max() <= 1e-4
    ends = np.quantile(due[:, :3], [0.025, 0.975], axis=0).T
    assert np.abs(arrays["bootstrap"] - ends).max() <= 1e-4
    estimate = refit(X, y, L2)
    assert np.abs(arrays["w"][:, 0] - estimate[:3]).max() <= 1e-4
    assert abs(arrays["b"].item() - estimate[3]) <= 1e-4

    F = information(estimate, X) / 60
    inverse = np.linalg.inv(F + L2 * np.diag([1, 1, 1, 0]))
    covariance = inverse @ F @ inverse / 60
    assert np.abs(arrays["covariance"] - covariance).max() <= 1e-5
    half = NormalDist().inv_cdf(0.975) * np.sqrt(np.diag(covariance)[:3])
    wald = np.stack([estimate[:3] - half, estimate[:3] + half], axis=1)
    assert np.abs(arrays["wald"] - wald).max() <= 1e-4

    table = np.column_stack([estimate[:3], wald, ends])
    columns = ("estimate", "Wald low", "Wald high", "boot low", "boot high")
    for name, row, values in zip("abc", read_results(folder), table, strict=True):
        assert (row["feature"], float(row["fitted %"])) == (name, 100)
        found = [float(row[column]) for column in columns]
        assert found == pytest.approx(values, rel=2e-3, abs=1e-3)


def test_no_sample_is_held_out():
    X, y, _ = samples_of(["--bootstrap.replicates=1"])
    whole = load(DataConfig("breast_cancer", standardize=True), 0, whole=True)
    np.testing.assert_array_equal(X, whole.X_train)
    assert (X.shape, y.sum()) == ((30, 569), 212)
    assert np.abs(X.mean(axis=1)).max() <= 1e-4
    assert np.abs(X.std(axis=1) - 1).max() <= 1e-4


def test_the_level_is_that_of_both_intervals(mine, run_ok):
    widths = []
    for level in (0.5, 0.9):
        folder, _ = run_ok(CONFIG, *mine, f"--bootstrap.level={level}")
        arrays = arrays_of(folder)
        widths.append([np.ptp(arrays[kind], axis=1) for kind in ("wald", "bootstrap")])
    wald, boot = np.divide(widths[1], widths[0])
    due = NormalDist().inv_cdf(0.95) / NormalDist().inv_cdf(0.75)
    np.testing.assert_allclose(wald, due, rtol=1e-5)
    assert (boot > 1.5).all()


@pytest.mark.parametrize("failing", [slice(0, None, 2), slice(None)])
def test_replicates_that_fail_are_counted_and_left_out(
    failing, mine, run_ok, monkeypatch
):
    plain = bootstrap.fit_many

    def spoilt(*arguments, **options):
        found = plain(*arguments, **options)
        status = np.array(found.status)
        status[failing] = jl.Status.SEPARATED
        return found._replace(status=status)

    monkeypatch.setattr(bootstrap, "fit_many", spoilt)
    folder, out = run_ok(CONFIG, *mine)
    w = np.delete(arrays_of(folder, "replicates.npz")["w"], failing, axis=0)[:, :, 0]
    assert f"converged: {len(w)}\n" in out
    assert {row["fitted %"] for row in read_results(folder)} == {f"{2.5 * len(w)}"}
    due = (
        np.quantile(w, [0.025, 0.975], axis=0).T if w.size else np.full((3, 2), np.nan)
    )
    np.testing.assert_allclose(arrays_of(folder)["bootstrap"], due)
    for row in read_results(folder):
        assert float(row["Wald low"]) < float(row["estimate"])


def test_images_may_be_resampled(tmp_path, run_ok):
    images, labels = toy_images(24)
    train = write_hdf5(tmp_path / "train.h5", train_set_x=images, train_set_y=labels)
    files = ["--data.source=files", f"--data.train={train}"]
    folder, _ = run_ok(CONFIG, *files, "--bootstrap.replicates=8", "--bootstrap.l2=1")
    rows = read_results(folder)
    assert [row["feature"] for row in rows] == [f"feature {j}" for j in range(48)]


def test_an_interrupted_run_keeps_the_replicates_it_has(
    mine, run_cli, runs, monkeypatch
):
    monkeypatch.setattr(setup, "MAX_WIDTH", 8)
    # The settings, the environment, and the replicates for the third time.
    with fails_at(Run, "write", 5), pytest.raises(Killed):
        run_cli(CONFIG, *mine)
    folder = only_folder(runs)
    before = arrays_of(folder, "replicates.npz")
    done = before["finished"][:, 0]
    assert 0 < done.sum() < COUNT
    result = run_cli(CONFIG, *mine)
    assert (result.code, result.err) == (0, "")
    assert f"Resuming after {done.sum()} replicates.\n" in result.out
    for name, values in arrays_of(folder, "replicates.npz").items():
        np.testing.assert_array_equal(values[done], before[name][done])


def test_labels_of_one_class_are_refused(mine, samples, tmp_path, refused):
    table = write_csv(tmp_path / "ones.csv", samples[0], np.ones(12))
    line = refused(CONFIG, *mine, f"--data.train={table}")
    assert "SEPARATED: " in line
    assert "labels of one class" in line


def test_too_many_features_are_refused(mine, refused, monkeypatch):
    monkeypatch.setattr(bootstrap, "MOST_FEATURES", 2)
    assert "data: a sample has 3 features, more than 2" in refused(CONFIG, *mine)
