"""Many fits with an L1 penalty: each is the fit alone, and paths are only faster."""

from functools import partial

import jax
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import Status
from tests.helpers import compiled, entry

RANDOM = np.random.default_rng(2)
N, M, K = 6, 50, 5
X = RANDOM.standard_normal((N, M))
Z = 2 * X[:1] - X[1:2] + RANDOM.standard_normal((K, M))
Y = (Z > 0) * 1.0
WEIGHT = RANDOM.choice([0.5, 1.0, 2.0], (K, M))
L1 = np.array([[0.3], [0.1], [0.03], [0.01]])

alone = jax.jit(jl.fit)


def assert_same(found, expected):
    """Assert that two fits ended alike, at one minimum."""
    assert found.status == expected.status
    np.testing.assert_allclose(found.cost, expected.cost, rtol=1e-12)
    np.testing.assert_allclose(found.params.w, expected.params.w, atol=1e-8)
    np.testing.assert_allclose(found.params.b, expected.params.b, atol=1e-8)
    np.testing.assert_array_equal(found.params.w == 0, expected.params.w == 0)


def test_each_of_many_is_the_fit_alone():
    l1 = np.linspace(0.02, 0.1, K)[:, None]
    found = jl.fit_many(X, Y, weight=WEIGHT, l1=l1, l2=0.01)
    assert (found.gap < 1e-14).all()
    for k in range(K):
        one = {"weight": WEIGHT[k : k + 1], "l1": l1[k, 0], "l2": 0.01}
        expected = alone(X, Y[k : k + 1], **one)
        assert expected.status == Status.CONVERGED
        assert_same(entry(found, k), expected)


def test_a_problem_without_an_answer_touches_no_other():
    l1 = np.array([[0.05], [-1.0], [0.05], [np.nan], [0.0]])
    labels = Y.copy()
    labels[2] = 1
    found = jl.fit_many(X, labels, l1=l1)
    due = [Status.CONVERGED, Status.BAD_INPUT, Status.SEPARATED, Status.BAD_INPUT]
    np.testing.assert_array_equal(found.status[:4], due)
    assert_same(entry(found, 0), alone(X, Y[:1], l1=0.05))
    assert_same(entry(found, 4), jl.fit(X, labels[4:]))


def test_a_known_zero_is_no_penalty(caplog):
    plain = jl.fit_many(X, Y, l2=0.1)
    zero = partial(jl.fit_many, X, Y, l2=0.1, l1=np.zeros((K, 1)))
    assert not compiled(caplog, zero)
    assert zero().gap is plain.gap is None
    with pytest.raises(ValueError, match=r"pass solver=ProximalNewton\(\)"):
        jl.fit_many(X, Y, l1=0.1, solver=jl.LBFGS())
    asked = jl.fit_many(X, Y, l2=0.1, solver=jl.ProximalNewton())
    np.testing.assert_allclose(asked.params.w, plain.params.w, atol=1e-9)


@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_a_path_is_the_fits_alone_in_any_order(ratio):
    order = [2, 0, 3, 1]
    columns = {"l1": ratio * L1[order], "l2": (1 - ratio) * L1[order]}
    path = jl.regularization_path(X, Y[:1], **columns)
    assert (path.status == Status.CONVERGED).all()
    for k in range(4):
        one = {name: column[k, 0] for name, column in columns.items()}
        assert_same(entry(path, k), alone(X, Y[:1], **one))
    mapped = jax.vmap(lambda y: jl.regularization_path(X, y[None], **columns))(Y[:2])
    assert_same(entry(entry(mapped, 0), 1), entry(path, 1))


def test_a_path_needs_a_column():
    with pytest.raises(jl.DtypeError, match=r"^l2 must be an array"):
        jl.regularization_path(X, Y[:1], l1=0.1)
    with pytest.raises(
        jl.RankError, match=r"which is np\.array\(\[\[0\.1, 2\]\]\)\.T$"
    ):
        jl.cross_validate(X, Y, np.array([0.1, 2.0]))
    with pytest.raises(jl.ShapeError, match=r"^l2 has .*must have shape \(4, 1\)"):
        jl.regularization_path(X, Y[:1], np.ones((2, 1)), l1=L1)
    both = jl.regularization_path(X, Y[:1], 0.1, l1=L1)
    assert_same(entry(both, 1), alone(X, Y[:1], l1=0.1, l2=0.1))
    none = jl.regularization_path(X, Y[:1], L1, l1=0.0)
    assert none.gap is None


def test_the_start_of_a_path_takes_few_steps():
    near = np.geomspace(0.1, 0.08, 5)[:, None]
    path = jl.regularization_path(X, Y[:1], l1=near)
    assert (path.steps[1:] < path.steps[0]).all()


@pytest.fixture(scope="module")
def validated():
    return jl.cross_validate(X, Y[:2], l1=L1, folds=3)


def test_the_losses_are_those_of_the_folds(validated):
    folds = jl.fold_weights(jax.random.key(0), M, 3, dtype=np.float64)
    for k, fold in ((0, 1), (1, 2)):
        weight, y = np.asarray(folds[fold])[None], Y[k : k + 1]
        for i in range(4):
            found = alone(X, y, weight=weight, l1=L1[i, 0])
            z = np.asarray(jl.logits(found.params, X))
            losses = np.logaddexp(0, z) - y * z
            due = losses[weight == 0].mean()
            np.testing.assert_allclose(validated.fold_loss[k, i, fold], due, rtol=1e-8)
    assert_same(entry(entry(validated.path, 1), 2), alone(X, Y[1:2], l1=0.03))


def test_the_choice_is_the_best_and_the_sparsest_near_it(validated):
    loss, error = np.asarray(validated.loss), np.asarray(validated.standard_error)
    best = loss.argmin(axis=1)
    np.testing.assert_array_equal(validated.best[:, 0], best)
    for k in range(2):
        near = loss[k] <= loss[k, best[k]] + error[k, best[k]]
        assert validated.one_standard_error[k, 0] == np.argmax(near)  # L1 falls
        chosen = int(validated.best[k, 0])
        assert_same(entry(validated.fit, k), alone(X, Y[k : k + 1], l1=L1[chosen, 0]))
    due = (np.asarray(validated.path.params.w) != 0).sum(axis=(2, 3))
    np.testing.assert_array_equal(validated.n_selected, due)
    np.testing.assert_array_equal(validated.l1, L1)
    np.testing.assert_array_equal(validated.l2, 0)


def test_the_order_of_both_penalties_is_that_of_l1_first(validated):
    order = [3, 1, 0, 2]
    other = jl.cross_validate(X, Y[:2], l1=L1[order], folds=3)
    place = np.argsort(order)
    np.testing.assert_array_equal(other.best, place[np.asarray(validated.best)])
    due = place[np.asarray(validated.one_standard_error)]
    np.testing.assert_array_equal(other.one_standard_error, due)
    np.testing.assert_allclose(other.loss[:, place], validated.loss, rtol=1e-8)


def test_penalties_of_the_sum_are_divided_by_the_weights():
    of_sum = jl.cross_validate(X, Y[:1], l1=L1 * M, folds=3, reduction="sum")
    expected = alone(X, Y[:1], l1=0.1)
    assert_same(entry(entry(of_sum.path, 0), 1), expected)
    weight = np.asarray(jl.fold_weights(jax.random.key(0), M, 3, dtype=np.float64))[:1]
    one = alone(X, Y[:1], weight=weight, l1=0.1 * M / weight.sum())
    assert_same(entry(entry(entry(of_sum.fold_fits, 0), 1), 0), one)
