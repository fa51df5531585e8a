"""Fits with an L1 penalty: published numbers, hard cases, statuses and errors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.sparse import BCOO
from mpmath import mp

import jlogreg as jl
from jlogreg import Status
from jlogreg.formulations.sparse.duality import penalty_gaps
from tests.helpers import compiled
from tests.oracles.coordinate_descent import lasso_cost, lasso_minimum
from tests.references.datasets import spector

DATA = spector()
WEIGHT = np.where(np.arange(32) < 16, 1.0, 3.0)[None]
OFFSET = ((np.arange(32) - 15.5) / 20)[None]
ROWS = {"weight": WEIGHT, "offset": OFFSET}
UNEQUAL = np.array([[0.5], [2.0], [0.5]])
# By glmnet 4.1-6 for R, with thresh = 1e-20 and standardize = FALSE: b, then w.
GLMNET = [
    ({"l1": 0.05}, "-6.615730991 .9004055135 .1220201043 .8511682209"),
    ({"l1": 0.025, "l2": 0.025}, "-6.914449668 .9269468976 .1303046916 .9026598272"),
    (
        {"l1": 0.05 * np.array([[1.0], [2.0], [0.0]])},
        "-7.272318861 1.074256294 .1001785191 1.969850326",
    ),
    ({"l1": 0.05, **ROWS}, "-5.461804700 .8885270823 .09270184173 .1152516774"),
    (
        {"l1": 0.006 * UNEQUAL, "l2": 0.014 * UNEQUAL, **ROWS},
        "-8.792533789 1.780934099 .08262021504 1.150392895",
    ),
]


@pytest.mark.parametrize(("options", "printed"), GLMNET, ids=str)
def test_the_coefficients_are_those_of_glmnet(options, printed):
    found = jl.fit(DATA.X, DATA.y, **options)
    jl.raise_if_failed(found)
    theta = np.append(np.ravel(found.params.b), np.ravel(found.params.w))
    np.testing.assert_allclose(theta, np.array(printed.split(), float), rtol=2e-9)
    assert found.gap < 1e-15
    assert found.gradient_norm < 1e-13


def test_scikit_learn_finds_the_same_minimum():
    """By saga, in data of one scale, where it converges."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    X = (DATA.X - DATA.X.mean(axis=1, keepdims=True)) / DATA.X.std(axis=1)[:, None]
    C, ratio = 2.0, 0.6
    model = linear_model.LogisticRegression(
        C=C, l1_ratio=ratio, solver="saga", tol=1e-11, max_iter=100_000
    )
    model.fit(X.T, DATA.y[0], sample_weight=WEIGHT[0])
    strength = 1 / (C * WEIGHT.sum())
    found = jl.fit(
        X, DATA.y, weight=WEIGHT, l1=ratio * strength, l2=(1 - ratio) * strength
    )
    np.testing.assert_allclose(found.params.w.T, model.coef_, atol=1e-7)
    np.testing.assert_allclose(found.params.b[0], model.intercept_, atol=1e-7)


# --- designs and transformations ------------------------------------------------------

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((5, 40)) * (RANDOM.random((5, 40)) < 0.6)
Y = (RANDOM.random((1, 40)) < 1 / (1 + np.exp(-2 * X[:1]))) * 1.0
EACH = np.array([[0.03], [0.03], [0.1], [0.01], [0.05]])


@jax.jit
def fit(X, y, l1):
    return jl.fit(X, y, l1=l1)


def theta_of(found):
    return np.append(np.ravel(found.params.w), np.ravel(found.params.b))


@pytest.mark.parametrize("kind", ["dense", "sparse", "stacked", "standardized"])
def test_every_design_has_the_same_fit(kind):
    standardized = jl.standardize(X)
    design = {
        "dense": X,
        "sparse": BCOO.fromdense(jnp.asarray(X)),
        "stacked": jl.Stacked(X[:2], X[2:]),
        "standardized": standardized,
    }[kind]
    features = np.asarray(standardized.dense()) if kind == "standardized" else X
    found = fit(design, Y, EACH)
    assert found.status == Status.CONVERGED
    np.testing.assert_allclose(
        theta_of(found), lasso_minimum(features, Y, EACH), atol=1e-9
    )


def test_a_known_zero_is_no_penalty_and_compiles_nothing(caplog):
    plain = jl.fit(X, Y, l2=0.1)
    for zero in (0.0, 0, np.zeros((5, 1)), jnp.zeros(())):
        known = partial(jl.fit, X, Y, l2=0.1, l1=zero)
        assert not compiled(caplog, known)
        assert known().gap is None
        np.testing.assert_array_equal(known().params.w, plain.params.w)
    assert "gap" not in repr(plain)
    penalized = jl.fit(X, Y, l2=0.1, l1=0.1)
    assert "gap=" in repr(penalized)
    assert not compiled(caplog, lambda: jl.fit(X, Y, l2=0.2, l1=0.2))


@pytest.mark.parametrize("l2", [0.0, 0.03])
def test_a_relaxed_fit_is_that_of_the_chosen_features_alone(l2):
    l1 = np.array([[0.02], [0.2], [0.05], [1.0]])
    far = X + 1000
    path = jl.regularization_path(far, Y, l2, l1=l1)
    relaxed = jl.regularization_path(far, Y, l2, l1=l1, relaxed=True)
    sizes = []
    for k in range(len(l1)):
        chosen = np.asarray(path.params.w[k] != 0)[:, 0]
        alone = jl.fit(far[chosen], Y, l2=l2)
        assert relaxed.status[k] == alone.status == Status.CONVERGED
        np.testing.assert_allclose(relaxed.params.w[k][chosen], alone.params.w, 1e-9)
        assert not np.asarray(relaxed.params.w[k])[~chosen].any()
        np.testing.assert_allclose(relaxed.cost[k], alone.cost, rtol=1e-13)
        sizes.append(chosen.sum())
    assert len(set(sizes)) >= 3
    with pytest.raises(ValueError, match="relaxed is about the features that l1"):
        jl.regularization_path(X, Y, np.array([[0.1]]), relaxed=True)


def test_a_relaxed_fit_may_have_no_minimum():
    """A fit that has failed stays as it is."""
    y = (X[:1] > 0) * 1.0
    one = partial(jl.regularization_path, X, l1=np.array([[0.05]]), relaxed=True)
    assert one(y).status == Status.SEPARATED
    assert jax.jit(one)(2 * y).status == Status.BAD_INPUT
    assert one(Y, max_steps=1).status == Status.MAX_STEPS


def test_a_traced_zero_is_the_fit_without():
    found, plain = fit(X, Y, 0 * EACH), jl.fit(X, Y)
    assert found.status == Status.CONVERGED
    np.testing.assert_allclose(theta_of(found), theta_of(plain), atol=1e-10)
    asked = jl.fit(X, Y, solver=jl.ProximalNewton())
    np.testing.assert_allclose(theta_of(asked), theta_of(plain), atol=1e-10)


# --- statuses -------------------------------------------------------------------------


def status(*arguments, **options):
    return Status(int(jl.fit(*arguments, **options).status))


def test_twins_share_a_weight_in_no_certain_way():
    twins = np.concatenate([X[:4], X[:1]])
    alike = np.full((5, 1), 0.03)
    found = fit(twins, Y, alike)
    assert found.status == Status.SINGULAR
    # As good as the fit of one of them.
    due = lasso_minimum(X[:4], Y, 0.03)
    np.testing.assert_allclose(found.cost, lasso_cost(due, X[:4], Y, 0.03), rtol=1e-13)
    assert status(twins, Y, l1=0.03, l2=0.01) == Status.CONVERGED
    # The one with the smaller penalty takes it all.
    assert fit(twins, Y, EACH).status == Status.CONVERGED
    # In other units the larger of them takes it all.
    larger = np.concatenate([X[:4], 2 * X[:1]])
    found = fit(larger, Y, alike)
    assert found.status == Status.CONVERGED
    assert (found.params.w[0] == 0) & (found.params.w[4] != 0)


def test_a_constant_feature_has_no_weight():
    constant = np.concatenate([X[:4], np.full((1, 40), 7.0)])
    found = fit(constant, Y, EACH)
    assert found.status == Status.CONVERGED
    assert found.params.w[4] == 0
    free = EACH * [[1.0], [1.0], [1.0], [1.0], [0.0]]
    assert fit(constant, Y, free).status == Status.SINGULAR


def test_separation_is_that_by_unknowns_without_a_penalty():
    apart = np.concatenate([X[:4], 2 * Y - 1 + 0.1 * X[4:]])
    free = EACH * [[1.0], [1.0], [1.0], [1.0], [0.0]]
    assert fit(apart, Y, EACH).status == Status.CONVERGED
    found = fit(apart, Y, free)
    assert found.status == Status.SEPARATED
    np.testing.assert_array_equal(found.params.w[:4], 0)
    plane = np.asarray(found.params.w)[4] * apart[4:] + np.asarray(found.params.b)
    assert ((plane > 0) == (Y == 1)).all()
    assert fit(X, np.ones_like(Y), EACH).status == Status.SEPARATED
    # Some samples only: the weight grows without an end.
    some = np.concatenate([X[:4], Y * (np.arange(40) % 2)])
    assert fit(some, Y, free).status == Status.DIVERGED
    # A plane that the descent has not met when its steps end.
    hidden = np.concatenate([X[:4], 1e-3 * (2 * Y - 1) + 1e-3])
    assert status(hidden, Y, l1=free, max_steps=0) == Status.SEPARATED


def test_extreme_penalties():
    found = jl.fit(X, Y, l1=1e300)
    assert found.status == Status.CONVERGED
    assert not found.params.w.any()
    tiny = jl.fit(X, Y, l1=1e-300)
    assert tiny.status == Status.CONVERGED
    np.testing.assert_allclose(theta_of(tiny), theta_of(jl.fit(X, Y)), atol=1e-10)
    far = jl.Params(np.full((5, 1), 1e3), np.zeros((1, 1)))
    found = jl.fit(X, Y, l1=EACH, init=far)
    assert found.status == Status.CONVERGED
    np.testing.assert_allclose(theta_of(found), theta_of(fit(X, Y, EACH)), atol=1e-9)


def test_without_steps_it_stays_where_it_is():
    start = jl.Params(np.full((5, 1), 0.1), np.zeros((1, 1)))
    found = jl.fit(X, Y, l1=EACH, init=start, max_steps=0)
    assert found.status == Status.MAX_STEPS
    np.testing.assert_array_equal(found.params.w, start.w)
    above = found.cost - fit(X, Y, EACH).cost
    assert 0 < above <= found.gap


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_traced_penalty_out_of_range_is_bad_input(bad):
    l1 = EACH.copy()
    l1[2] = bad
    found = fit(X, Y, l1)
    assert found.status == Status.BAD_INPUT
    assert np.isnan(theta_of(found)).all()
    assert np.isnan(found.gap)
    with pytest.raises(ValueError, match=r"^l1 must be at least 0 everywhere"):
        jl.fit(X, Y, l1=l1)


@pytest.mark.parametrize("solver", [jl.Newton(), jl.NewtonCG(), jl.LBFGS()])
def test_another_solver_is_an_error_that_names_the_one_that_can(solver):
    words = rf"l1 has no derivative at 0, which {type(solver).__name__} needs: .*Proxi"
    with pytest.raises(ValueError, match=words):
        jl.fit(X, Y, l1=0.1, solver=solver)
    jl.fit(X, Y, l1=0.0, solver=solver)


@pytest.mark.parametrize("weighted", [False, True])
def test_l1_max_keeps_its_digits_far_from_zero(weighted):
    """In single precision, of years: the bias alone would be off by 2000 roundings."""
    random = np.random.default_rng(0)
    x = np.round(2000 + 8 * random.normal(size=(1, 4000))).astype(np.float32)
    y = (random.random((1, 4000)) < 0.03).astype(np.float32)
    v = random.integers(1, 4, (1, 4000)).astype(np.float32) if weighted else None
    counts = np.ones_like(x) if v is None else v
    p = np.average(y, weights=counts)
    slope = np.average((x.astype(float) - 2000) * (p - y), weights=counts)
    assert jl.l1_max(x, y, weight=v) == pytest.approx(abs(slope), rel=1e-5)


def test_l1_max_of_labels_of_one_class_is_not_a_number():
    assert np.isnan(jl.l1_max(X, np.ones_like(Y)))
    assert jl.l1_max(X, np.full_like(Y, 0.5), bias=False) == 0


# --- the gap --------------------------------------------------------------------------


def test_the_parts_of_the_gap_are_those_of_the_definition():
    """What a weight's penalty is above its bound, to 50 digits; equation (51)."""
    random = np.random.default_rng(3)
    w, c = random.choice([-2.0, -0.1, 0.0, 0.1, 2.0], (2, 60, 1))
    l1 = random.choice([0.0, 0.05, 1.5], (60, 1))
    l2 = random.choice([0.0, 0.3], (60, 1))
    l1 = np.where((l2 == 0) & (l1 < np.abs(c)), np.abs(c), l1)
    found = np.asarray(penalty_gaps(w, c, l1, l2))
    with mp.workdps(50):
        for got, *given in zip(
            found[:, 0], w[:, 0], c[:, 0], l1[:, 0], l2[:, 0], strict=True
        ):
            w_j, c_j, l1_j, l2_j = map(mp.mpf, given)
            due = l1_j * abs(w_j) + w_j * c_j + l2_j * w_j**2 / 2
            if l2_j:
                due += max(abs(c_j) - l1_j, 0) ** 2 / (2 * l2_j)
            assert abs(mp.mpf(float(got)) - due) <= 1e-15 * (1 + due)
    assert (found >= 0).all()


def test_derivatives_of_many_fits_are_those_of_each():
    """Of rows of labels beside one that has no minimum."""
    random = np.random.default_rng(4)
    Y3 = (random.random((3, 1, 40)) < 1 / (1 + np.exp(-2 * X[:1]))) * 1.0
    Y3[1] = 1.0  # one class: no minimum

    def size(y, l1, X):
        found = jl.fit(X, y, l1=l1, l2=0.01)
        return jnp.sum(jnp.square(found.params.w))

    slopes = jax.grad(size, argnums=(1, 2))
    many = jax.vmap(slopes, in_axes=(0, None, None))(Y3, EACH, X)
    for k in (0, 2):
        alone = slopes(Y3[k], EACH, X)
        for one, all_ in zip(alone, many, strict=True):
            assert np.abs(one).max() > 0
            np.testing.assert_allclose(all_[k], one, rtol=1e-8, atol=1e-12)
