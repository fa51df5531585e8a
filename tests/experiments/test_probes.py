"""Probes of digits: their losses and choices, by a loop of scikit-learn's fits."""

from typing import NamedTuple

import jax
import numpy as np
import pytest

import jlogreg as jl
from experiments.datasets.load import Digits, DigitsConfig, load_digits
from experiments.programs import probes
from experiments.runner import read_results
from experiments.storage.run import Run
from tests.experiments.conftest import CONFIGS, arrays_of, call_main, only_folder
from tests.oracles.sklearn_fit import probabilities, refit

CONFIG = CONFIGS / "probes.toml"
SMALL = [
    *("--data.test_fraction=0.7", "--grid.smallest=1e-4", "--grid.largest=1e-2"),
    *("--grid.penalties=3", "--grid.folds=2"),
]
L2 = [1e-4, 1e-3, 1e-2]


class Probed(NamedTuple):
    """The table, output and arrays of a run; its data, and who is held out, (2, m)."""

    rule: str
    rows: list
    out: str
    arrays: dict
    data: Digits
    folds: np.ndarray


@pytest.fixture(scope="module", params=["best", "one_standard_error"])
def probed(request, tmp_path_factory):
    """Return a run by each rule, with a seed of its own."""
    rule, seed = request.param, int(request.param == "best")
    runs = tmp_path_factory.mktemp("runs")
    chosen = f"--grid.rule={rule}", f"--seed={seed}"
    with pytest.MonkeyPatch.context() as patch:
        # To draw the figures takes most of such a run.
        patch.setattr(Run, "write_figure", lambda run, name, _: run.write(name, b""))
        result = call_main("run", CONFIG, *SMALL, *chosen, "--runs", runs)
    assert (result.code, result.err) == (0, "")
    folder = only_folder(runs)
    data = load_digits(DigitsConfig(test_fraction=0.7), seed)
    folds = np.asarray(jl.fold_weights(jax.random.key(seed), 539, 2)) == 0
    rows, arrays = read_results(folder), arrays_of(folder)
    return Probed(rule, rows, result.out, arrays, data, folds)


def test_held_out_losses_are_those_of_a_loop(probed):
    """Two digits, every penalty and fold; the probabilities at the one chosen."""
    arrays, (X, Y, *_) = probed.arrays, probed.data
    np.testing.assert_allclose(arrays["l2"][:, 0], L2, rtol=1e-6)
    assert (arrays["status"] == jl.Status.CONVERGED).all()
    assert probed.out.startswith("60 fits in one call; not converged: none\n")
    for k in (0, 8):
        losses, held_out = np.zeros((3, 2)), np.zeros((3, 539))
        for f, row in enumerate(probed.folds):
            for p, l2 in enumerate(L2):
                a = probabilities(refit(X[:, ~row], Y[k, ~row], l2), X[:, row])
                truth = np.where(Y[k, row] == 1, a, 1 - a)
                losses[p, f], held_out[p, row] = -np.log(truth).mean(), a
        np.testing.assert_allclose(arrays["fold_loss"][k], losses, rtol=1e-3)
        chosen = held_out[arrays[probed.rule][k, 0]]
        assert np.abs(arrays["probability"][k] - chosen).max() <= 1e-4


def test_penalties_are_chosen_by_their_losses(probed):
    arrays = probed.arrays
    for k, folds in enumerate(arrays["fold_loss"].astype(float)):
        loss = folds @ probed.folds.sum(axis=1) / 539
        error = np.abs(folds[:, 0] - folds[:, 1]) / 2  # of two folds
        best = loss.argmin()
        near = max(j for j in range(3) if loss[j] <= loss[best] + error[best])
        row = [float(probed.rows[k][name]) for name in ("best l2", "1 SE l2", "loss")]
        chosen = loss[best if probed.rule == "best" else near]
        assert row == pytest.approx([L2[best], L2[near], chosen], rel=1e-2)
    assert (arrays["best"] < arrays["one_standard_error"]).any()


def test_the_refit_is_that_of_all_samples(probed):
    X, Y, X_test, _ = probed.data
    for k in range(10):
        expected = refit(X, Y[k], L2[probed.arrays[probed.rule][k, 0]])
        params = np.append(probed.arrays["w"][k], probed.arrays["b"][k])
        assert np.abs(params - expected).max() <= 1e-3 * np.abs(expected).max()
        a = probabilities(expected, X_test)
        assert np.abs(probed.arrays["test_probability"][k] - a).max() <= 1e-3


def test_accuracies_are_counted(probed):
    _, Y, _, Y_test = probed.data
    rows, shares = probed.rows, {}
    assert [row["digit"] for row in rows] == [*"0123456789", "all"]
    assert rows[10]["best l2"] == rows[10]["1 SE l2"] == ""
    losses = [float(row["loss"]) for row in rows]
    assert losses[10] == pytest.approx(np.mean(losses[:10]), rel=1e-2)
    for part, name, truth in [
        ("", "probability", Y),
        ("test ", "test_probability", Y_test),
    ]:
        a, digit = probed.arrays[name], truth.argmax(axis=0)
        given = a.argmax(axis=0)
        for k, row in enumerate(rows[:10]):
            label = 100 * np.mean((a[k] > 0.5) == (digit == k))
            recall = 100 * np.mean(given[digit == k] == k)
            assert float(row[f"{part}acc. %"]) == pytest.approx(label, rel=1e-3)
            assert float(row[f"{part}recall %"]) == pytest.approx(recall, rel=1e-3)
        shares[part] = rows[10][f"{part}recall %"]
        share = 100 * np.mean(given == digit)
        assert float(shares[part]) == pytest.approx(share, rel=1e-3)
        assert share > 90
    held, test = shares.values()
    line = f"Digits assigned to the right probe: {held} % held out, {test} % test\n"
    assert line in probed.out

    a, total = probed.arrays["probability"], 0
    for low in np.arange(10) / 10:
        inside = (a >= low) & (a < low + 0.1)
        total += abs((Y[inside] - a[inside]).sum()) / Y.size
    line = f"Expected calibration error of the held-out probabilities: {total:.4f}\n"
    assert line in probed.out


def test_fits_that_fail_are_counted_and_never_called_right(run_ok, monkeypatch):
    plain = probes.cross_validate

    def spoilt(*arguments, **options):
        fits = plain(*arguments, **options)
        k = np.arange(10)[:, None] == 3
        return fits._replace(
            status=np.where(k[..., None], jl.Status.MAX_STEPS, fits.status),
            loss=np.where(k, np.float32(np.nan), fits.loss),
            probability=np.where(k, np.float32(np.nan), fits.probability),
        )

    monkeypatch.setattr(probes, "cross_validate", spoilt)
    folder, out = run_ok(CONFIG, *SMALL)  # the figures are drawn without it, too
    assert out.startswith("60 fits in one call; not converged: 6\n")
    rows = read_results(folder)
    assert rows[3]["loss"] == "nan"
    assert float(rows[3]["acc. %"]) == float(rows[3]["recall %"]) == 0
    assert float(rows[10]["acc. %"]) < 91
