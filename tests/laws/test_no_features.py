"""Without features a model is the bias alone: the logit of the mean label."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental.sparse import BCOO

import jlogreg as jl

X, WIDE = jnp.zeros((0, 8)), jnp.linspace(-1.0, 1.0, 8)[None]
Y = jnp.array([[0.0, 1, 1, 0, 1, 1, 1, 0], [1, 0, 0, 0, 0.5, 0, 1, 0]])
WEIGHT = jnp.arange(8.0)[None]
SOLVERS = [jl.Newton(), jl.NewtonCG(), jl.LBFGS(), jl.Optax(optax.lbfgs())]


def logit_of_mean(y, weight=None):
    mean = np.average(y, weights=weight)
    return np.log(mean / (1 - mean))


@jax.numpy_dtype_promotion("standard")  # optax itself promotes its step count
@pytest.mark.parametrize("solver", SOLVERS, ids=lambda one: type(one).__name__)
def test_the_bias_is_the_logit_of_the_mean(solver):
    for design in (X, BCOO.fromdense(X), jl.standardize(X)):
        found = jl.fit(design, Y[:1], weight=WEIGHT, l2=0.1, solver=solver)
        assert found.status == jl.Status.CONVERGED
        assert found.params.w.shape == (0, 1)
        expected = logit_of_mean(Y[0], WEIGHT[0])
        assert found.params.b == pytest.approx(expected, abs=1e-5)
    many = jl.fit_many(X, Y, solver=solver)
    assert many.params.w.shape == (2, 0, 1)
    expected = [logit_of_mean(row) for row in Y]
    np.testing.assert_allclose(many.params.b[:, 0, 0], expected, atol=1e-5)


def test_costs_and_predictions_are_those_with_a_weight_of_0():
    none = jl.Params(jnp.zeros((0, 1)), jnp.full((1, 1), 0.3))
    one = none._replace(w=jnp.zeros((1, 1)))
    for function in (jl.cost, jl.gradient, jl.hessian, jl.loops.cost):
        short, full = (
            jax.tree.leaves(function(params, features, Y[:1], weight=WEIGHT))
            for params, features in ((none, X), (one, WIDE))
        )
        last = [np.ravel(leaves[-1])[-1] for leaves in (short, full)]
        assert last[0] == pytest.approx(last[1])
    for function in (jl.logits, jl.predict_proba, jl.predict):
        np.testing.assert_allclose(function(none, X), function(one, WIDE))
    assert "w=none (0, 1)" in repr(none)


def test_what_follows_a_fit_knows_the_bias_alone():
    found = jl.fit(X, Y[:1])
    assert "0 features, 8 samples" in str(jl.summary(found, X, Y[:1]))
    assert jl.certificate(found, X, Y[:1]).decrement < 1e-4
    left = jl.leave_one_out(found, X, Y[:1])
    expected = [logit_of_mean(np.delete(Y[0], i)) for i in range(8)]
    np.testing.assert_allclose(left[0], expected, atol=0.1)
    validated = jl.cross_validate(X, Y, l2=jnp.array([[0.1], [1.0]]), folds=2)
    assert validated.loss.shape[0] == 2
    G = jax.random.normal(jax.random.key(0), (2, 8))
    jax.tree.map(
        np.testing.assert_array_equal,
        jl.scan_features(G, X, Y[:1]),
        jl.scan_features(G, None, Y[:1]),
    )
