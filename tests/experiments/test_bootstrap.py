"""Bootstrap intervals are those of refitting resampled data one by one."""

from statistics import NormalDist

import jax
import numpy as np
import pytest

import jlogreg as jl
from experiments.datasets.load import DataConfig, load
from experiments.programs import bootstrap
from experiments.runner import read_results
from tests.experiments.conftest import (
    CONFIGS,
    arrays_of,
    toy_images,
    write_csv,
    write_hdf5,
)
from tests.oracles.sklearn_fit import information, refit

CONFIG = CONFIGS / "bootstrap.toml"
COUNT, L2 = 40, 0.1


@pytest.fixture
def mine(tmp_path):
    """Return a table of 60 samples whose labels overlap."""
    random = np.random.default_rng(2)
    values = random.normal(size=(60, 3)).round(3)
    labels = values[:, 0] - values[:, 1] + random.logistic(size=60) > 0
    return write_csv(tmp_path / "mine.csv", values, labels)


@pytest.fixture
def settings(mine):
    """Return the overrides for the table."""
    files = ["--data.source=files", f"--data.train={mine}"]
    return [*files, f"--bootstrap.replicates={COUNT}", f"--bootstrap.l2={L2}"]


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_intervals_are_those_of_a_loop(level, mine, settings, run_ok):
    folder, out = run_ok(CONFIG, *settings, f"--bootstrap.level={level}")
    assert f"{COUNT} replicates of 60 samples in one call; converged: {COUNT}\n" in out
    data = load(DataConfig("files", train=str(mine), standardize=True), 0, whole=True)
    X, y = data.X_train.astype(float), data.y_train[0]
    weight = jl.bootstrap_weights(jax.random.key(0), 60, COUNT, dtype=np.float32)
    drawn = [np.repeat(np.arange(60), row.astype(int)) for row in np.asarray(weight)]
    refits = np.array([refit(X[:, picked], y[picked], L2) for picked in drawn])

    fits, arrays = arrays_of(folder, "replicates.npz"), arrays_of(folder)
    assert fits["finished"].all()
    assert (fits["status"] == jl.Status.CONVERGED).all()
    params = np.concatenate([fits["w"], fits["b"]], axis=1)[:, :, 0]
    assert np.abs(params - refits).max() <= 1e-4
    tails = [(1 - level) / 2, (1 + level) / 2]
    ends = np.quantile(refits[:, :3], tails, axis=0).T
    assert np.abs(arrays["bootstrap"] - ends).max() <= 1e-4
    estimate = refit(X, y, L2)
    assert np.abs(arrays["w"][:, 0] - estimate[:3]).max() <= 1e-4
    assert abs(arrays["b"].item() - estimate[3]) <= 1e-4

    F = information(estimate, X) / 60
    inverse = np.linalg.inv(F + L2 * np.diag([1, 1, 1, 0]))
    covariance = inverse @ F @ inverse / 60
    assert np.abs(arrays["covariance"] - covariance).max() <= 1e-5
    half = NormalDist().inv_cdf(tails[1]) * np.sqrt(np.diag(covariance)[:3])
    wald = np.stack([estimate[:3] - half, estimate[:3] + half], axis=1)
    assert np.abs(arrays["wald"] - wald).max() <= 1e-4

    table = np.column_stack([estimate[:3], wald, ends])
    columns = ("estimate", "Wald low", "Wald high", "boot low", "boot high")
    for name, row, values in zip("abc", read_results(folder), table, strict=True):
        assert (row["feature"], float(row["fitted %"])) == (name, 100)
        numbers = [float(row[column]) for column in columns]
        assert numbers == pytest.approx(values, rel=2e-3, abs=1e-3)


@pytest.mark.parametrize("failing", [slice(0, None, 2), slice(None)])
def test_replicates_that_fail_are_counted_and_left_out(
    failing, settings, run_ok, monkeypatch
):
    plain = bootstrap.fit_many

    def spoilt(*arguments, **options):
        fits = plain(*arguments, **options)
        status = np.array(fits.status)
        status[failing] = jl.Status.SEPARATED
        return fits._replace(status=status)

    monkeypatch.setattr(bootstrap, "fit_many", spoilt)
    folder, out = run_ok(CONFIG, *settings)
    w = np.delete(arrays_of(folder, "replicates.npz")["w"], failing, axis=0)[:, :, 0]
    assert f"converged: {len(w)}\n" in out
    ends = np.quantile(w, [0.025, 0.975], axis=0).T if w.size else np.nan
    np.testing.assert_allclose(arrays_of(folder)["bootstrap"], ends * np.ones((3, 2)))
    for row in read_results(folder):
        assert row["fitted %"] == f"{2.5 * len(w)}"
        assert float(row["Wald low"]) < float(row["estimate"])


def test_images_may_be_resampled(tmp_path, run_ok):
    images, labels = toy_images(24)
    train = write_hdf5(tmp_path / "train.h5", train_set_x=images, train_set_y=labels)
    files = ["--data.source=files", f"--data.train={train}"]
    folder, _ = run_ok(CONFIG, *files, "--bootstrap.replicates=8", "--bootstrap.l2=1")
    rows = read_results(folder)
    assert [row["feature"] for row in rows] == [f"feature {j}" for j in range(48)]


def test_too_many_features_are_refused(settings, refused, monkeypatch):
    monkeypatch.setattr(bootstrap, "MOST_FEATURES", 2)
    assert "data: a sample has 3 features, more than 2" in refused(CONFIG, *settings)
