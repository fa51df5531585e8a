"""Cross-validation is a loop over folds and penalties, every number of it."""

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jlogreg import (
    CrossValidation,
    Status,
    cross_validate,
    fold_weights,
)
from tests.helpers import TOL, Problem, assert_close
from tests.oracles.numpy_fit import numpy_minimum, params_slack

EPS = float(np.finfo(float).eps)
N, M, F = 2, 23, 4  # folds of 6, 6, 6 and 5 samples
L2 = np.array([[0.1], [0.0], [1.0], [0.01]])  # in no order
ONES, ZEROS = np.ones((1, M)), np.zeros((1, M))
# Eight problems side by side in every call, so that all compile alike.
ALIKE = {"tol": TOL, "memory_limit": 60_000}


@pytest.fixture(scope="module")
def folds():
    return np.asarray(fold_weights(jax.random.key(3), M, F))


def data():
    """Return features and two rows of labels that no plane separates in any fold."""
    random = np.random.default_rng(8)
    X = random.standard_normal((N, M))
    noise = random.logistic(size=(2, M))
    return X, (np.array([[1.0, -0.5], [0.3, 0.6]]) @ X + noise > 0) * 1.0


X, Y = data()


def losses_of(z, y):
    return np.logaddexp(0, z) - y * z


def one_fit(label, weight, offset, l2):
    """Return the fit of the samples that weigh something, and how far one may be off.

    As a function of the features of samples and their offset: logits, and by how much
    they may differ.
    """
    kept = weight[0] > 0
    rows = (row[:, kept] for row in (X, label, weight, offset))
    problem = Problem(None, *rows, l2)
    due = numpy_minimum(problem)
    # Here and there.
    within = params_slack(problem, due)

    def predict(X, offset):
        size = np.abs(due.w).T @ np.abs(X) + np.abs(due.b) + np.abs(offset)
        reach = 2 * (within.w.T @ np.abs(X) + within.b)
        return due.w.T @ X + due.b + offset, reach + 8 * (N + 2) * EPS * size

    return due, within, predict


def by_loops(X, Y, l2, folds, weight=None, offset=ZEROS):
    """Return what is due, and within what, by name; of each pair an array (K, ...).

    A fit for each row of labels, penalty and fold, on a copy of the samples that the
    fold sees, by another Newton's method.
    """
    weight = np.broadcast_to(ONES if weight is None else weight, Y.shape)
    K, L, F = len(Y), len(l2), len(folds)
    fold_loss, within, size = np.zeros((3, K, L, F))
    a, a_within = np.full((2, K, L, M), np.nan)
    for k, i, f in np.ndindex(K, L, F):
        label, own = Y[k : k + 1], weight[k : k + 1]
        *_, predict = one_fit(label, own * folds[f], offset, l2[i, 0])
        out = folds[f] == 0
        z, reach = (row[0] for row in predict(X[:, out], offset[:, out]))
        a[k, i, out], a_within[k, i, out] = 1 / (1 + np.exp(-z)), reach / 4 + 4 * EPS
        counts = own[0, out] > 0
        own, z, reach, label = own[0, out], z, reach, label[0, out]
        few = 4 * (M + 4) * EPS * (np.abs(z) + 1)
        size[k, i, f] = own.sum()
        loss = losses_of(z[counts], label[counts])
        fold_loss[k, i, f] = own[counts] @ loss / own.sum()
        within[k, i, f] = own[counts] @ (reach + few)[counts] / own.sum()
    loss = (size * fold_loss).sum(axis=2) / size.sum(axis=2)
    error = fold_loss.std(axis=2, ddof=1) / np.sqrt(F)
    far = 2 * within.max(axis=2)
    best, simple = chosen_by(loss, error, l2)
    rows = np.arange(K)
    refits = {
        rule: [
            one_fit(Y[k : k + 1], weight[k : k + 1], offset, l2[i, 0])
            for k, i in enumerate(picked)
        ]
        for rule, picked in (("best", best), ("one_standard_error", simple))
    }
    # None is chosen by a hair.
    assert np.diff(np.sort(loss, axis=1))[:, 0].min() > 1e-6
    limit = (loss + error)[rows, best]
    assert np.abs(loss - limit[:, None]).min() > 1e-6
    return {
        "fold_loss": (fold_loss, within),
        "loss": (loss, far),
        "standard_error": (error, far),
        "best": (best[:, None], 0),
        "one_standard_error": (simple[:, None], 0),
        "a": {
            "best": (a[rows, best], a_within[rows, best]),
            "one_standard_error": (a[rows, simple], a_within[rows, simple]),
        },
        "refit": refits,
    }


def chosen_by(loss, error, l2):
    """Return of each row the best penalty, and the largest within an error of it."""
    best, simple = [], []
    for losses, errors in zip(loss, error, strict=True):
        first = min(range(len(l2)), key=lambda i: losses[i])
        near = [i for i in range(len(l2)) if losses[i] <= losses[first] + errors[first]]
        best.append(first)
        simple.append(max(near, key=lambda i: l2[i, 0]))
    return np.array(best), np.array(simple)


def assert_found(found, due, rule="best"):
    """Assert that every number is the one due, and every fit converged."""
    assert not np.any(found.status)
    for name in ("fold_loss", "loss", "standard_error", "best", "one_standard_error"):
        assert_close(getattr(found, name), *due[name])
    assert_close(found.probability, *due["a"][rule])
    assert not np.any(found.fit.status)
    for k, (params, within, _) in enumerate(due["refit"][rule]):
        for leaf in ("w", "b"):
            one = getattr(found.fit.params, leaf)[k]
            assert_close(one, getattr(params, leaf), 2 * getattr(within, leaf))


RULES = ["best", "one_standard_error"]


@pytest.fixture(scope="module")
def plain(folds):
    """Return what is found of two rows of labels, by either rule, and what is due."""
    found = {
        rule: cross_validate(X, Y, L2, folds=folds, rule=rule, **ALIKE)
        for rule in RULES
    }
    return found, by_loops(X, Y, L2, folds)


@pytest.mark.parametrize("rule", RULES)
def test_every_number_is_that_of_a_loop_over_subsets(plain, rule):
    found, due = plain
    assert_found(found[rule], due, rule)
    np.testing.assert_array_equal(found[rule].l2, L2)
    # The rules penalties_differ, and so do the labels.
    assert due["best"][0].tolist() != due["one_standard_error"][0].tolist()


def test_the_path_holds_the_refit_at_every_penalty(plain):
    found, _ = plain
    path = found["best"].path
    assert path.status.shape == (2, 4)
    for k, i in np.ndindex(2, 4):
        due, within, _ = one_fit(Y[k : k + 1], ONES, ZEROS, L2[i, 0])
        assert_close(path.params.w[k, i], due.w, 2 * within.w)
        assert_close(path.params.b[k, i], due.b, 2 * within.b)
    for rule in RULES:
        picked = np.asarray(getattr(found[rule], rule))[:, 0]
        for leaf, table in zip(
            jax.tree.leaves(found[rule].fit), jax.tree.leaves(path), strict=True
        ):
            np.testing.assert_array_equal(leaf, table[np.arange(2), picked])


def wrong(name, found):
    """Return the result with a mistake that is easily made."""
    fold_loss, (K, _, F) = np.asarray(found.fold_loss), found.fold_loss.shape
    label, chosen = np.arange(K), np.asarray(found.best)[:, 0]
    path = jax.tree.map(np.asarray, found.path)
    other = jax.tree.map(lambda leaf: leaf[label, (chosen + 1) % len(L2)], path)
    z = path.params.w[label, chosen][:, :, 0] @ X + path.params.b[label, chosen][:, 0]
    return found._replace(
        **{
            "folds in another order": {"fold_loss": fold_loss[:, :, ::-1]},
            "labels in another order": {"fold_loss": fold_loss[::-1]},
            "folds weigh the same": {"loss": fold_loss.mean(axis=2)},
            "n in place of n - 1": {
                "standard_error": fold_loss.std(axis=2) / np.sqrt(F)
            },
            "deviation, not error": {"standard_error": fold_loss.std(axis=2, ddof=1)},
            "the worst": {"best": np.argmax(found.loss, axis=1)[:, None]},
            "the best again": {"one_standard_error": found.best},
            "by a fit that saw it": {"probability": 1 / (1 + np.exp(-z))},
            "the refit of another": {"fit": other},
            "one digit": {"loss": found.loss * (1 + 1e-9)},
        }[name]
    )


@pytest.mark.parametrize(
    "name",
    [
        "folds in another order",
        "labels in another order",
        "folds weigh the same",
        "n in place of n - 1",
        "deviation, not error",
        "the worst",
        "the best again",
        "by a fit that saw it",
        "the refit of another",
        "one digit",
    ],
)
def test_the_comparison_notices_a_mistake(plain, name):
    found, due = plain
    with pytest.raises(AssertionError, match="too far"):
        assert_found(wrong(name, found["best"]), due)


def test_it_is_what_scikit_learn_finds(plain, folds):
    """Of the first labels at the penalty 0.1: C is one over the sum of the penalty."""
    found, _ = plain
    for f, row in enumerate(folds):
        kept = row > 0
        model = LogisticRegression(C=1 / (0.1 * kept.sum()), tol=1e-10, max_iter=1000)
        model.fit(X[:, kept].T, Y[0, kept])
        z = model.decision_function(X[:, ~kept].T)
        loss = losses_of(z, Y[0, ~kept]).mean()
        # It stops at a gradient of 1e-10, which H^-1 <= 1 / 0.1 or so makes larger.
        assert_close(found["best"].fold_loss[0, 0, f], loss, 1e-7)


def missing(kind):
    """Return labels and weights, 0 where a label is NaN."""
    random = np.random.default_rng(1)
    weight = random.choice([0.5, 1.0, 2.0], (2, M))
    out = np.arange(M) % 8 == np.array([[1], [5]])
    if kind == "the same":
        weight, out = weight[:1], out[:1]
    weight = np.where(out, 0.0, weight)
    return np.where(np.broadcast_to(weight, Y.shape) == 0, np.nan, Y), weight


@pytest.mark.parametrize("kind", ["the same", "its own"])
def test_a_label_that_is_missing_weighs_nothing(kind, folds):
    """In the fits, the losses and the refit; its probability is there all the same."""
    labels, weight = missing(kind)
    offset = np.random.default_rng(2).standard_normal((1, M)) / 2
    found = cross_validate(
        X, labels, L2, weight=weight, offset=offset, folds=folds, **ALIKE
    )
    due = by_loops(X, labels, L2, folds, weight, offset)
    assert_found(found, due)
    assert np.isfinite(found.probability).all()
    with pytest.raises(AssertionError, match="too far"):
        assert_found(found, by_loops(X, labels, L2, folds, weight**1.001, offset))
    with pytest.raises(AssertionError, match="too far"):
        assert_found(found, by_loops(X, labels, L2, folds, weight, 0.999 * offset))


def test_rows_of_labels_are_calls_of_one(plain, folds):
    found, due = plain
    for k in range(2):
        one = cross_validate(X, Y[k : k + 1], L2, folds=folds, **ALIKE)
        parts = jax.tree.map(
            lambda leaf, k=k: leaf[k : k + 1], found["best"]._replace(l2=L2)
        )
        for name in ("fold_loss", "loss", "standard_error"):
            within = 2 * due[name][1][k : k + 1]
            assert_close(getattr(one, name), getattr(parts, name), within)
        for name in ("best", "one_standard_error", "status"):
            np.testing.assert_array_equal(getattr(one, name), getattr(parts, name))
        assert_close(one.probability, parts.probability, 2 * due["a"]["best"][1][k])
        within = due["refit"]["best"][k][1]
        assert_close(one.fit.params.w, parts.fit.params.w, 4 * within.w)
        # And not those of the other row.
        with pytest.raises(AssertionError, match="too far"):
            assert_close(one.loss, found["best"].loss[1 - k : 2 - k], 1e-3)


@pytest.fixture(scope="module")
def separated(folds):
    """Return what is found where a plane separates the second row of labels."""
    labels = np.vstack([Y[:1], X[:1] > 0.1])
    return cross_validate(X, labels, L2, folds=folds, **ALIKE)


def test_a_penalty_of_0_where_labels_are_separated_is_not_chosen(separated, plain):
    zero = np.flatnonzero(L2 == 0)
    status = np.asarray(separated.status)
    assert (status[1, zero] == Status.SEPARATED).all()
    assert np.isnan(separated.fold_loss[1, zero]).all()
    assert np.isnan(separated.loss[1, zero]).all()
    assert separated.path.status[1, zero] == Status.SEPARATED
    others = np.flatnonzero(L2 != 0)
    assert not status[1, others].any()
    assert np.isfinite(separated.loss[1, others]).all()
    best, simple = chosen_by(
        np.nan_to_num(separated.loss, nan=np.inf), separated.standard_error, L2
    )
    assert best[1] == others[np.argmin(separated.loss[1, others])]
    np.testing.assert_array_equal(separated.best[:, 0], best)
    np.testing.assert_array_equal(separated.one_standard_error[:, 0], simple)
    assert separated.fit.status[1] == Status.CONVERGED
    assert np.isfinite(separated.probability).all()
    # Nor does the row beside it see anything of that.
    for found, due in zip(
        jax.tree.leaves(separated._replace(l2=L2)),
        jax.tree.leaves(plain[0]["best"]._replace(l2=L2)),
        strict=True,
    ):
        np.testing.assert_array_equal(found[0], due[0])


def test_where_no_penalty_will_do_that_is_said(folds):
    """By a loss of NaN and a status; the first penalty stands in."""
    labels, weight = missing("its own")
    labels[0, 3] = np.nan  # and weighs something
    found = cross_validate(
        X, labels, L2, weight=weight, offset=ZEROS, folds=folds, **ALIKE
    )
    # The fold that holds the label out has fits, and a loss of NaN.
    sees = folds[:, 3] > 0
    np.testing.assert_array_equal(
        found.status[0] == Status.BAD_INPUT, np.broadcast_to(sees, (4, F))
    )
    assert np.isnan(found.fold_loss[0]).all()
    assert np.isnan(found.loss[0]).all()
    assert (found.best[0], found.one_standard_error[0]) == (0, 0)
    assert found.fit.status[0] == Status.BAD_INPUT
    assert not found.status[1].any()
    assert np.isfinite(found.loss[1]).all()
    assert found.fit.status[1] == Status.CONVERGED


def own_folds(kind):
    rows = np.ones((F, M))
    if kind == "some are never held out":
        for f in range(F):
            rows[f, [f, f + 9]] = 0
    if kind == "some are held out twice":
        for f in range(F):
            rows[f, f : f + 12] = 0
    if kind == "weights":
        rows *= np.random.default_rng(4).choice([0.5, 1.0, 3.0], (F, M))
        for f in range(F):
            rows[f, f::F] = 0
    return rows


@pytest.mark.parametrize(
    "kind", ["some are never held out", "some are held out twice", "weights"]
)
def test_folds_of_ones_own(kind):
    """A sample that no fold holds out has no probability; of two, the mean."""
    rows = own_folds(kind)
    found = cross_validate(X, Y, np.maximum(L2, 1e-3), folds=rows, **ALIKE)
    due = by_loops(X, Y, np.maximum(L2, 1e-3), rows)
    never = (rows > 0).all(axis=0)
    assert never.sum() == {"some are never held out": 15, "weights": 0}.get(kind, 8)
    np.testing.assert_array_equal(np.isnan(found.probability), [never, never])
    a, within = due["a"]["best"]
    if kind == "some are held out twice":
        best, a = due["best"][0][:, 0], np.zeros((2, M))
        for k, row in np.ndindex(2, F):
            own = rows[row : row + 1]
            fit = one_fit(Y[k : k + 1], own, ZEROS, max(L2[best[k], 0], 1e-3))[2]
            z = fit(X, ZEROS)[0][0]
            a[k] += (own[0] == 0) / (1 + np.exp(-z)) / (rows == 0).sum(axis=0).clip(1)
        within = np.nanmax(within)
    due["a"]["best"] = (
        a[:, ~never],
        within if np.ndim(within) == 0 else within[:, ~never],
    )
    assert_found(found._replace(probability=found.probability[:, ~never]), due)


def test_one_part_to_validate_with_is_a_fold_too():
    """Without a standard error there is nothing larger to choose than the best."""
    rows = (np.arange(M) % 3 > 0)[None] * 1.0
    labels = np.vstack([Y, 1 - Y, Y[:1]])
    found = cross_validate(X, labels, L2, folds=rows, **ALIKE)
    assert found.fold_loss.shape == (5, 4, 1)
    assert not found.status.any()
    np.testing.assert_array_equal(found.loss, found.fold_loss[:, :, 0])
    assert np.isnan(found.standard_error).all()
    np.testing.assert_array_equal(found.one_standard_error, found.best)
    for k, i in np.ndindex(2, 4):
        *_, predict = one_fit(Y[k : k + 1], rows, ZEROS, L2[i, 0])
        z, reach = predict(X[:, ::3], ZEROS[:, ::3])
        loss = losses_of(z, Y[k : k + 1, ::3]).mean()
        assert_close(found.loss[k, i], loss, 2 * reach.max() + M * 8 * EPS)
    # The other way round it is the same, but for the sign.
    assert_close(found.loss[2:4], found.loss[:2], 1e-12)
    np.testing.assert_array_equal(np.isnan(found.probability[0]), rows[0] == 1)


def test_a_fold_without_a_label_of_a_row_counts_nothing_there():
    """Labels may be so rare that a fold has none to test with."""
    rows = np.ones((F, M))
    for f in range(F):
        rows[f, f::F] = 0
    weight = np.vstack([rows[0], ONES])  # the first row has no label in the first fold
    found = cross_validate(
        X, Y, np.maximum(L2, 1e-3), weight=weight, folds=rows, **ALIKE
    )
    assert np.isnan(found.fold_loss[0, :, 0]).all()
    size = (rows[1:] == 0).sum(axis=1)
    loss = np.asarray(found.fold_loss)[0, :, 1:] @ size / size.sum()
    assert_close(found.loss[0], loss, 16 * EPS)
    assert found.best[0, 0] == np.argmin(loss)
    assert np.isfinite(found.loss[1]).all()


def test_a_count_deals_the_folds_by_the_key(folds, plain):
    def same(one, other):
        return all(
            np.array_equal(a, b)
            for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
        )

    key = jax.random.key(3)
    assert same(cross_validate(X, Y, L2, folds=F, key=key, **ALIKE), plain[0]["best"])
    default = cross_validate(X, Y, np.maximum(L2, 1e-3), folds=F, **ALIKE)
    rows = fold_weights(jax.random.key(0), M, F)
    due = cross_validate(X, Y, np.maximum(L2, 1e-3), folds=rows, **ALIKE)
    assert same(default, due)
    assert not np.array_equal(default.fold_loss, plain[0]["best"].fold_loss)


def test_progress_is_told_and_what_it_raises_ends_the_call(folds):
    seen = []
    found = cross_validate(
        X, Y, L2, folds=folds, **ALIKE, progress=lambda p: seen.append(p.finished.sum())
    )
    assert seen == sorted(seen)
    assert seen[-1] == 2 * 4 * (F + 1)
    assert isinstance(found, CrossValidation)

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cross_validate(X, Y, L2, folds=folds, **ALIKE, progress=stop)
