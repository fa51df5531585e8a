"""Probes of digits: their losses and choices, by a loop of scikit-learn's fits."""

import io
from contextlib import redirect_stdout
from typing import NamedTuple

import jax
import numpy as np
import pytest
from sklearn import datasets
from sklearn.linear_model import LogisticRegression

from experiments.__main__ import main
from experiments.datasets.load import DigitsConfig, load_digits
from experiments.programs import probes
from experiments.runner import Run, read_results
from jlogreg import RankError, Status, fold_weights
from jlogreg.inference.calibration import calibration
from jlogreg.plots import interval_forest, penalty_path
from tests.experiments.conftest import CONFIGS, assert_is_png
from tests.experiments.test_bootstrap import bars_of, cells_of

CONFIG = CONFIGS / "probes.toml"
SMALL = [
    "--data.test_fraction=0.7",
    "--grid.smallest=1e-4",
    "--grid.largest=1e-2",
    "--grid.penalties=3",
    "--grid.folds=2",
]
L2 = [1e-4, 1e-3, 1e-2]
DATA = DigitsConfig(test_fraction=0.7)


class Probed(NamedTuple):
    """Hold what a run left."""

    rows: list
    out: str
    arrays: dict
    files: set


def arrays_of(folder):
    with np.load(folder / "params.npz") as file:
        return dict(file)


@pytest.fixture(scope="module", params=["best", "one_standard_error"])
def rule(request):
    return request.param


@pytest.fixture(scope="module")
def probed(rule, tmp_path_factory):
    runs, out = tmp_path_factory.mktemp("runs"), io.StringIO()
    with redirect_stdout(out):
        code = main(
            ["run", str(CONFIG), *SMALL, f"--grid.rule={rule}", "--runs", str(runs)]
        )
    assert code == 0
    (folder,) = runs.iterdir()
    for name in ("path.png", "weights.png", "reliability.png"):
        assert_is_png(folder / name)
    files = {path.name for path in folder.iterdir()}
    return Probed(read_results(folder), out.getvalue(), arrays_of(folder), files)


def refit(X, y, l2):
    """Return a model by scikit-learn, of the samples (n, m) and labels (m,)."""
    model = LogisticRegression(
        C=1 / (l2 * y.size), solver="newton-cholesky", tol=1e-10, max_iter=1000
    )
    return model.fit(X.T.astype(float), y)


def test_the_folder_holds_everything(probed):
    shapes = {
        "w": (10, 64, 1),
        "b": (10, 1, 1),
        "l2": (3, 1),
        "fold_loss": (10, 3, 2),
        "loss": (10, 3),
        "standard_error": (10, 3),
        "best": (10, 1),
        "one_standard_error": (10, 1),
        "status": (10, 3, 2),
        "path_w": (10, 3, 64, 1),
        "path_b": (10, 3, 1, 1),
        "probability": (10, 539),
        "test_probability": (10, 1258),
    }
    assert {name: values.shape for name, values in probed.arrays.items()} == shapes
    np.testing.assert_allclose(probed.arrays["l2"][:, 0], L2, rtol=1e-6)
    assert (probed.arrays["status"] == Status.CONVERGED).all()
    assert probed.out.startswith("60 fits in one call; not converged: none\n")
    assert probed.files == {
        ".lock", "config.toml", "environment.json", "params.npz", "results.csv",
        "path.png", "weights.png", "reliability.png",
    }  # fmt: skip


def test_held_out_losses_are_those_of_a_loop(probed, rule):
    """Two digits, every penalty and fold; the probabilities at the one chosen."""
    X, Y, *_ = load_digits(DATA, seed=0)
    folds = fold_weights(jax.random.key(0), 539, 2)
    for k in (0, 8):
        losses, found = np.zeros((3, 2)), np.zeros((3, 539))
        for f, row in enumerate(np.asarray(folds) == 0):
            for p, l2 in enumerate(L2):
                model = refit(X[:, ~row], Y[k, ~row], l2)
                a = model.predict_proba(X[:, row].T)[:, 1]
                truth = np.where(Y[k, row] == 1, a, 1 - a)
                losses[p, f], found[p, row] = -np.log(truth).mean(), a
        arrays = probed.arrays
        np.testing.assert_allclose(arrays["fold_loss"][k], losses, rtol=1e-3)
        chosen = arrays[rule][k, 0]
        assert np.abs(arrays["probability"][k] - found[chosen]).max() <= 1e-4


def test_penalties_are_chosen_by_their_losses(probed):
    sizes = (np.asarray(fold_weights(jax.random.key(0), 539, 2)) == 0).sum(axis=1)
    for k, folds in enumerate(probed.arrays["fold_loss"].astype(float)):
        loss = folds @ sizes / 539
        error = np.abs(folds[:, 0] - folds[:, 1]) / 2  # of two folds
        best = loss.argmin()
        near = [j for j in range(3) if loss[j] <= loss[best] + error[best]]
        np.testing.assert_allclose(probed.arrays["loss"][k], loss, rtol=1e-5)
        np.testing.assert_allclose(
            probed.arrays["standard_error"][k], error, rtol=1e-3, atol=1e-7
        )
        assert probed.arrays["best"][k] == best
        assert probed.arrays["one_standard_error"][k] == max(near)
        row = probed.rows[k]
        assert float(row["best l2"]) == pytest.approx(L2[best])
        assert float(row["1 SE l2"]) == pytest.approx(L2[max(near)])
    assert (probed.arrays["best"] < probed.arrays["one_standard_error"]).any()


def test_the_refit_is_that_of_all_samples(probed, rule):
    X, Y, X_test, _ = load_digits(DATA, seed=0)
    for k in range(10):
        model = refit(X, Y[k], L2[probed.arrays[rule][k, 0]])
        found = np.append(probed.arrays["w"][k], probed.arrays["b"][k])
        due = np.append(model.coef_, model.intercept_)
        assert np.abs(found - due).max() <= 1e-3 * np.abs(due).max()
        a = model.predict_proba(X_test.T)[:, 1]
        assert np.abs(probed.arrays["test_probability"][k] - a).max() <= 1e-3


def test_accuracies_are_counted(probed, rule):
    _, Y, _, Y_test = load_digits(DATA, seed=0)
    for part, of, truth in [("", "", Y), ("test ", "test_", Y_test)]:
        a, digit = probed.arrays[f"{of}probability"], truth.argmax(axis=0)
        given = a.argmax(axis=0)
        for k, row in enumerate(probed.rows[:10]):
            label = 100 * np.mean((a[k] > 0.5) == (digit == k))
            recall = 100 * np.mean(given[digit == k] == k)
            assert float(row[f"{part}acc. %"]) == pytest.approx(label, rel=1e-3)
            assert float(row[f"{part}recall %"]) == pytest.approx(recall, rel=1e-3)
        share = 100 * np.mean(given == digit)
        assert float(probed.rows[10][f"{part}recall %"]) == pytest.approx(share, 1e-3)
        assert share > 90
    held, test = (probed.rows[10][f"{part}recall %"] for part in ("", "test "))
    line = f"Digits assigned to the right probe: {held} % held out, {test} % test\n"
    assert line in probed.out
    assert [row["digit"] for row in probed.rows] == [*"0123456789", "all"]
    assert probed.rows[10]["best l2"] == probed.rows[10]["1 SE l2"] == ""
    chosen = probed.arrays[rule]
    losses = np.take_along_axis(probed.arrays["loss"], chosen, axis=1)[:, 0]
    found = [float(row["loss"]) for row in probed.rows]
    assert found == pytest.approx([*losses, losses.mean()], rel=1e-2)


def test_the_calibration_error_is_printed(probed):
    _, Y, *_ = load_digits(DATA, seed=0)
    a, total = probed.arrays["probability"], 0
    for low in np.arange(10) / 10:
        inside = (a >= low) & (a < low + 0.1)
        total += abs((Y[inside] - a[inside]).sum()) / Y.size
    line = f"Expected calibration error of the held-out probabilities: {total:.4f}\n"
    assert line in probed.out


# --- runs -----------------------------------------------------------------------------


@pytest.fixture
def undrawn(monkeypatch):
    """Leave the pictures empty: to draw them takes most of such a run."""
    monkeypatch.setattr(Run, "write_figure", lambda run, name, _: run.write(name, b""))


@pytest.mark.usefixtures("undrawn")
def test_a_finished_run_is_shown_and_not_run_again(run_ok, run_cli, monkeypatch):
    folder, out = run_ok(CONFIG, *SMALL)
    monkeypatch.setattr(probes, "cross_validate", None)
    result = run_cli(CONFIG, *SMALL)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Finished before; delete {folder} to run it again.\n")
    assert cells_of(result.out) == cells_of(out)


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_was_killed_is_run_again(
    run_ok, run_cli, runs, tmp_path, monkeypatch
):
    whole, _ = run_ok(CONFIG, *SMALL, runs=tmp_path / "whole")

    def full(run, name, figure):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_figure", full)
        result = run_cli(CONFIG, *SMALL)
    assert result.code == 2
    (folder,) = runs.iterdir()
    assert not (folder / "results.csv").exists()
    assert run_cli(CONFIG, *SMALL).code == 0
    for name in ("results.csv", "params.npz"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.usefixtures("undrawn")
def test_the_seed_deals_the_folds(run_ok):
    folders = [run_ok(CONFIG, *SMALL, f"--seed={seed}")[0] for seed in (0, 1)]
    one, two = (arrays_of(folder)["fold_loss"] for folder in folders)
    assert not np.isclose(one, two, rtol=1e-3).all()


@pytest.mark.usefixtures("undrawn")
def test_the_bar_counts_the_fits(run_ok, monkeypatch):
    bars = bars_of(monkeypatch)
    run_ok(CONFIG, *SMALL)
    ((what, total, done, steps),) = bars
    assert (what, total, done) == ("fitting", 90, 0)
    assert sum(steps) == 90


def test_fits_that_fail_are_counted_and_never_called_right(run_ok, monkeypatch):
    plain = probes.cross_validate

    def spoilt(*arguments, **options):
        found = plain(*arguments, **options)
        k = np.arange(10)[:, None] == 3
        return found._replace(
            status=np.where(k[..., None], Status.MAX_STEPS, found.status),
            loss=np.where(k, np.float32(np.nan), found.loss),
            probability=np.where(k, np.float32(np.nan), found.probability),
        )

    monkeypatch.setattr(probes, "cross_validate", spoilt)
    folder, out = run_ok(CONFIG, *SMALL)
    assert out.startswith("60 fits in one call; not converged: 6\n")
    rows = read_results(folder)
    assert rows[3]["loss"] == "nan"
    assert float(rows[3]["acc. %"]) == float(rows[3]["recall %"]) == 0
    assert float(rows[10]["acc. %"]) < 91


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["--grid.smallest=1"], "grid: smallest must be at most largest"),
        (["--grid.smallest=0"], "grid.smallest: "),
        (["--grid.smallest=1e-50"], "grid.smallest: 1e-50 does not fit float32"),
        (["--grid.largest=nan"], "grid.largest must be a finite number"),
        (["--grid.penalties=0"], "grid.penalties: "),
        (["--grid.penalties=20.0"], "grid.penalties: "),
        (["--grid.folds=1"], "grid.folds: "),
        (["--grid.folds=1348"], "grid.folds: there are only 1347 samples"),
        (["--grid.rule=worst"], "grid.rule: "),
        (["--grid.l2=1"], "unknown field `l2`"),
        (["--data.source=faces"], "data.source: "),
        (["--data.test_fraction=1"], "data.test_fraction: "),
        (["--data.test_fraction=0.999"], "digits: the samples cannot be split: "),
    ],
)
def test_settings_that_cannot_be_used_are_refused(overrides, words, refused):
    assert words in refused(CONFIG, *overrides)


# --- digits ---------------------------------------------------------------------------


def test_digits_are_columns_with_a_row_of_labels_each():
    data = load_digits(DigitsConfig(), seed=3)
    assert [part.shape for part in data] == [
        (64, 1347),
        (10, 1347),
        (64, 450),
        (10, 450),
    ]
    for part in data:
        assert part.dtype == np.float32
        assert part.min() == 0
        assert part.max() == 1
    X, Y = np.hstack(data[::2]), np.hstack(data[1::2])
    assert (Y.sum(axis=0) == 1).all()
    bunch = datasets.load_digits()
    images = sorted(zip(map(tuple, bunch.data), bunch.target, strict=True))
    found = zip(map(tuple, 16 * X.T.astype(float)), Y.argmax(axis=0), strict=True)
    assert sorted(found) == images


def test_the_split_of_digits_is_stratified_and_decided_by_the_seed():
    first, again, other = (load_digits(DigitsConfig(), seed) for seed in (5, 5, 6))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.X_test, other.X_test)
    share = first.Y_train.mean(axis=1) - first.Y_test.mean(axis=1)
    assert np.abs(share).max() < 1 / 450


# --- what is drawn --------------------------------------------------------------------


def test_calibration_by_hand():
    a = np.array([[0.0, 0.2, 0.3], [0.9, 1.0, np.nan]])
    y = np.array([[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    found = calibration(a, y, bins=4)
    np.testing.assert_array_equal(found.count, [[2, 1, 0, 2]])
    np.testing.assert_allclose(found.predicted, [[0.1, 0.3, np.nan, 0.95]])
    np.testing.assert_allclose(found.observed, [[0.5, 0, np.nan, 1]])
    assert found.error == pytest.approx((2 * 0.4 + 0.3 + 2 * 0.05) / 5)


@pytest.mark.parametrize("bins", [0, -1])
def test_calibration_needs_a_bin(bins):
    with pytest.raises(ValueError, match=r"^bins must be at least 1"):
        calibration(np.ones((1, 2)), np.ones((1, 2)), bins)
    with pytest.raises(RankError, match=r"^probability has rank 1"):
        calibration(np.ones(2), np.ones((1, 2)))


def test_calibration_of_nothing_is_no_error():
    found = calibration(np.full((1, 2), np.nan), np.ones((1, 2)))
    assert found.error == 0
    assert np.isnan(found.predicted).all()


def test_a_path_of_coefficients_has_curves_and_marks():
    l2, values = np.array([[1e-2], [1e-1], [1.0]]), np.array([[3.0, 2, 1], [-2, -1, 0]])
    best = np.array([[1e-1], [1.0]])
    figure = penalty_path(l2, values, best=best, labels=["a", "b"], title="w")
    (axes,) = figure.axes
    for line, row in zip(axes.lines, values, strict=True):
        np.testing.assert_array_equal(line.get_xydata().T, [l2[:, 0], row])
    (marks,) = axes.collections
    np.testing.assert_allclose(marks.get_offsets(), [[0.1, 2], [1, 0]])
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["a", "b", "best"]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")


def test_many_curves_need_no_names():
    l2 = np.geomspace(1e-3, 1, 5).reshape(-1, 1)
    (axes,) = penalty_path(l2, np.ones((12, 5)), np.ones((12, 5)) / 4).axes
    assert len({line.get_color() for line in map(_hashable, axes.lines)}) == 12
    assert len(axes.collections) == 12
    assert axes.get_legend() is None


def _hashable(line):
    line.set_color(tuple(line.get_color()))
    return line


def test_a_forest_shows_the_largest_in_their_order():
    estimate = np.array([[0.1], [-3.0], [2.0]])
    ends = np.array([[-1.0, 1.0]])
    figure = interval_forest(
        estimate, estimate + ends, estimate + ends / 2, ["a", "b", "c$"], most=2
    )
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["b", r"c\$"]
    wald, boot = axes.collections
    spans = [
        [segment[:, 0] for segment in kind.get_segments()] for kind in (wald, boot)
    ]
    np.testing.assert_allclose(spans[0], [[-4, -2], [1, 3]])
    np.testing.assert_allclose(spans[1], [[-3.5, -2.5], [1.5, 2.5]])
