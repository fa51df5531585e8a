"""Sparse probes of digits: their numbers, by coordinate descent and a loop."""

import jax
import numpy as np
import pytest

import jlogreg as jl
from experiments.datasets.load import DigitsConfig, load_digits
from experiments.runner import read_results
from experiments.storage.run import Run
from tests.experiments.conftest import CONFIGS, arrays_of, call_main, only_folder
from tests.oracles.coordinate_descent import lasso_minimum

SMALL = [
    *("--data.test_fraction=0.9", "--grid.smallest=0.2", "--grid.penalties=2"),
    *("--grid.folds=2", "--stability.replicates=2", "--stability.threshold=0.75"),
]
DIGITS = (0, 8)  # that are computed anew


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """Return the table, the arrays, the data, and who is held out (2, m)."""
    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "write_figure", lambda run, name, _: run.write(name, b""))
        result = call_main(
            "run", CONFIGS / "sparse_probes.toml", *SMALL, "--runs", runs
        )
    assert (result.code, result.err) == (0, "")
    assert "40 fits in one call; not converged: none\n" in result.out
    folder = only_folder(runs)
    data = load_digits(DigitsConfig(test_fraction=0.9), 0)
    m = data.X_train.shape[1]
    held_out = np.asarray(jl.fold_weights(jax.random.key(0), m, 2)) == 0
    return read_results(folder), arrays_of(folder), data, held_out


def minimum(X, y, l1):
    """Return w and b by coordinate descent."""
    theta = lasso_minimum(X.astype(float), y[None].astype(float), l1)
    return theta[:-1], theta[-1]


def test_penalties_begin_where_no_pixel_is_left(probed):
    _, arrays, (X, Y, *_), _ = probed
    slopes = (Y - Y.mean(axis=1, keepdims=True)).astype(float) @ X.T / X.shape[1]
    top = np.abs(slopes).max()
    np.testing.assert_allclose(arrays["l1"][:, 0], [top, 0.2 * top], rtol=1e-5)
    assert not arrays["n_selected"][:, 0].any()


def test_losses_pixels_and_the_choice_are_those_of_a_loop(probed):
    rows, arrays, (X, Y, X_test, Y_test), held_out = probed
    for k in DIGITS:
        losses = np.zeros((2, 2))
        for i, l1 in enumerate(arrays["l1"][:, 0].astype(float)):
            for f, out in enumerate(held_out):
                w, b = minimum(X[:, ~out], Y[k, ~out], l1)
                z = (w @ X[:, out] + b) * (2 * Y[k, out] - 1)
                losses[i, f] = np.log1p(np.exp(-z)).mean()
        np.testing.assert_allclose(arrays["fold_loss"][k], losses, rtol=1e-4)
        loss = losses @ held_out.mean(axis=1)
        error = np.abs(losses[:, 0] - losses[:, 1]) / 2  # of two folds
        best = int(loss.argmin())
        near = 0 if loss[0] <= loss[best] + error[best] else best
        assert arrays["best"][k, 0] == best
        assert arrays["one_standard_error"][k, 0] == near
        w, b = minimum(X, Y[k], float(arrays["l1"][near, 0]))
        np.testing.assert_allclose(arrays["w"][k, :, 0], w, atol=2e-3)
        np.testing.assert_array_equal(arrays["w"][k, :, 0] != 0, np.abs(w) > 1e-6)
        row = rows[k]
        assert float(row["1 SE pixels"]) == (np.abs(w) > 1e-6).sum()
        assert float(row["1 SE loss"]) == pytest.approx(loss[near], rel=1e-2)
        # The share of pairs of test samples that are in the right order.
        z = w @ X_test + b
        one, other = z[Y_test[k] == 1], z[Y_test[k] == 0]
        right = (one[:, None] > other).mean() + (one[:, None] == other).mean() / 2
        assert float(row["1 SE test AUC"]) == pytest.approx(right, abs=1e-3)


def test_stable_pixels_are_chosen_by_every_replicate(probed):
    rows, arrays, *_ = probed
    assert set(np.unique(arrays["share"])) <= {0.0, 0.5, 1.0}
    for row, share in zip(rows, arrays["share"], strict=True):
        assert float(row["stable pixels"]) == (share == 1).sum()
