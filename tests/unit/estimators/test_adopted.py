"""scikit-learn's own tests of logistic regression, with the classes replaced.

They are those of the installed package. Left out is what tests liblinear, classes
fitted jointly, the words of its warnings, or its own functions. A solver by another
name is the same here, so each test has one of them.
"""

import inspect
from types import FunctionType

import pytest
from sklearn.linear_model.tests import test_logistic

from jlogreg.estimators import LogisticRegression, LogisticRegressionCV

ADOPTED = [
    "test_LogisticRegressionCV_GridSearchCV_elastic_net",
    "test_LogisticRegressionCV_elasticnet_attribute_shapes",
    "test_LogisticRegressionCV_no_refit",
    "test_LogisticRegressionCV_on_folds",
    "test_LogisticRegression_elastic_net_objective",
    "test_c_inf_no_warning",
    "test_dtype_match",
    "test_elastic_net_coeffs",
    "test_elastic_net_l1_l2_equivalence",
    "test_elastic_net_versus_sgd",
    "test_elastic_net_vs_l1_l2",
    "test_elasticnet_l1_ratio_err_helpful",
    "test_get_default_scorer",
    "test_inconsistent_input",
    "test_large_sparse_matrix",
    "test_logistic_cv_mock_scorer",
    "test_logistic_cv_refit_false_non_elasticnet",
    "test_logistic_cv_sparse",
    "test_logistic_regression_callback_fitted_estimator",
    "test_logistic_regression_cv_refit",
    "test_logistic_regression_sample_weights",
    "test_logistic_regression_solver_class_weights",
    "test_logistic_regression_solvers_multiclass",
    "test_logistic_regressioncv_class_weights",
    "test_lr_cv_scores_differ_when_sample_weight_is_requested",
    "test_lr_cv_scores_without_enabling_metadata_routing",
    "test_lr_penalty_l1ratio_incompatible",
    "test_multinomial_logistic_regression_string_inputs",
    "test_nan",
    "test_passing_params_without_enabling_metadata_routing",
    "test_penalty_deprecated",
    "test_predict_2_classes",
    "test_predict_3_classes",
    "test_sample_weight_not_modified",
    "test_single_feature_newton_cg",
    "test_scores_attribute_layout_elasticnet",
    "test_sparsify",
    "test_warm_start",
    "test_warm_start_converge_LR",
    "test_warm_start_newton_solver",
    "test_write_parameters",
    "test_zero_max_iter",
]
# The others compile much.
QUICK = {
    *("test_predict_2_classes", "test_predict_3_classes", "test_inconsistent_input"),
    *("test_nan", "test_write_parameters", "test_sparsify", "test_get_default_scorer"),
    *("test_sample_weight_not_modified", "test_c_inf_no_warning", "test_zero_max_iter"),
    *("test_elasticnet_l1_ratio_err_helpful", "test_warm_start_converge_LR"),
    "test_passing_params_without_enabling_metadata_routing",
    "test_logistic_regression_solver_class_weights",
    "test_logistic_regression_callback_fitted_estimator",
}
# These have three classes, too, and expect one penalty of all of them.
JOINT = {
    "test_LogisticRegressionCV_GridSearchCV_elastic_net",
    "test_LogisticRegressionCV_elasticnet_attribute_shapes",
    "test_LogisticRegressionCV_no_refit",
}
OURS = {
    test_logistic.LogisticRegression: LogisticRegression,
    test_logistic.LogisticRegressionCV: LogisticRegressionCV,
}


def chosen(values, name):
    """Return the values of a parameter: one solver, and our estimators."""
    if name in ("solver", "csr_container"):
        values = [value for value in values if value != "liblinear"][:1]
    return [OURS.get(value, value) if callable(value) else value for value in values]


def of_ours(function):
    """Return a copy of a test with marks of its own, and chosen parameters."""
    marks, given = [], getattr(function, "pytestmark", [])
    if function.__name__ not in QUICK:
        marks.append(pytest.mark.nightly.mark)
    copy = FunctionType(
        function.__code__, function.__globals__, function.__name__,
        function.__defaults__, function.__closure__,
    )  # fmt: skip
    for mark in given:
        if mark.name not in ("parametrize", "filterwarnings"):
            continue
        if mark.name == "parametrize":
            names, values = mark.args
            if isinstance(names, str) and "," not in names:
                values = chosen(values, names)
                joint = names == "n_classes" and function.__name__ in JOINT
                mark = pytest.mark.parametrize(names, values[: 1 if joint else None])
                mark = mark.mark
            else:
                rows = [[*map(OURS.get, row[:1], row[:1]), *row[1:]] for row in values]
                mark = pytest.mark.parametrize(names, rows).mark
        marks.append(mark)
    vars(copy).update(vars(function), pytestmark=marks)  # and what it wraps
    return copy


@pytest.fixture
def global_random_seed():
    return 42


@pytest.fixture(autouse=True)
def replaced(monkeypatch):
    monkeypatch.setattr(test_logistic, "LogisticRegression", LogisticRegression)
    monkeypatch.setattr(test_logistic, "LogisticRegressionCV", LogisticRegressionCV)


pytestmark = pytest.mark.filterwarnings("ignore")
for name in ADOPTED:
    globals()[name] = of_ours(getattr(test_logistic, name))


def test_they_are_scikit_learns():
    for name in ADOPTED:
        adopted = inspect.unwrap(globals()[name])
        assert inspect.getsourcefile(adopted) == test_logistic.__file__
