"""From features to logits, probabilities and labels, for one model and for K."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from tests.helpers import EPS, assert_close, make_problem, stack

KEY = jax.random.key(0)
X = jnp.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
MODEL = jl.Params(w=jnp.array([[0.5], [-1.0]]), b=jnp.array([[0.25]]))


def test_logits_and_probabilities_by_hand():
    z = np.array([[0.25, 1.25, -3.25]])
    assert_close(jl.logits(MODEL, X), z, 4 * EPS)
    assert_close(jl.predict_proba(MODEL, X), 1 / (1 + np.exp(-z)), 8 * EPS)


def test_labels_are_1_above_the_threshold():
    assert jl.predict(MODEL, X).tolist() == [[1, 1, 0]]
    assert jl.predict(MODEL, X, 0.7).tolist() == [[0, 1, 0]]
    assert jl.predict(MODEL, X, threshold=0.0).tolist() == [[1, 1, 1]]
    assert jl.predict(MODEL, X, threshold=1).tolist() == [[0, 0, 0]]
    even = jl.Params(w=jnp.zeros((2, 1)), b=jnp.zeros((1, 1)))
    assert jl.predict(even, X).tolist() == [[0, 0, 0]]  # a = 1/2 is not above 1/2
    assert jl.predict(MODEL, X).dtype == X.dtype


@pytest.mark.parametrize("function", [jl.logits, jl.predict_proba, jl.predict])
def test_k_models_predict_by_one_product(function):
    models = [make_problem((3, 20), np.float64, seed=seed).params for seed in range(4)]
    data = make_problem((3, 20), np.float64).X
    result = function(jl.stack(stack(*models)), data)
    assert result.shape == (4, 20)
    for k, model in enumerate(models):
        assert_close(result[k : k + 1], function(model, data), 64 * EPS)


@pytest.mark.parametrize("function", [jl.logits, jl.predict_proba, jl.predict])
def test_an_offset_is_added_to_the_logits(function):
    """As the weight of one more feature of weight 1; a row for all models, or each."""
    models = [make_problem((3, 20), np.float64, seed=seed).params for seed in range(2)]
    data, rows = (
        make_problem((3, 20), np.float64).X,
        2 * jax.random.normal(KEY, (2, 20)),
    )
    both = jl.stack(stack(*models))
    for offset in (rows[:1], rows):
        result = function(both, data, offset=offset)
        for k, model in enumerate(models):
            row = offset[k : k + 1] if len(offset) > 1 else offset
            wide = model._replace(w=jnp.concatenate([model.w, jnp.ones((1, 1))]))
            expected = function(wide, jnp.concatenate([data, row]))
            assert_close(result[k : k + 1], expected, 64 * EPS)
    assert (function(both, data, offset=rows) != function(both, data)).any()
    with pytest.raises(jl.ShapeError, match=r"^offset .* must have shape \(2, 20\)"):
        function(both, data, offset=jnp.ones((3, 20)))


def test_where_there_is_no_probability_there_is_no_label():
    lost = MODEL._replace(w=MODEL.w * jnp.nan)
    assert np.isnan(jl.predict(lost, X)).all()
    holed = X.at[0, 1].set(jnp.nan)
    assert np.isnan(jl.predict(MODEL, holed)).tolist() == [[False, True, False]]
    traced = jax.jit(jl.predict)
    assert np.isnan(traced(MODEL, X, jnp.nan)).all()
    assert np.isnan(traced(MODEL, X, 7.0)).all()
    assert traced(MODEL, X, 0.7).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("function", [jl.logits, jl.predict_proba, jl.predict])
def test_a_fit_predicts_as_its_parameters_do(function):
    y = jnp.array([[1.0, 0.0, 1.0]])
    one = jl.fit(X, y, l2=0.1)
    assert_close(function(one, X), function(one.params, X), 0.0)
    many = jl.fit_many(X, jnp.concatenate([y, 1 - y]), l2=0.1)
    assert_close(function(many, X), function(jl.stack(many.params), X), 0.0)
    mapped = jax.vmap(lambda fit: function(fit, X))(many)
    assert_close(mapped[:, 0], function(many, X), 64 * EPS)


def test_the_error_of_other_features_names_them_and_not_w():
    with pytest.raises(jl.ShapeError, match=r"the model has 2 .*per sample: write X.T"):
        jl.predict(MODEL, X.T)
    with pytest.raises(jl.ShapeError, match=r"the model has 2 .* \(2, m\), a column"):
        jl.predict(MODEL, X[:1])
