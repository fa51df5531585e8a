"""Covariances: R's numbers, definitions in NumPy, and what weights mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.sparse import BCOO

import jlogreg as jl
from jlogreg.inference import correlation, covariance, standard_errors
from tests.helpers import EPS, assert_close, make_problem
from tests.oracles.numpy_inference import numpy_covariance
from tests.references import datasets

X, Y = map(jnp.asarray, datasets.spector()[:2])
CLUSTERS = np.arange(32)[None] // 4
WEIGHT = jnp.asarray(np.where(np.arange(32) < 16, 1.0, 3.0)[None])
KINDS = ["fisher", "HC0", "HC1", "HC2", "HC3", "jackknife"]
GROUPED = ["cluster", "jackknife"]
THREE = np.array([[7, -2, 100] * 8])

# The constant, GPA, TUCE and PSI, by R 4.2.2 with sandwich 3.0-2; the jackknife by
# NumPy, and fisher as Greene prints it.
SPECTOR = {
    "fisher": (4.9313242136, 1.2629410756, 0.1415542057, 1.0645642545),
    "HC0": (5.19758541, 1.267545982, 0.1179222677, 0.9644192096),
    "HC1": (5.556452527, 1.355063653, 0.1260642069, 1.031007503),
    "HC2": (5.61458357, 1.398442895, 0.1342895934, 1.035939805),
    "HC3": (6.082553285, 1.55175762, 0.1538846112, 1.116391342),
    "cluster": (4.383428798, 1.141889262, 0.0541577763, 0.7818087117),
    "jackknife": (4.5803297808, 1.2290682661, 0.0616409205, 0.8917690928),
}
# The same with weights, 1 for the first 16 samples, then 3.
WEIGHTED = {
    ("probability", "HC0"): (5.330293588, 1.239693691, 0.1250868811, 0.8659775199),
    ("probability", "HC3"): (6.603765285, 1.539541126, 0.1711653123, 1.010511145),
    ("frequency", "HC0"): (3.129741012, 0.7466606007, 0.07493191821, 0.6584885801),
    ("frequency", "HC3"): (3.35730109, 0.8143220619, 0.082917467, 0.7266457972),
}


@pytest.fixture(scope="module")
def plain():
    return jl.fit(X, Y)


@pytest.fixture(scope="module")
def weighted():
    return jl.fit(X, Y, weight=WEIGHT)


def in_order(errors):
    return np.asarray(errors)[[3, 0, 1, 2], 0]


@pytest.mark.parametrize("kind", SPECTOR)
def test_the_spector_data(plain, kind):
    options = {"kind": kind}
    if kind in GROUPED:
        options["clusters"] = CLUSTERS
    errors = standard_errors(plain, X, Y, **options)
    np.testing.assert_allclose(in_order(errors), SPECTOR[kind], rtol=6e-10)


def test_the_factor_of_statsmodels_for_clusters(plain):
    errors = standard_errors(plain, X, Y, kind="cluster", clusters=CLUSTERS)
    expected = (4.61228131, 1.201505658, 0.0569852759, 0.82262582)
    np.testing.assert_allclose(in_order(errors) * (31 / 28) ** 0.5, expected, rtol=6e-9)


@pytest.mark.parametrize(("weights", "kind"), WEIGHTED)
def test_the_two_meanings_of_a_weight(weighted, weights, kind):
    """R stops its iterations a little earlier: 8 digits are the same."""
    errors = standard_errors(weighted, X, Y, weight=WEIGHT, weights=weights, kind=kind)
    expected = WEIGHTED[weights, kind]
    np.testing.assert_allclose(in_order(errors), expected, rtol=1e-8)


def random_problem(l2):
    problem = make_problem((3, 24), np.float64, "soft labels", seed=5, l2=l2)
    weight = problem.weight.at[0, 3].set(0.0)
    return problem._replace(weight=weight)


@pytest.fixture(scope="module")
def solved():
    fit = jax.jit(jl.fit)
    found = {}
    for l2 in (0.0, 0.2):
        problem = random_problem(l2)
        options = {"weight": problem.weight, "offset": problem.offset}
        l2 = jnp.asarray(l2)
        found[float(l2)] = fit(problem.X, problem.y, l2=l2, **options), options
    return found


@pytest.mark.parametrize("l2", [0.0, 0.2])
@pytest.mark.parametrize("weights", ["frequency", "probability"])
@pytest.mark.parametrize(
    ("kind", "clusters"),
    [(kind, None) for kind in KINDS] + [(kind, THREE) for kind in GROUPED],
)
def test_a_covariance_is_that_of_its_definition(solved, kind, clusters, weights, l2):
    """With weights, an offset, soft labels, and a sample of weight 0."""
    problem, (found, options) = random_problem(l2), solved[l2]
    given = {"weights": weights, "clusters": clusters, "l2": l2}
    result = covariance(found, problem.X, problem.y, kind=kind, **given, **options)
    given["theta"] = np.vstack(found.params)
    expected = numpy_covariance(kind, X=problem.X, y=problem.y, **given, **options)
    scale = np.outer(*2 * (np.sqrt(np.diag(expected)),))
    # Two solves with A, of a condition below 1e5, in eps.
    assert_close(result / scale, expected / scale, 1e-10)


def test_statsmodels_agrees(solved):
    models = pytest.importorskip("statsmodels.api")
    random = np.random.default_rng(8)
    for _ in range(5):
        features = random.standard_normal((3, 32)) * [[1.0], [10.0], [0.1]]
        labels = (random.random((1, 32)) < 0.4).astype(float)
        found = jl.fit(features, labels)
        table = np.vstack([features, np.ones(32)]).T
        model = models.Logit(labels[0], table)
        groups = np.arange(32) // 4
        for kind, arguments in (
            ("fisher", {}),
            ("HC0", {"cov_type": "HC0"}),
            ("cluster", {"cov_type": "cluster", "cov_kwds": {"groups": groups}}),
        ):
            peer = model.fit(method="newton", tol=1e-14, disp=0, **arguments)
            clusters = groups[None] if kind == "cluster" else None
            ours = covariance(found, features, labels, kind=kind, clusters=clusters)
            if kind == "cluster":
                ours = ours * (31 / 28)
            np.testing.assert_allclose(ours, peer.cov_params(), rtol=1e-8)


def test_every_design_and_mode_gives_the_same(plain):
    expected = {kind: covariance(plain, X, Y, kind=kind) for kind in ("fisher", "HC3")}
    standardized = jl.standardize(X)
    designs = [
        BCOO.fromdense(X),
        jl.Stacked(X[:1], X[1:]),
        jl.Standardized(X, jnp.zeros((3, 1)), jnp.ones((3, 1))),
    ]
    for kind, matrix in expected.items():
        scale = 64 * EPS * np.abs(matrix).max() * 1e3
        for design in designs:
            assert_close(covariance(plain, design, Y, kind=kind), matrix, scale)
    found = jl.fit(standardized, Y)
    units = np.append(standardized.scale[:, 0], 1.0)[:, None]
    for kind, matrix in expected.items():
        there = covariance(found, standardized, Y, kind=kind)
        within = there[:3, :3] / units[:3] / units[:3].T
        np.testing.assert_allclose(within, matrix[:3, :3], rtol=1e-9)


def test_many_problems_and_compiled_ones_give_the_same(plain):
    labels = jnp.concatenate([Y, 1 - Y])
    many = jl.fit_many(X, labels)
    options = {"kind": "cluster", "clusters": CLUSTERS}
    expected = covariance(plain, X, Y, **options)
    for matrix in covariance(many, X, labels, **options):
        np.testing.assert_allclose(matrix, expected, rtol=1e-9)

    @jax.jit
    def compiled(fit, X, y, clusters):
        return [
            covariance(fit, X, y, kind="cluster", clusters=clusters),
            covariance(fit, X, y, kind="jackknife", clusters=clusters),
        ]

    ids = jnp.asarray(CLUSTERS * 7 - 3)
    cluster, jackknife = compiled(plain, X, Y, ids)
    np.testing.assert_allclose(cluster, expected, rtol=1e-9)
    of_jackknife = covariance(plain, X, Y, kind="jackknife", clusters=CLUSTERS)
    np.testing.assert_allclose(jackknife, of_jackknife, rtol=1e-9)


def test_penalties_of_many_problems_are_a_column():
    l2 = jnp.array([[0.1], [1.0]])
    many = jl.fit_many(X, Y, l2=l2)
    result = standard_errors(many, X, Y, l2=l2)
    assert result.shape == (2, 4, 1)
    for k in range(2):
        one = jax.tree.map(lambda leaf, k=k: leaf[k], many)
        expected = standard_errors(one, X, Y, l2=float(l2[k, 0]))
        np.testing.assert_allclose(result[k], expected, rtol=1e-9)


def test_features_far_from_zero_keep_their_digits_in_float32():
    shifted = np.float32(X + np.array([[2000.0], [0], [0]]))
    labels = np.float32(Y)
    for kind in ("fisher", "HC3"):
        here = standard_errors(jl.fit(shifted, labels), shifted, labels, kind=kind)
        expected = standard_errors(jl.fit(X, Y), X, Y, kind=kind)
        np.testing.assert_allclose(here[:3], expected[:3], rtol=1e-3)


def test_without_a_bias_it_has_no_variance():
    found = jl.fit(X, Y, bias=False)
    for kind in KINDS:
        matrix = covariance(found, X, Y, bias=False, kind=kind)
        assert not matrix[3].any()
        assert not matrix[:, 3].any()
        assert np.isfinite(matrix).all()
    s = jl.sigmoid(jl.logits(found.params, X))
    s = s * (1 - s)
    result = covariance(found, X, Y, bias=False)[:3, :3]
    np.testing.assert_allclose(result, np.linalg.inv((X * s) @ X.T), rtol=1e-9)


def test_correlations_have_ones_on_the_diagonal(plain):
    matrix = correlation(plain, X, Y)
    np.testing.assert_allclose(np.diag(matrix), 1, rtol=1e-14)
    errors = standard_errors(plain, X, Y)
    np.testing.assert_allclose(
        matrix * errors * errors.T, covariance(plain, X, Y), rtol=1e-12
    )


def test_a_fit_without_an_answer_has_none():
    apart = jnp.asarray(X[:1] > 3.0, X.dtype)
    assert np.isnan(covariance(jl.fit(X, apart), X, apart)).all()
    labels = jnp.concatenate([Y, apart])
    matrices = covariance(jl.fit_many(X, labels), X, labels)
    assert np.isfinite(matrices[0]).all()
    assert np.isnan(matrices[1]).all()


def test_a_sample_that_decides_its_own_fit_has_no_HC3(plain):
    """The only one with a feature: its probability is its label, its leverage 1."""
    alone = jnp.zeros_like(Y).at[0, 0].set(1.0)
    one, y = jnp.concatenate([X, alone]), Y.at[0, 0].set(0.3)
    found = jl.fit(one, y)
    assert np.isfinite(covariance(found, one, y, kind="HC1")).all()
    for kind in ("HC2", "HC3", "jackknife"):
        assert np.isnan(covariance(found, one, y, kind=kind)).all()


def test_another_problem_than_the_fits_is_refused(plain):
    with pytest.raises(ValueError, match="standard errors from the minimum of the cos"):
        covariance(plain, X, Y, l2=0.1)
    matrix = jax.jit(lambda l2: covariance(plain, X, Y, l2=l2))(0.1)
    assert np.isnan(matrix).all()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (
            {"kind": "HC4"},
            ValueError,
            r"kind must be one of \('fisher', 'augmented', 'HC0'",
        ),
        ({"weights": "sample"}, ValueError, "weights must be one of"),
        ({"kind": "cluster"}, ValueError, "needs clusters"),
        ({"clusters": CLUSTERS}, ValueError, "clusters are not used"),
        (
            {"kind": "cluster", "clusters": CLUSTERS[0]},
            jl.RankError,
            r"clusters has rank 1.*reshape\(1, -1\)",
        ),
        (
            {"kind": "cluster", "clusters": CLUSTERS[:, 1:]},
            jl.ShapeError,
            r"shape \(1, 31\), but must have shape \(1, 32\)",
        ),
        (
            {"kind": "cluster", "clusters": CLUSTERS / 2},
            jl.DtypeError,
            "must hold whole numbers",
        ),
        ({"kind": "cluster", "clusters": [1]}, jl.DtypeError, "clusters must be an"),
    ],
)
def test_wrong_words_and_clusters_are_refused(plain, options, error, words):
    with pytest.raises(error, match=words):
        covariance(plain, X, Y, **options)


def test_as_many_features_as_samples_have_none(plain):
    wide = jnp.ones((32, 32))
    many = plain._replace(params=jl.init_params(32))
    with pytest.raises(jl.ShapeError, match="as many features as samples"):
        covariance(many, wide, Y)


def test_names_are_clusters_too(plain):
    names = np.array([[f"school {k}" for k in CLUSTERS[0]]])
    result = covariance(plain, X, Y, kind="cluster", clusters=names)
    expected = covariance(plain, X, Y, kind="cluster", clusters=CLUSTERS)
    np.testing.assert_array_equal(result, expected)


def test_what_is_no_fit_is_refused(plain):
    for call in (covariance, jl.influence):
        with pytest.raises(jl.DtypeError, match="fit must be the result of fit"):
            call(plain.params, X, Y)
    with pytest.raises(jl.RankError, match=r"fit\.status has rank 2"):
        covariance(plain._replace(status=np.zeros((2, 2), int)), X, Y)
    two = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), plain)
    with pytest.raises(jl.ShapeError, match="y has 3 rows, but the fit is of 2 probl"):
        covariance(two, X, jnp.concatenate([Y, Y, Y]))
    with pytest.raises(jl.ShapeError, match=r"l2 .* must have shape \(2, 1\)"):
        covariance(two, X, Y, l2=jnp.zeros((3, 1)))


def test_rounded_parameters_are_the_minimum_of_any_weight():
    """In float32 roundings are many standard errors of so many samples."""
    x, y, weight = np.float32(X), np.float32(Y), np.full(Y.shape, 1e10, np.float32)
    errors = standard_errors(jl.fit(x, y, weight=weight), x, y, weight=weight)
    expected = 1e-5 * standard_errors(jl.fit(X, Y), X, Y)
    np.testing.assert_allclose(errors, expected, rtol=1e-4)


def test_a_sample_of_weight_0_may_have_any_leverage(plain):
    """It is far out where the logit is 0, and would decide its own fit."""
    w, b = (np.asarray(leaf) for leaf in plain.params)
    far = np.array([[100.0], [0.0], [0.0]])
    far[1, 0] = -(b[0, 0] + 100 * w[0, 0]) / w[1, 0]
    x, y = np.hstack([X, far]), np.hstack([Y, [[1.0]]])
    weight = np.append(np.ones(32), 0.0)[None]
    errors = standard_errors(
        jl.fit(x, y, weight=weight), x, y, weight=weight, kind="HC3"
    )
    expected = standard_errors(plain, X, Y, kind="HC3")
    np.testing.assert_allclose(errors, expected, rtol=1e-9)
