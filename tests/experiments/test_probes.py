"""Probes of digits: their losses and choices, by a loop of scikit-learn's fits."""

from contextlib import contextmanager
from typing import NamedTuple

import jax
import numpy as np
import pytest

import jlogreg as jl
from experiments.datasets.load import DigitsConfig, load_digits
from experiments.programs import probes
from experiments.runner import Run, read_results
from tests.experiments.conftest import CONFIGS, arrays_of, call_main, only_folder
from tests.oracles.sklearn_fit import probabilities, refit

CONFIG = CONFIGS / "probes.toml"
SMALL = [
    *("--data.test_fraction=0.7", "--grid.smallest=1e-4", "--grid.largest=1e-2"),
    *("--grid.penalties=3", "--grid.folds=2"),
]
L2 = [1e-4, 1e-3, 1e-2]
X, Y, X_TEST, Y_TEST = load_digits(DigitsConfig(test_fraction=0.7), seed=0)
FOLDS = np.asarray(jl.fold_weights(jax.random.key(0), 539, 2)) == 0


class Probed(NamedTuple):
    """The table, output and arrays of a run."""

    rows: list
    out: str
    arrays: dict


@pytest.fixture(scope="module", params=["best", "one_standard_error"])
def rule(request):
    return request.param


@contextmanager
def undrawn():
    """Leave the pictures empty: to draw them takes most of such a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "write_figure", lambda run, name, _: run.write(name, b""))
        yield


@pytest.fixture(scope="module")
def probed(rule, tmp_path_factory):
    runs, chosen = tmp_path_factory.mktemp("runs"), f"--grid.rule={rule}"
    with undrawn():
        result = call_main("run", CONFIG, *SMALL, chosen, "--runs", runs)
    assert (result.code, result.err) == (0, "")
    folder = only_folder(runs)
    return Probed(read_results(folder), result.out, arrays_of(folder))


def test_held_out_losses_are_those_of_a_loop(probed, rule):
    """Two digits, every penalty and fold; the probabilities at the one chosen."""
    np.testing.assert_allclose(probed.arrays["l2"][:, 0], L2, rtol=1e-6)
    assert (probed.arrays["status"] == jl.Status.CONVERGED).all()
    assert probed.out.startswith("60 fits in one call; not converged: none\n")
    for k in (0, 8):
        losses, found = np.zeros((3, 2)), np.zeros((3, 539))
        for f, row in enumerate(FOLDS):
            for p, l2 in enumerate(L2):
                a = probabilities(refit(X[:, ~row], Y[k, ~row], l2), X[:, row])
                truth = np.where(Y[k, row] == 1, a, 1 - a)
                losses[p, f], found[p, row] = -np.log(truth).mean(), a
        np.testing.assert_allclose(probed.arrays["fold_loss"][k], losses, rtol=1e-3)
        chosen = probed.arrays[rule][k, 0]
        assert np.abs(probed.arrays["probability"][k] - found[chosen]).max() <= 1e-4


def test_penalties_are_chosen_by_their_losses(probed):
    arrays = probed.arrays
    for k, folds in enumerate(arrays["fold_loss"].astype(float)):
        loss = folds @ FOLDS.sum(axis=1) / 539
        error = np.abs(folds[:, 0] - folds[:, 1]) / 2  # of two folds
        best = loss.argmin()
        near = max(j for j in range(3) if loss[j] <= loss[best] + error[best])
        np.testing.assert_allclose(arrays["loss"][k], loss, rtol=1e-5)
        np.testing.assert_allclose(
            arrays["standard_error"][k], error, rtol=1e-3, atol=1e-7
        )
        assert (arrays["best"][k], arrays["one_standard_error"][k]) == (best, near)
        row = probed.rows[k]
        found = [float(row[f"{name} l2"]) for name in ("best", "1 SE")]
        assert found == pytest.approx([L2[best], L2[near]])
    assert (arrays["best"] < arrays["one_standard_error"]).any()


def test_the_refit_is_that_of_all_samples(probed, rule):
    for k in range(10):
        due = refit(X, Y[k], L2[probed.arrays[rule][k, 0]])
        found = np.append(probed.arrays["w"][k], probed.arrays["b"][k])
        assert np.abs(found - due).max() <= 1e-3 * np.abs(due).max()
        a = probabilities(due, X_TEST)
        assert np.abs(probed.arrays["test_probability"][k] - a).max() <= 1e-3


def test_accuracies_are_counted(probed, rule):
    for part, of, truth in [("", "", Y), ("test ", "test_", Y_TEST)]:
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
    a, total = probed.arrays["probability"], 0
    for low in np.arange(10) / 10:
        inside = (a >= low) & (a < low + 0.1)
        total += abs((Y[inside] - a[inside]).sum()) / Y.size
    line = f"Expected calibration error of the held-out probabilities: {total:.4f}\n"
    assert line in probed.out


def test_the_seed_deals_the_folds(run_ok):
    with undrawn():
        folders = [run_ok(CONFIG, *SMALL, f"--seed={seed}")[0] for seed in (0, 1)]
    one, two = (arrays_of(folder)["fold_loss"] for folder in folders)
    assert not np.isclose(one, two, rtol=1e-3).all()


def test_fits_that_fail_are_counted_and_never_called_right(run_ok, monkeypatch):
    plain = probes.cross_validate

    def spoilt(*arguments, **options):
        found = plain(*arguments, **options)
        k = np.arange(10)[:, None] == 3
        return found._replace(
            status=np.where(k[..., None], jl.Status.MAX_STEPS, found.status),
            loss=np.where(k, np.float32(np.nan), found.loss),
            probability=np.where(k, np.float32(np.nan), found.probability),
        )

    monkeypatch.setattr(probes, "cross_validate", spoilt)
    folder, out = run_ok(CONFIG, *SMALL)  # the figures are drawn without it, too
    assert out.startswith("60 fits in one call; not converged: 6\n")
    rows = read_results(folder)
    assert rows[3]["loss"] == "nan"
    assert float(rows[3]["acc. %"]) == float(rows[3]["recall %"]) == 0
    assert float(rows[10]["acc. %"]) < 91
