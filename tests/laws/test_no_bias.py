"""A model without a bias is that of samples and their mirror images, with one.

Mirrored samples, -x with the label 1 - y and the offset -o, have the same losses, and
their mean loss is least at b = 0.
"""

import jax
import numpy as np
import optax
import pytest

import jlogreg as jl
from jlogreg import Status

RANDOM = np.random.default_rng(5)
SOLVERS = [None, jl.Newton(), jl.NewtonCG(), jl.LBFGS(), jl.Optax(optax.lbfgs())]
solvers = pytest.mark.parametrize(
    "solver", SOLVERS[1:], ids=lambda solver: type(solver).__name__
)
ROUNDING = 1e-11


def make_problem(n, m):
    """Return features, labels, weights and an offset, far from their mirror images."""
    X = RANDOM.normal(0.5, 1, (n, m))
    y = (RANDOM.random((1, m)) < 0.7) * 1.0
    weight = RANDOM.integers(1, 4, (1, m)) * 1.0
    return X, y, weight, RANDOM.normal(size=(1, m))


def mirrored(X, y, weight, offset):
    """Return the samples with their mirror images."""

    def with_image(row, image):
        return np.concatenate([row, image], axis=1)

    options = {"weight": with_image(weight, weight)}
    options["offset"] = with_image(offset, -offset)
    return (with_image(X, -X), with_image(y, 1 - y)), options


# Newton's method, conjugate gradients, fewer samples than features; with the primal and
# the dual, and with penalties of each feature.
SHAPES = {
    "few": (3, 60, 0.0),
    "many": (14, 100, 0.0),
    "penalty": (14, 100, 0.1),
    "wide": (80, 30, 0.1),
    "wide, a penalty each": (80, 30, np.full((80, 1), 0.1)),
}


@jax.numpy_dtype_promotion("standard")  # optax itself promotes its step count
@pytest.mark.parametrize(
    ("shape", "solver"),
    [
        ("few", SOLVERS[1]),
        *(("many", solver) for solver in SOLVERS[1:]),
        *(("penalty", solver) for solver in SOLVERS[1:]),
        *(("wide", solver) for solver in SOLVERS[:3]),
        *(("wide, a penalty each", solver) for solver in SOLVERS[1:3]),
    ],
)
def test_the_fit_is_that_of_mirrored_samples(shape, solver):
    n, m, l2 = SHAPES[shape]
    problem = make_problem(n, m)
    X, y, weight, offset = problem
    options = {"weight": weight, "offset": offset, "l2": l2}
    arguments, rows = mirrored(*problem)
    expected = jl.fit(*arguments, **rows, l2=np.max(l2))
    found = jl.fit(X, y, **options, bias=False, solver=solver)
    assert found.status == expected.status == Status.CONVERGED
    np.testing.assert_allclose(found.params.w, expected.params.w, atol=ROUNDING)
    assert found.params.b == 0
    np.testing.assert_allclose(found.cost, expected.cost, atol=ROUNDING)
    assert found.gradient_norm < ROUNDING
    checked = jl.certificate(found, X, y, **options, bias=False)
    assert checked.change < 1e-8
    assert checked.separation == "overlap"
    assert jl.certificate(found, X, y, **options).gradient_norm > 1e-5
    # Each solver fits many problems in `test_statuses`.
    if np.ndim(l2) == 0 and (shape == "wide" or solver == jl.Newton()):
        many = jl.fit_many(X, y, **options, bias=False, solver=solver)
        np.testing.assert_allclose(many.params.w[0], found.params.w, atol=ROUNDING)
        assert many.params.b == 0


def test_more_features_than_samples_of_one_weight():
    X, y, *_ = make_problem(80, 30)
    plain = jl.fit(X, y, l2=0.1, bias=False)
    weighted = jl.fit(X, y, weight=np.full_like(y, 2.0), l2=0.1, bias=False)
    assert plain.status == weighted.status == Status.CONVERGED
    np.testing.assert_allclose(plain.params.w, weighted.params.w, atol=ROUNDING)


def test_a_feature_of_ones_is_a_bias():
    X, y, weight, offset = make_problem(3, 60)
    options = {"weight": weight, "offset": offset}
    with_bias = jl.fit(X, y, **options).params
    ones = np.concatenate([X, np.ones_like(y)])
    found = jl.fit(ones, y, **options, bias=False).params.w
    expected = np.concatenate([with_bias.w, with_bias.b])
    np.testing.assert_allclose(found, expected, atol=ROUNDING)


def test_paired_comparisons():
    """Bradley and Terry: the first of two beats the second in 7 games of 10."""
    X, y = np.ones((1, 10)), (np.arange(10) < 7)[None] * 1.0
    found = jl.fit(X, y, bias=False)
    assert found.params.w == pytest.approx(np.log(7 / 3))
    text = str(jl.summary(found, X, y, bias=False))
    assert "bias" not in text
    assert f"{(10 * 0.7 * 0.3) ** -0.5:.3g}" in text  # the standard error
    assert "no standard errors" in str(jl.summary(found, X, y))


def test_many_problems_and_their_folds():
    X, y, weight, _ = make_problem(4, 60)
    Y = np.concatenate([y, 1 - y])
    for design in (X, jl.standardize(X)):
        many = jl.fit_many(design, Y, weight=weight, l2=0.1, bias=False)
        for k in range(2):
            one = jl.fit(design, Y[k : k + 1], weight=weight, l2=0.1, bias=False)
            np.testing.assert_allclose(many.params.w[k], one.params.w, atol=ROUNDING)
    l2 = np.array([[0.01], [0.1]])
    validated = jl.cross_validate(X, y, l2, weight=weight, folds=3, bias=False)
    assert (validated.path.params.b == 0).all()
    path = jl.regularization_path(X, y, l2, weight=weight, bias=False)
    assert (path.params.b == 0).all()
    for fits in (path.params.w, validated.path.params.w[0]):
        one = jl.fit(X, y, weight=weight, l2=0.01, bias=False)
        np.testing.assert_allclose(fits[0], one.params.w, atol=1e-7)


@pytest.mark.parametrize(
    ("covariates", "missing"), [(None, False), (0, True), (2, False), (2, True)]
)
def test_a_scan_is_fits_one_by_one(covariates, missing):
    X, y, weight, offset = make_problem(5, 60)
    G = np.array(X[2:])
    G[0] = 1000 + G[0]  # far from zero: not the bias that is missing
    G[1] = np.where(y[0] > 0, 1.0, -1.0)  # separated
    if missing:
        G[2, ::7] = np.nan
    rows = None if covariates is None else X[:covariates]
    options = {"weight": weight, "offset": offset, "bias": False}
    scan = jl.scan_features(G, rows, y, **options)
    numbers = (scan.estimate, scan.standard_error, scan.status)
    for g, estimate, error, status in zip(G, *numbers, strict=True):
        alone = g[None] if rows is None else np.concatenate([rows, g[None]])
        kept = np.where(np.isnan(g), 0.0, weight)
        alone = np.nan_to_num(alone)
        one = jl.fit(alone, y, weight=kept, offset=offset, bias=False)
        assert status[0] == one.status
        if one.status == Status.CONVERGED:
            w = np.asarray(one.params.w)
            np.testing.assert_allclose(estimate[0], w[-1, 0], rtol=1e-8)
            a = 1 / (1 + np.exp(-(w.T @ alone + offset)))
            information = (alone * kept * a * (1 - a)) @ alone.T
            expected = np.sqrt(np.linalg.inv(information)[-1, -1])
            np.testing.assert_allclose(error[0], expected, rtol=1e-6)


@pytest.mark.parametrize("wide", [False, True])
def test_descent_leaves_the_bias_out(wide):
    X, y, weight, offset = make_problem(*((30, 8) if wide else (2, 30)))
    options = {"weight": weight, "offset": offset, "l2": 0.5}
    options["bias"] = False
    start = jl.init_params(len(X), X.dtype)
    descent = jl.gradient_descent(start, X, y, learning_rate=0.2, steps=500, **options)
    found = jl.fit(X, y, **options).params
    np.testing.assert_allclose(descent.params.w, found.w, atol=1e-8)
    assert descent.params.b == 0


@jax.numpy_dtype_promotion("standard")
@solvers
def test_derivatives(solver):
    """Of the mean weight in each datum, against a difference."""
    X, y, weight, offset = make_problem(2, 30)

    def mean_weight(data):
        X, weight, offset, l2 = data
        options = {"weight": weight, "offset": offset, "l2": l2, "tol": 1e-12}
        return jl.fit(X, y, **options, bias=False, solver=solver).params.w.mean()

    data = (X, weight, offset, np.asarray(0.1))
    change = tuple(np.asarray(RANDOM.normal(size=leaf.shape)) for leaf in data)

    def moved(step):
        return tuple(leaf + step * d for leaf, d in zip(data, change, strict=True))

    @jax.jit
    def both(data):
        mean, forward = jax.linearize(mean_weight, data)
        return mean, forward(change), jax.linear_transpose(forward, data)(1.0)[0]

    _, slope, reverse = both(data)
    difference = (both(moved(1e-5))[0] - both(moved(-1e-5))[0]) / 2e-5
    assert float(slope) == pytest.approx(float(difference), rel=1e-6)
    dot = sum(np.sum(a * b) for a, b in zip(reverse, change, strict=True))
    assert float(dot) == pytest.approx(float(slope), rel=1e-9)


def test_influence_is_the_derivative_in_the_weights():
    X, y, weight, _ = make_problem(2, 12)

    def weights(weight):
        return jl.fit(X, y, weight=weight, l2=0.1, bias=False).params.w

    found = jl.fit(X, y, weight=weight, l2=0.1, bias=False)
    options = {"weight": weight, "l2": 0.1, "bias": False}
    change = jl.influence(found, X, y, **options)
    expected = jax.jacobian(weights)(weight)[:, 0, 0]
    np.testing.assert_allclose(change.w, expected, atol=1e-8)
    assert (change.b == 0).all()
    left = jl.leave_one_out(found, X, y, **options)[0, 3]
    others = np.where(np.arange(12) == 3, 0.0, weight)
    without = np.asarray(weights(others)).T @ X[:, 3:4]
    assert float(left) == pytest.approx(without.item(), abs=0.05)


# A feature that makes all problems of one shape, and no difference.
OTHER = [1.0, -1, 2, -1]


@jax.numpy_dtype_promotion("standard")
@solvers
@pytest.mark.parametrize(
    ("X", "y", "expected"),
    [
        ([[1.0, 2, -1, -3], OTHER], [[1.0, 1, 0, 0]], Status.SEPARATED),
        ([[1.0, 2, 3, 4], OTHER], [[1.0, 1, 1, 1]], Status.SEPARATED),
        # With a bias these are separated.
        ([[1.0, 2, -1, -3], OTHER], [[1.0, 1, 1, 1]], Status.CONVERGED),
        ([[1.0, 2, 3, 4], OTHER], [[0.0, 0, 1, 1]], Status.CONVERGED),
        ([[1.0, 2, -1, -3], [2.0, 4, -2, -6]], [[1.0, 0, 0, 1]], Status.SINGULAR),
        # A constant feature is no bias to a model without one.
        ([[3.0, 3, 3, 3], [1, 2, 3, 5]], [[0.0, 1, 0, 1]], Status.CONVERGED),
    ],
)
def test_statuses(X, y, expected, solver):
    X, y = np.array(X), np.array(y)
    found = jl.fit(X, y, bias=False, solver=solver)
    many = jl.fit_many(X, y, bias=False, solver=solver)
    assert found.status == many.status[0] == expected
    if solver == jl.Newton():  # `fit_many` maps each of them
        mapped = jax.vmap(lambda y: jl.fit(X, y, bias=False))(y[None])
        assert mapped.status[0] == expected
    what = "complete" if expected == Status.SEPARATED else "overlap"
    assert jl.certificate(found, X, y, bias=False).separation == what


def test_without_features_there_is_nothing_to_find():
    found = jl.fit(np.zeros((0, 4)), np.ones((1, 4)), bias=False)
    assert (found.status, found.params.b) == (Status.CONVERGED, 0)
    assert found.cost == pytest.approx(np.log(2))


def test_mistakes():
    X, y, *_ = make_problem(2, 12)
    start = jl.Params(np.zeros((2, 1)), np.ones((1, 1)))
    with pytest.raises(jl.DtypeError, match="bias must be True or False, but is 1"):
        jl.fit(X, y, bias=1)
    with pytest.raises(jl.DtypeError, match="bias must be"):
        jl.certificate(jl.fit(X, y), X, y, bias="no")
    for call in (
        lambda: jl.fit(X, y, init=start, bias=False),
        lambda: jl.fit_many(X, y, init=start, bias=False),
    ):
        with pytest.raises(ValueError, match=r"init\.b must be 0 everywhere"):
            call()
    with pytest.raises(ValueError, match="b must be 0 everywhere"):
        jl.gradient_descent(start, X, y, learning_rate=0.1, steps=1, bias=False)
    traced = jax.jit(lambda start: jl.fit(X, y, init=start, bias=False))(start)
    assert traced.status == Status.BAD_INPUT
