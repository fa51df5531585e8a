"""Coefficients are scikit-learn's, from every kind of table, in both precisions."""

import pickle
import warnings

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import linear_model
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jlogreg import Status
from jlogreg.estimators import LogisticRegression

M, N = 120, 3
random = np.random.default_rng(3)
X = random.normal(size=(M, N)) * [1.0, 2.0, 0.5] + [0.0, 1.0, -1.0]
Z = X @ [1.0, -0.5, 2.0] + random.logistic(size=M)
BINARY = np.where(Z > -1, "yes", "no")
CLASSES = np.array(["a", "b", "c"])[(Z > -2).astype(int) + (Z > 1)]
WEIGHT = random.integers(0, 4, M) * 1.0
EXACT = {"solver": "newton-cholesky", "tol": 1e-12}


def assert_same(ours, theirs, within=1e-6):
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=within)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=within)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0, np.inf])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"class_weight": "balanced"}, {"class_weight": {"yes": 3.0, "no": 0.5}}],
    ids=["plain", "balanced", "given"],
)
def test_two_classes_are_as_in_scikit_learn(C, weight, settings):
    ours = LogisticRegression(C=C, **settings).fit(X, BINARY, sample_weight=weight)
    theirs = linear_model.LogisticRegression(C=C, **settings, **EXACT)
    theirs.fit(X, BINARY, sample_weight=weight)
    assert_same(ours, theirs)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    for name in ("predict_proba", "predict_log_proba", "decision_function"):
        found, expected = (getattr(model, name)(X) for model in (ours, theirs))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert ours.score(X, BINARY) == theirs.score(X, BINARY)
    assert (ours.status_.tolist(), ours.coef_.shape) == ([0], (1, N))


def test_without_an_intercept():
    ours = LogisticRegression(fit_intercept=False).fit(X, BINARY)
    theirs = linear_model.LogisticRegression(fit_intercept=False, **EXACT)
    assert_same(ours, theirs.fit(X, BINARY))
    assert ours.intercept_.tolist() == [0.0]


def test_more_classes_are_each_against_the_rest():
    ours = LogisticRegression(C=3).fit(X, CLASSES, sample_weight=WEIGHT)
    for k, name in enumerate(ours.classes_):
        theirs = linear_model.LogisticRegression(C=3, **EXACT)
        theirs.fit(X, name == CLASSES, sample_weight=WEIGHT)
        np.testing.assert_allclose(ours.coef_[k], theirs.coef_[0], rtol=0, atol=1e-6)
    rest = OneVsRestClassifier(linear_model.LogisticRegression(C=3, **EXACT))
    ours.fit(X, CLASSES)
    rest.fit(X, CLASSES)
    found, expected = ours.predict_proba(X), rest.predict_proba(X)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.exp(ours.predict_log_proba(X)), found, rtol=1e-12)
    np.testing.assert_array_equal(ours.predict(X), rest.predict(X))
    assert (ours.n_iter_.shape, ours.status_.tolist()) == ((3,), [0, 0, 0])


def test_labels_side_by_side_and_some_of_them_missing():
    Y = np.stack([BINARY == "yes", CLASSES == "b", Z > 2], axis=1) * 1.0
    Y[::5, 0] = Y[1::7, 2] = np.nan
    names = ["answer", "middle", "large"]
    ours = LogisticRegression(class_weight="balanced")
    ours.fit(X, pd.DataFrame(Y, columns=names), sample_weight=WEIGHT + 1)
    assert ours.classes_.tolist() == names
    for k in range(3):
        seen = ~np.isnan(Y[:, k])
        theirs = linear_model.LogisticRegression(class_weight="balanced", **EXACT)
        theirs.fit(X[seen], Y[seen, k], sample_weight=WEIGHT[seen] + 1)
        np.testing.assert_allclose(ours.coef_[k], theirs.coef_[0], rtol=0, atol=1e-6)
        a = theirs.predict_proba(X)[:, 1]
        np.testing.assert_allclose(ours.predict_proba(X)[:, k], a, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(ours.predict(X), ours.decision_function(X) > 0)
    again = LogisticRegression().fit(X, sp.csr_array(np.nan_to_num(Y)))
    assert again.coef_.shape == (3, N)


def test_the_logarithm_is_finite_where_a_probability_is_0():
    ours = LogisticRegression().fit(X, BINARY)
    far = -1e4 * ours.coef_
    assert ours.predict_proba(far)[0, 1] == 0
    assert np.isfinite(ours.predict_log_proba(far)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_precision_is_that_of_the_table(dtype):
    """Whatever JAX's own setting is, which stays as it was."""
    expected = linear_model.LogisticRegression(**EXACT).fit(X, BINARY)
    for x64 in (False, True):
        with jax.enable_x64(x64):
            ours = LogisticRegression().fit(X.astype(dtype), BINARY)
            assert jax.config.jax_enable_x64 == x64
        assert ours.coef_.dtype == ours.intercept_.dtype == dtype
        assert_same(ours, expected, 1e-9 if dtype == np.float64 else 1e-4)


def test_tables_of_every_kind():
    expected = LogisticRegression().fit(X, BINARY)
    frame = pd.DataFrame(X, columns=["height", "width", "age"])
    for table, labels in [
        (frame, pd.Series(BINARY)),
        (frame, pd.Series(BINARY).astype("category")),
        (sp.csr_matrix(X), BINARY),
        (sp.coo_array(X), BINARY),
        (X.tolist(), BINARY.tolist()),
    ]:
        found = LogisticRegression().fit(table, labels)
        assert_same(found, expected, 1e-9)
        assert found.classes_.tolist() == ["no", "yes"]
        np.testing.assert_array_equal(found.predict(table), expected.predict(X))
        names = getattr(found, "feature_names_in_", None)
        assert (names is None) == (table is not frame)
    assert found.n_features_in_ == N
    numbers = LogisticRegression().fit(X, np.where(BINARY == "yes", 7, 2))
    assert (
        numbers.predict(X[:20]).tolist()
        == np.where(expected.predict(X[:20]) == "yes", 7, 2).tolist()
    )


def test_a_table_of_polars():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(X, schema=["height", "width", "age"])
    found = LogisticRegression().fit(frame, pl.Series(BINARY))
    assert_same(found, LogisticRegression().fit(X, BINARY), 0)
    assert found.feature_names_in_.tolist() == ["height", "width", "age"]


def test_a_fit_without_an_answer_warns_with_its_reason():
    separated = np.where(X[:, 0] > 0, "yes", "no")
    with pytest.warns(ConvergenceWarning, match=r"^SEPARATED: .*max_steps is max_it"):
        found = LogisticRegression(C=np.inf).fit(X, separated)
    assert found.status_.tolist() == [Status.SEPARATED]
    assert found.score(X, separated) == 1
    with pytest.warns(ConvergenceWarning, match=r"^3 of 3 fits: MAX_STEPS: the steps"):
        found = LogisticRegression(max_iter=1).fit(X, CLASSES)
    assert found.n_iter_.tolist() == [1, 1, 1]
    # With a penalty there is a minimum.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogisticRegression().fit(X, separated)


def test_a_warm_start_begins_at_the_last_fit():
    model = LogisticRegression(warm_start=True).fit(X, CLASSES)
    first = model.n_iter_
    assert (model.fit(X, CLASSES).n_iter_ < first).all()
    model.sparsify()
    assert (model.fit(X, CLASSES).n_iter_ < first).all()
    # Of other classes or features nothing is left.
    assert_same(model.fit(X, BINARY), LogisticRegression().fit(X, BINARY), 1e-9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"l1_ratio": 1.5}, "The 'l1_ratio' parameter of LogisticRegression must be"),
        (
            {"penalty": "elasticnet", "l1_ratio": None},
            "^l1_ratio is None: with",
        ),
        ({"solver": "liblinear"}, "^solver is 'liblinear' .* penalty of the intercept"),
        ({"C": 0.0}, "The 'C' parameter of LogisticRegression must be"),
        ({"max_iter": 1.5}, "The 'max_iter' parameter of LogisticRegression must be"),
    ],
)
@pytest.mark.filterwarnings("ignore:'(penalty|l1_ratio):FutureWarning")
def test_a_parameter_that_asks_for_another_cost_is_an_error(settings, words):
    with pytest.raises(ValueError, match=words):
        LogisticRegression(**settings).fit(X, BINARY)


@pytest.mark.parametrize(
    ("labels", "weight", "words"),
    [
        (np.full(M, "yes"), None, r"^y has one class, .*'yes'.*, but must have two"),
        (np.full((M, 2), 2.0), None, "^y has 2 columns, so each is a label of its own"),
        (BINARY, 0 * WEIGHT, "Sample weights must contain at least one non-zero"),
        (
            np.stack([Z > 0, np.full(M, np.nan)], axis=1),
            None,
            "^y has no label in column 1: all are missing, or have a weight of 0$",
        ),
        (BINARY, -WEIGHT, "Negative values in data passed to `sample_weight`"),
        (BINARY[1:], None, "inconsistent numbers of samples"),
    ],
)
def test_samples_that_cannot_be_fitted(labels, weight, words):
    with pytest.raises(ValueError, match=words):
        LogisticRegression().fit(X, labels, sample_weight=weight)


@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_the_elastic_net_is_as_in_scikit_learn(ratio):
    settings = {"C": 0.05, "l1_ratio": ratio}
    ours = LogisticRegression(**settings).fit(X, CLASSES, sample_weight=WEIGHT)
    exact = {"solver": "saga", "tol": 1e-10, "max_iter": 100_000}
    for k, name in enumerate(ours.classes_):
        theirs = linear_model.LogisticRegression(**settings, **exact)
        theirs.fit(X, name == CLASSES, sample_weight=WEIGHT)
        np.testing.assert_allclose(ours.coef_[k], theirs.coef_[0], rtol=0, atol=1e-6)
    assert (ours.coef_ == 0).any()
    assert ours.status_.tolist() == [0, 0, 0]


@pytest.mark.filterwarnings("ignore:'(penalty|l1_ratio):FutureWarning")
def test_penalties_by_their_older_names():
    for older, newer in (
        ({"penalty": None}, {"C": np.inf}),
        ({"penalty": "l1", "l1_ratio": 1}, {"l1_ratio": 1}),
        ({"penalty": "elasticnet", "l1_ratio": 0.5}, {"l1_ratio": 0.5}),
        ({"l1_ratio": None}, {}),
    ):
        found, expected = (
            LogisticRegression(**{"C": 0.1, **each}).fit(X, BINARY)
            for each in (older, newer)
        )
        assert_same(found, expected, 0)
    with pytest.warns(UserWarning, match=r"^Inconsistent values: penalty=l1 with l1_r"):
        found = LogisticRegression(C=0.1, penalty="l1").fit(X, BINARY)
    assert_same(found, LogisticRegression(C=0.1, l1_ratio=1).fit(X, BINARY), 0)


def test_it_works_where_scikit_learns_does():
    model = make_pipeline(StandardScaler(), LogisticRegression())
    theirs = make_pipeline(StandardScaler(), linear_model.LogisticRegression(**EXACT))
    grid = {"logisticregression__C": [0.01, 1.0]}
    found, expected = (
        GridSearchCV(each, grid, scoring="neg_log_loss").fit(X, BINARY)
        for each in (model, theirs)
    )
    assert found.best_params_ == expected.best_params_
    assert found.best_score_ == pytest.approx(expected.best_score_, abs=1e-6)
    found, expected = (cross_val_score(each, X, BINARY) for each in (model, theirs))
    np.testing.assert_array_equal(found, expected)
    found, expected = (
        CalibratedClassifierCV(each, cv=3).fit(X, BINARY).predict_proba(X)
        for each in (model, theirs)
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_copy_a_pickle_and_a_picture():
    model = LogisticRegression(C=2.0, class_weight={"yes": 2}).fit(X, BINARY)
    assert clone(model).get_params() == model.get_params()
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert repr(model) == "LogisticRegression(C=2.0, class_weight={'yes': 2})"
    assert "LogisticRegression" in model._repr_html_()
