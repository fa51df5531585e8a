"""Penalties, scores and coefficients are scikit-learn's, for each class or label."""

import numpy as np
import pytest
from sklearn import linear_model
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, StratifiedKFold

from jlogreg import Status
from jlogreg.estimators import LogisticRegressionCV

M, N, F = 120, 3, 3
random = np.random.default_rng(3)
X = random.normal(size=(M, N)) * [1.0, 2.0, 0.5]
Z = X @ [1.0, -0.5, 2.0] + 2 * random.logistic(size=M)
BINARY = (Z > -1).astype(int)
CLASSES = np.array(["a", "b", "c"])[(Z > -2).astype(int) + (Z > 1)]
WEIGHT = random.integers(1, 4, M) * 1.0
CS = [0.01, 0.1, 10.0]
EXACT = {"solver": "newton-cholesky", "tol": 1e-12, "Cs": CS}
FAST = ["accuracy", "neg_log_loss", "roc_auc", "average_precision", "neg_brier_score"]

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def both(y=BINARY, own=None, **settings):
    """Return ours and scikit-learn's, fitted to the same samples."""
    settings = {"cv": StratifiedKFold(F), **settings}
    ours = LogisticRegressionCV(Cs=CS, **settings)
    theirs = linear_model.LogisticRegressionCV(**EXACT, **settings)
    return ours.fit(X, y, sample_weight=own), theirs.fit(X, y, sample_weight=own)


def assert_same(ours, theirs):
    np.testing.assert_array_equal(ours.C_, theirs.C_)
    for name in ("coef_", "intercept_"):
        found, expected = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    for name in ("scores_", "coefs_paths_"):
        found, expected = getattr(ours, name), getattr(theirs, name)
        if isinstance(expected, dict):
            assert list(found) == list(expected)
            found, expected = (next(iter(each.values())) for each in (found, expected))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert np.shape(ours.n_iter_) == np.shape(theirs.n_iter_)


@pytest.mark.parametrize("scoring", [*FAST, "balanced_accuracy", None])
@pytest.mark.parametrize("own", [None, WEIGHT], ids=["alike", "weighted"])
def test_two_classes_are_as_in_scikit_learn(scoring, own):
    assert_same(*both(scoring=scoring, own=own))


@pytest.mark.parametrize(
    "settings",
    [
        {"class_weight": "balanced"},
        {"fit_intercept": False, "refit": False},
        {"use_legacy_attributes": False},
        {"l1_ratios": (0,)},
        {"cv": KFold(F, shuffle=True, random_state=1)},
        {"cv": ShuffleSplit(F, test_size=0.3, train_size=0.5, random_state=1)},
    ],
    ids=str,
)
def test_with_other_settings_too(settings):
    """Some of the splits leave samples out of both parts."""
    ours, theirs = both(scoring="neg_log_loss", **settings)
    assert_same(ours, theirs)
    assert ours.score(X, BINARY) == pytest.approx(theirs.score(X, BINARY), abs=1e-6)


def test_each_class_has_the_penalty_that_is_best_for_it():
    ours, _ = both(CLASSES, scoring="neg_log_loss", own=WEIGHT)
    folds = [*StratifiedKFold(F).split(X, CLASSES)]
    for k, name in enumerate("abc"):
        theirs = linear_model.LogisticRegressionCV(
            cv=folds, scoring="neg_log_loss", **EXACT
        ).fit(X, name == CLASSES, sample_weight=WEIGHT)
        assert ours.C_[k] == theirs.C_[0]
        np.testing.assert_allclose(ours.coef_[k], theirs.coef_[0], rtol=0, atol=1e-6)
        expected = theirs.scores_[True]
        np.testing.assert_allclose(ours.scores_[name], expected, rtol=0, atol=1e-6)
    assert ours.coefs_paths_["a"].shape == (F, 3, N + 1)
    np.testing.assert_allclose(ours.predict_proba(X).sum(axis=1), 1)
    new, _ = both(CLASSES, scoring="neg_log_loss", use_legacy_attributes=False)
    assert new.scores_.shape == new.n_iter_.shape == (3, F, 1, 3)
    assert new.coefs_paths_.shape == (F, 1, 3, 3, N + 1)


@pytest.mark.parametrize("scoring", ["roc_auc", "f1"])
def test_labels_side_by_side_and_some_of_them_missing(scoring):
    Y = np.stack([BINARY, Z > 1], axis=1) * 1.0
    Y[::5, 0] = np.nan
    ours = LogisticRegressionCV(Cs=CS, cv=KFold(F), scoring=scoring).fit(X, Y)
    folds = [*KFold(F).split(X)]
    for k in range(2):
        seen = ~np.isnan(Y[:, k])
        place = np.cumsum(seen) - 1
        theirs = linear_model.LogisticRegressionCV(
            cv=[tuple(place[part[seen[part]]] for part in fold) for fold in folds],
            scoring=scoring, **EXACT,
        ).fit(X[seen], Y[seen, k])  # fmt: skip
        assert ours.C_[k] == theirs.C_[0]
        np.testing.assert_allclose(ours.coef_[k], theirs.coef_[0], rtol=0, atol=1e-6)
        expected = next(iter(theirs.scores_.values()))
        np.testing.assert_allclose(ours.scores_[k], expected, rtol=0, atol=1e-6)


def test_groups_and_weights_are_routed():
    from sklearn import config_context

    groups = np.arange(M) // 4
    with config_context(enable_metadata_routing=True):
        scorer = get_scorer("neg_log_loss").set_score_request(sample_weight=False)
        settings = {"cv": GroupKFold(F), "scoring": scorer}
        ours = LogisticRegressionCV(Cs=CS, **settings)
        theirs = linear_model.LogisticRegressionCV(**EXACT, **settings)
        for model in (ours, theirs):
            model.fit(X, BINARY, sample_weight=WEIGHT, groups=groups)
        assert_same(ours, theirs)
    with pytest.raises(ValueError, match="metadata_routing"):
        LogisticRegressionCV().fit(X, BINARY, groups=groups)


def test_a_penalty_whose_fit_fails_in_a_fold_is_not_chosen():
    separated = np.where(X[:, 0] > 0, "yes", "no")
    model = LogisticRegressionCV(Cs=[1.0, np.inf], cv=F)
    with pytest.warns(ConvergenceWarning, match=r"^3 of 7 fits: SEPARATED: a plane"):
        model.fit(X, separated)
    assert model.C_.tolist() == [1.0]
    assert np.isnan(model.scores_["yes"][:, 1]).all()
    assert model.status_.tolist() == [Status.CONVERGED]
    # Where all fail, the model stands where the strongest penalty has stopped.
    model.set_params(Cs=[1.0, 0.1], max_iter=1)
    with pytest.warns(ConvergenceWarning, match="^7 of 7 fits: MAX_STEPS"):
        model.fit(X, separated)
    assert (model.C_.tolist(), model.status_.tolist()) == ([0.1], [Status.MAX_STEPS])


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_shares_of_l1_are_chosen_too(refit, legacy):
    # With all weights 0 saga stops before its intercept is right: C is not that small.
    exact = {"solver": "saga", "tol": 1e-10, "max_iter": 100_000}
    settings = {"l1_ratios": np.array([0, 0.5, 1]), "Cs": CS[1:], "refit": refit}
    settings |= {"cv": StratifiedKFold(F), "scoring": "neg_log_loss"}
    settings |= {"use_legacy_attributes": legacy}
    ours = LogisticRegressionCV(**settings).fit(X, BINARY)
    theirs = linear_model.LogisticRegressionCV(**settings, **exact).fit(X, BINARY)
    assert_same(ours, theirs)
    np.testing.assert_allclose(ours.l1_ratio_, theirs.l1_ratio_)
    np.testing.assert_array_equal(ours.l1_ratios_, theirs.l1_ratios_)


@pytest.mark.parametrize("ratios", [[], [2.0], ["half"]])
def test_shares_that_are_none(ratios):
    with pytest.raises(ValueError, match=r"^l1_ratios must be between 0 and 1, but is"):
        LogisticRegressionCV(l1_ratios=ratios).fit(X, BINARY)


@pytest.mark.parametrize("Cs", [[0.0, 1.0], [[1.0]], [-1.0]])
def test_penalties_that_are_none(Cs):
    with pytest.raises(ValueError, match=r"^Cs must be numbers above 0, but is"):
        LogisticRegressionCV(Cs=Cs).fit(X, BINARY)
