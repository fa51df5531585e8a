"""Cross-validation is a loop over folds and penalties, in every number."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import jlogreg as jl
from jlogreg import Status, cross_validate
from tests.helpers import (
    EPS,
    TOL,
    Problem,
    assert_close,
    compiled,
    entry,
    same_bits,
)
from tests.oracles.numpy_fit import assert_minimum, numpy_minimum, params_slack

N, M, F = 2, 23, 4  # folds of 6, 6, 6 and 5 samples
L2 = np.array([[0.1], [0.0], [1.0], [0.01]])  # in no order
PENALIZED = np.maximum(L2, 1e-3)
ONES, ZEROS = np.ones((1, M)), np.zeros((1, M))
EVERY_FOURTH = (np.arange(M) % F != np.arange(F)[:, None]) * 1.0
# Eight problems side by side in every call, so that all compile alike.
ALIKE = {"tol": TOL, "memory_limit": 60_000}
RULES = ["best", "one_standard_error"]


def data():
    """Return features and two rows of labels that no plane separates in any fold."""
    random = np.random.default_rng(8)
    X = random.standard_normal((N, M))
    noise = random.logistic(size=(2, M))
    return X, (np.array([[1.0, -0.5], [0.3, 0.6]]) @ X + noise > 0) * 1.0


X, Y = data()


def validated(Y=Y, l2=L2, **options):
    return jax.device_get(cross_validate(X, Y, l2, **ALIKE, **options))


def losses(z, y):
    return np.logaddexp(0, z) - y * z


def problem_of(label, weight, offset, l2):
    """Return the problem of the samples that have a weight."""
    kept = weight[0] > 0
    rows = (row[:, kept] for row in (X, label, weight, offset))
    return Problem(None, *rows, l2)


def predict(problem, offset):
    """Return the logits of a problem's minimum, and how far those of a fit may be."""
    params = numpy_minimum(problem)
    within = params_slack(problem, params)
    size = np.abs(params.w).T @ np.abs(X) + np.abs(params.b) + np.abs(offset)
    reach = 2 * (within.w.T @ np.abs(X) + within.b) + 4 * (M + 4) * EPS * (size + 1)
    return (params.w.T @ X + params.b + offset)[0], reach.max()


def loop(folds, Y=Y, l2=L2, weight=ONES, offset=ZEROS):
    """Return the expected numbers, and how far off they may be (within).

    A fit for each row of labels, penalty and fold, on a copy of the samples that the
    fold sees, by another Newton's method.
    """
    shape = K, L, _ = len(Y), len(l2), len(folds)
    weight, reach = np.broadcast_to(weight, Y.shape), 0.0
    fold_loss, size, a = np.zeros(shape), np.zeros(shape), np.zeros((K, L, M))
    for k, i, f in np.ndindex(shape):
        label, own, out = Y[k : k + 1], weight[k], folds[f] == 0
        problem = problem_of(label, own * folds[f : f + 1], offset, l2[i, 0])
        z, far = predict(problem, offset)
        held = out & (own > 0)
        size[k, i, f] = own[held].sum()
        fold_loss[k, i, f] = own[held] @ losses(z, label[0])[held] / own[held].sum()
        a[k, i, out] += 1 / (1 + np.exp(-z[out]))
        reach = max(reach, far)
    with np.errstate(invalid="ignore"):  # of samples that no fold holds out: NaN
        a = a / (folds == 0).sum(axis=0)
    loss = (size * fold_loss).sum(axis=2) / size.sum(axis=2)
    error = fold_loss.std(axis=2, ddof=1) / np.sqrt(len(folds))
    chosen = choose(loss, error, l2)
    # No choice depends on roundings.
    assert np.diff(np.sort(loss, axis=1))[:, 0].min() > 1e-6
    limit = (loss + error)[np.arange(K), chosen["best"]]
    assert np.abs(loss - limit[:, None]).min() > 1e-6
    problems = [
        [
            problem_of(Y[k : k + 1], weight[k : k + 1], offset, l2[i, 0])
            for i in range(L)
        ]
        for k in range(K)
    ]
    return SimpleNamespace(
        fold_loss=fold_loss,
        loss=loss,
        standard_error=error,
        chosen=chosen,
        probability=a,
        problems=problems,
        within=2 * reach,
    )


def choose(loss, error, l2):
    """Return the best penalty of each row, and the largest within an error of it."""
    best = loss.argmin(axis=1)
    limit = np.take_along_axis(loss + error, best[:, None], axis=1)
    near = np.where(loss <= limit, l2[:, 0], -1)
    return {"best": best, "one_standard_error": near.argmax(axis=1)}


def assert_expected(result, expected, rule="best"):
    """Assert that every number is the expected one, and every fit converged."""
    assert not np.any(result.status)
    for name in ("fold_loss", "loss", "standard_error"):
        numbers = getattr(result, name), getattr(expected, name)
        assert_close(*numbers, expected.within)
    for name in RULES:
        np.testing.assert_array_equal(
            getattr(result, name)[:, 0], expected.chosen[name]
        )
    chosen = expected.chosen[rule]
    a = expected.probability[np.arange(len(chosen)), chosen]
    np.testing.assert_allclose(result.probability, a, rtol=0, atol=expected.within)
    for k, i in enumerate(chosen):
        assert_minimum(entry(result.fit, k), expected.problems[k][i], times=2)


@pytest.fixture(scope="module")
def folds():
    return np.asarray(jl.fold_weights(jax.random.key(3), M, F))


@pytest.fixture(scope="module")
def plain(folds):
    """Return the results of two rows of labels, by either rule."""
    return {rule: validated(folds=folds, rule=rule) for rule in RULES}


def test_every_number_is_that_of_a_loop_over_subsets(plain, folds):
    expected = loop(folds)
    for rule in RULES:
        assert_expected(plain[rule], expected, rule)
        np.testing.assert_array_equal(plain[rule].l2, L2)
    # The rules differ, and so do the labels.
    best, simple = (expected.chosen[rule].tolist() for rule in RULES)
    assert best != simple
    assert best[0] != best[1] or simple[0] != simple[1]


def test_the_path_holds_the_refit_at_every_penalty(plain):
    path = plain["best"].path
    assert path.status.shape == (2, 4)
    for k, i in np.ndindex(2, 4):
        problem = problem_of(Y[k : k + 1], ONES, ZEROS, L2[i, 0])
        assert_minimum(entry(entry(path, k), i), problem, times=2)
    for rule in RULES:
        picked = getattr(plain[rule], rule)[:, 0]
        chosen = jax.tree.map(lambda leaf, i=picked: leaf[np.arange(2), i], path)
        jax.tree.map(np.testing.assert_array_equal, plain[rule].fit, chosen)


def missing(kind):
    """Return labels and weights, 0 where a label is NaN."""
    random = np.random.default_rng(1)
    weight = random.choice([0.5, 1.0, 2.0], (2, M))
    out = np.arange(M) % 8 == np.array([[1], [5]])
    if kind == "common":
        weight, out = weight[:1], out[:1]
    weight = np.where(out, 0.0, weight)
    return np.where(np.broadcast_to(weight, Y.shape) == 0, np.nan, Y), weight


@pytest.mark.parametrize("kind", ["common", "its own"])
def test_a_label_that_is_missing_has_no_weight(kind, folds):
    """In the fits, the losses and the refit; its probability is there all the same."""
    labels, weight = missing(kind)
    offset = np.random.default_rng(2).standard_normal((1, M)) / 2
    rows = {"weight": weight, "offset": offset}
    result = validated(labels, folds=folds, **rows)
    assert_expected(result, loop(folds, labels, **rows))
    assert np.isfinite(result.probability).all()


def test_a_penalty_of_0_where_labels_are_separated_is_not_chosen(plain, folds):
    result = validated(np.vstack([Y[:1], X[:1] > 0.1]), folds=folds)
    zero = L2[:, 0] == 0
    assert (result.status[1, zero] == Status.SEPARATED).all()
    assert not result.status[1, ~zero].any()
    assert np.isnan(result.fold_loss[1, zero]).all()
    np.testing.assert_array_equal(np.isnan(result.loss[1]), zero)
    assert result.path.status[1, zero] == Status.SEPARATED
    chosen = choose(np.nan_to_num(result.loss, nan=np.inf), result.standard_error, L2)
    for rule in RULES:
        np.testing.assert_array_equal(getattr(result, rule)[:, 0], chosen[rule])
    assert result.fit.status[1] == Status.CONVERGED
    assert np.isfinite(result.probability).all()
    # The other row is not changed by it.
    rows = (entry(one._replace(l2=L2[None]), 0) for one in (result, plain["best"]))
    jax.tree.map(np.testing.assert_array_equal, *rows)


def test_a_fit_that_fails_is_no_start(folds):
    """In two steps none converges: all start from zero, as each alone."""
    path = validated(folds=folds, max_steps=2).path
    assert (path.status == Status.MAX_STEPS).all()
    for i, l2 in enumerate(L2[:, 0]):
        alone = jl.fit_many(X, Y, l2=float(l2), max_steps=2, tol=TOL)
        assert_close(path.params.w[:, i], alone.params.w, 1e-12)


def test_where_every_penalty_fails_none_is_chosen_and_the_status_is_a_folds(folds):
    labels, weight = missing("its own")
    labels[0, 3] = np.nan  # with a weight
    result = validated(labels, weight=weight, offset=ZEROS, folds=folds)
    # The fold that holds the label out has fits, and a loss of NaN.
    sees = np.broadcast_to(folds[:, 3] > 0, (4, F))
    np.testing.assert_array_equal(result.status[0] == Status.BAD_INPUT, sees)
    assert np.isnan(result.fold_loss[0]).all()
    assert np.isnan(result.loss[0]).all()
    assert (result.best[0], result.one_standard_error[0]) == (-1, -1)
    assert not result.status[1].any()
    assert np.isfinite(result.loss[1]).all()
    assert result.fit.status.tolist() == [Status.BAD_INPUT, Status.CONVERGED]


FOLDS = {
    "some are never held out": (np.arange(M) % 9 != np.arange(F)[:, None]) * 1.0,
    "some are held out twice": 1.0
    * (np.abs(np.arange(M) - np.arange(F)[:, None] - 5.5) > 6),
    "weights": EVERY_FOURTH * np.random.default_rng(4).choice([0.5, 1.0, 3.0], (F, M)),
}


@pytest.mark.parametrize("kind", FOLDS)
def test_folds_may_be_given(kind):
    """A sample that no fold holds out has no probability; of two, the mean."""
    rows = FOLDS[kind]
    result = validated(Y[:1], l2=PENALIZED, folds=rows)
    assert_expected(result, loop(rows, Y[:1], l2=PENALIZED))


def test_one_part_to_validate_with_is_a_fold_too():
    """Without a standard error there is nothing larger to choose than the best."""
    rows = (np.arange(M) % 3 > 0)[None] * 1.0
    result = validated(np.vstack([Y, 1 - Y]), folds=rows)
    assert result.fold_loss.shape == (4, 4, 1)
    assert not result.status.any()
    np.testing.assert_array_equal(result.loss, result.fold_loss[:, :, 0])
    assert np.isnan(result.standard_error).all()
    np.testing.assert_array_equal(result.one_standard_error, result.best)
    for k, i in np.ndindex(2, 4):
        problem = problem_of(Y[k : k + 1], rows, ZEROS, L2[i, 0])
        z, reach = predict(problem, ZEROS)
        assert_close(result.loss[k, i], losses(z, Y[k])[::3].mean(), 2 * reach)
    np.testing.assert_array_equal(np.isnan(result.probability[0]), rows[0] == 1)


def test_a_fold_without_a_label_of_a_row_counts_nothing_there():
    """Labels may be so rare that a fold has none to test with."""
    # The first row has no label in the first fold.
    weight = np.vstack([EVERY_FOURTH[0], ONES])
    result = validated(l2=PENALIZED, weight=weight, folds=EVERY_FOURTH)
    assert np.isnan(result.fold_loss[0, :, 0]).all()
    size = (EVERY_FOURTH[1:] == 0).sum(axis=1)
    loss = result.fold_loss[0, :, 1:] @ size / size.sum()
    assert_close(result.loss[0], loss, 16 * EPS)
    assert result.best[0, 0] == np.argmin(loss)
    assert np.isfinite(result.loss[1]).all()


def test_a_count_deals_the_folds_by_the_key(plain):
    assert same_bits(validated(folds=F, key=jax.random.key(3)), plain["best"])
    default = validated(l2=PENALIZED, folds=F)
    rows = jl.fold_weights(jax.random.key(0), M, F)
    assert same_bits(default, validated(l2=PENALIZED, folds=rows))
    assert not np.array_equal(default.fold_loss, plain["best"].fold_loss)


def test_progress_is_told_and_what_it_raises_ends_the_call(folds):
    told = []
    result = validated(folds=folds, progress=lambda p: told.append(p.finished.sum()))
    assert told == sorted(told)
    assert told[-1] == 2 * 4 * (F + 1)
    assert isinstance(result, jl.CrossValidation)

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validated(folds=folds, progress=stop)


def test_metrics_are_those_of_the_samples_that_a_fold_holds_out(folds):
    """By the fits that have not seen them; NaN where such a fit failed."""
    labels, weight = missing("its own")
    labels = np.vstack([labels[:1], X[:1] > 0.1])
    names = ["roc_auc", "brier", "confusion"]
    result = validated(labels, weight=weight, folds=folds, metrics=names)
    assert list(result.metrics) == sorted(names)
    failed = result.status != Status.CONVERGED
    assert 0 < failed.sum() < failed.size
    for k, i, f in np.ndindex(failed.shape):
        held = (folds[f] == 0) & (weight[k] > 0)
        params = entry(entry(entry(result.fold_fits.params, k), i), f)
        y, z = labels[k, held], (params.w.T @ X + params.b)[0, held]
        a, v = 1 / (1 + np.exp(-z)), weight[k, held]
        found = {name: entry(of, k)[i, f] for name, of in result.metrics.items()
                 if name != "confusion"}  # fmt: skip
        counts = [leaf[k, i, f] for leaf in result.metrics["confusion"]]
        if failed[k, i, f]:
            assert np.isnan([*found.values(), *counts]).all()
            continue
        assert_close(found["brier"], v @ (a - y) ** 2 / v.sum(), 1e-12)
        assert_close(counts[0], v @ (y * (a > 0.5)), 1e-12)
        assert_close(np.sum(counts), v.sum(), 1e-12)
        if 0 < y.sum() < y.size:
            expected = roc_auc_score(y, z, sample_weight=v)
            assert_close(found["roc_auc"], expected, 1e-12)
        else:
            assert np.isnan(found["roc_auc"])


def test_a_penalty_of_the_sum_is_divided_by_the_weights_of_each_fit(folds):
    """So that each label and fold has its own l2, and all have the same C."""
    labels, weight = missing("its own")
    options = {"weight": weight, "folds": folds}
    result = validated(labels, L2 * M, reduction="sum", **options)
    assert not np.any(result.status)
    np.testing.assert_array_equal(result.l2, L2 * M)
    rows = [*folds, np.ones(M)]
    for k, i, f in np.ndindex(2, len(L2), F + 1):
        own = (weight[k] * rows[f])[None]
        problem = problem_of(labels[k : k + 1], own, ZEROS, L2[i, 0] * M / own.sum())
        fits = entry(entry(result.path if f == F else result.fold_fits, k), i)
        assert_minimum(fits if f == F else entry(fits, f), problem, times=2)


def test_all_penalties_share_their_programs(caplog):
    random = np.random.default_rng(5)
    X, y = random.normal(size=(2, 19)), (random.random((1, 19)) < 0.5) * 1.0
    l2 = np.array([[0.1], [1.0], [10.0]])
    first = compiled(caplog, lambda: cross_validate(X, y, l2, folds=2))
    large = ("jit(_init)", "jit(_advance)", "jit(_finalize)")
    assert [first[name] for name in large] == [1, 1, 1]
    assert sum(first.values()) <= 20


def test_it_says_in_short_what_is_best_and_whether_that_is_at_the_edge():
    inside = validated(Y[:1], np.array([[1e3], [1e-9], [0.3], [0.03]]))
    assert inside.at_edge.tolist() == [[False]]
    best = inside.l2[inside.best[0, 0], 0]
    assert f"best l2={best:g} (1, 1)" in repr(inside)
    assert "edge" not in repr(inside)
    assert "CONVERGED" in inside._repr_html_()
    edge = validated(Y[:1], np.array([[1e4], [best], [1e3], [1e2]]))
    assert edge.at_edge.tolist() == [[True]]
    assert "best at the edge of the grid=1 of 1" in repr(edge)
    alone = edge._replace(l2=edge.l2[1:2], best=np.zeros((1, 1), int))
    assert alone.at_edge.tolist() == [[False]]
    assert "edge" not in repr(alone)


@pytest.mark.parametrize("n", [20, 40])
def test_the_penalties_that_are_proposed_have_fits_in_float32(n):
    """Also where labels are separated, as those of so many features are."""
    random = np.random.default_rng(3)
    features = random.standard_normal((n, 30)).astype(np.float32)
    labels = (random.random((2, 30)) < 0.5).astype(np.float32)
    found = cross_validate(features, labels, folds=2)
    assert not np.any(found.status)
    assert not np.any(found.path.status)
    # From 50 |dw|^2 / J down, with the bias of the share of label 1.
    share = labels.mean(axis=1, keepdims=True)
    dw = (share - labels) @ features.T / 30
    J = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    top = (50 * (dw**2).sum(axis=1, keepdims=True) / J).max()
    np.testing.assert_allclose(found.l2[0], top, rtol=1e-5)
    parts = found.l2[:, 0] / found.l2[0]
    np.testing.assert_allclose(parts[:-1] / parts[1:], 10**0.5, rtol=1e-5)
    least = 3e-5 * min(1, n / 30)
    assert least <= parts[-1] < 10**0.5 * least


@pytest.mark.parametrize(
    ("shape", "dtype", "penalty", "part"),
    [
        *(((1, 10**4), "f4", "l2", 1e-6), ((1, 10**4), "f8", "l2", 3e-9)),
        *(((2, 30), "f4", "l1", 1e-3), ((40, 30), "f4", "l1", 1e-2)),
    ],
)
def test_the_least_penalty_is_that_of_the_shape_and_of_the_precision(
    shape, dtype, penalty, part
):
    features = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    labels = (features[:1] > 0.5).astype(dtype)
    # Filled up with samples without a weight, which do not count.
    weight = np.repeat([[1.0, 0.0]], shape[1], axis=1).astype(dtype)
    more = [np.tile(rows, 2) for rows in (features, labels)]
    grid = jl.penalty_grid(features, labels, penalty)
    assert part <= grid[-1, 0] / grid[0, 0] * (1 + 1e-5) < 10**0.5 * part
    np.testing.assert_allclose(
        jl.penalty_grid(*more, penalty, weight=weight), grid, 1e-5
    )
