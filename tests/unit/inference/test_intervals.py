"""Intervals: R's numbers, roots found by other code, and wrong arguments."""

from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

import jlogreg as jl
from jlogreg.inference import confidence_interval, standard_errors
from jlogreg.inference import profile as module
from tests.helpers import make_problem
from tests.references import datasets

X, Y = map(jnp.asarray, datasets.spector()[:2])
KEY = jax.random.key(0)
Z = NormalDist().inv_cdf(0.975)
# R's `confint` of MASS puts a spline through some points of the profile, so that its
# ends are good to three digits or four.
SPECTOR = [
    (0.639367, 5.757253),
    (-0.170205, 0.405044),
    (0.478609, 4.810260),
    (-25.1681648, -4.90235),
]
BUDWORM = [
    (0.4192265039, 1.820471332),
    (0.8228708201, 1.339058119),
    (-4.4581437584, -2.613609772),
]
DEAD = np.array([[1.0, 4, 9, 13, 18, 20, 0, 2, 6, 10, 12, 16]])
MOTHS = np.array([[1.0] * 6 + [0.0] * 6, [0.0, 1, 2, 3, 4, 5] * 2])


@pytest.fixture(scope="module")
def plain():
    return jl.fit(X, Y)


@pytest.fixture(scope="module")
def profiled(plain):
    return confidence_interval(plain, X, Y, kind="profile")


def ends(interval):
    return np.hstack([interval.low, interval.high])


def newton(x, y, v, offset, ridge):
    """Return the least V J over the rows of x, by NumPy."""
    theta = np.zeros(len(x))
    for _ in range(60):
        z = theta @ x + offset
        a = 1 / (1 + np.exp(-z))
        slope = x @ (v * (a - y)) + ridge * theta
        H = (x * v * a * (1 - a)) @ x.T + np.diag(ridge)
        step = np.linalg.solve(H, slope)
        theta = theta - step / max(1, np.abs(step @ x).max() / 2)
    z = theta @ x + offset
    losses = v * (np.logaddexp(0, z) - y * z)
    return losses.sum() + (ridge * theta**2).sum() / 2, theta


def numpy_ends(X, y, weight=None, offset=None, l2=0.0):
    """Return the ends of all profiles, by bisection over NumPy's own fits."""
    x = np.vstack([X, np.ones((1, X.shape[1]))])
    v = np.ones(x.shape[1]) if weight is None else np.asarray(weight)[0]
    o = np.zeros(x.shape[1]) if offset is None else np.asarray(offset)[0]
    ridge = v.sum() * np.append(np.full(len(X), l2), 0.0)
    y = np.asarray(y)[0]
    least, theta = newton(x, y, v, o, ridge)
    for j in range(len(x)):
        rest = np.delete(x, j, axis=0), y, v

        def excess(beta, j=j, rest=rest):
            cost, _ = newton(*rest, o + beta * x[j], np.delete(ridge, j))
            return cost + ridge[j] * beta**2 / 2 - least - Z**2 / 2

        far = 1.0
        while min(excess(theta[j] - far), excess(theta[j] + far)) < 0:
            far *= 2
        yield [brentq(excess, theta[j] + s * far, theta[j]) for s in (-1, 1)]


def test_the_spector_data(profiled):
    np.testing.assert_allclose(ends(profiled), SPECTOR, rtol=1e-3)
    np.testing.assert_allclose(ends(profiled), [*numpy_ends(X, Y)], rtol=1e-9)


def test_counts_of_moths():
    y, weight = DEAD / 20, np.full(DEAD.shape, 20.0)
    found = jl.fit(MOTHS, y, weight=weight)
    interval = confidence_interval(found, MOTHS, y, kind="profile", weight=weight)
    np.testing.assert_allclose(ends(interval), BUDWORM, rtol=1e-4)
    expected = [*numpy_ends(MOTHS, y, weight)]
    np.testing.assert_allclose(ends(interval), expected, rtol=1e-9)


@pytest.mark.parametrize("l2", [0.0, 0.05])
def test_weights_offsets_and_penalties_count(l2):
    problem = make_problem((2, 40), np.float64, "soft labels", seed=2, l2=l2)
    options = {"weight": problem.weight, "offset": problem.offset, "l2": l2}
    found = jl.fit(problem.X, problem.y, **options)
    interval = confidence_interval(
        found, problem.X, problem.y, kind="profile", **options
    )
    expected = [*numpy_ends(problem.X, problem.y, **options)]
    np.testing.assert_allclose(ends(interval), expected, rtol=1e-8)


def test_wald_is_the_estimate_and_its_errors(plain):
    interval = confidence_interval(plain, X, Y, level=0.9, covariance="HC1")
    theta = np.vstack(plain.params)
    half = NormalDist().inv_cdf(0.95) * standard_errors(plain, X, Y, kind="HC1")
    np.testing.assert_allclose(interval.low, theta - half, rtol=1e-13)
    np.testing.assert_allclose(interval.high, theta + half, rtol=1e-13)
    np.testing.assert_array_equal(interval.estimate, theta)
    ratios = confidence_interval(
        plain, X, Y, level=0.9, covariance="HC1", scale="odds ratio"
    )
    np.testing.assert_allclose(ends(ratios), np.exp(ends(interval)), rtol=1e-13)
    np.testing.assert_allclose(ratios.estimate, np.exp(theta), rtol=1e-13)


def test_float32_and_designs_give_the_same_profile(profiled):
    x, y = np.float32(X), np.float32(Y)
    shifted = x + np.float32([[512.0], [0], [0]])
    x = shifted - np.float32([[512.0], [0], [0]])
    interval = confidence_interval(jl.fit(shifted, y), shifted, y, kind="profile")
    assert interval.low.dtype == np.float32
    exact = confidence_interval(
        jl.fit(np.float64(x), Y), np.float64(x), Y, kind="profile"
    )
    np.testing.assert_allclose(ends(interval)[:3], ends(exact)[:3], rtol=2e-4)
    design = jl.Stacked(X[:1], jl.Sparse(jl_sparse(X[1:])))
    found = jl.fit(design, Y)
    interval = confidence_interval(found, design, Y, kind="profile")
    np.testing.assert_allclose(ends(interval), ends(profiled), rtol=1e-9)


def jl_sparse(array):
    from jax.experimental.sparse import BCOO

    return BCOO.fromdense(array)


def test_problems_side_by_side_and_compiled(profiled):
    apart = jnp.asarray(X[:1] > 3.0, X.dtype)
    labels = jnp.concatenate([Y, 1 - Y, apart])
    many = jl.fit_many(X, labels)

    @jax.jit
    def both(fit, labels):
        return [
            confidence_interval(fit, X, labels, kind=kind)
            for kind in ("profile", "wald")
        ]

    profile, wald = both(many, labels)
    np.testing.assert_allclose(profile.low[0], profiled.low, rtol=1e-9)
    np.testing.assert_allclose(profile.high[1], -profiled.low, rtol=1e-9)
    for interval in (profile, wald):
        assert np.isnan(interval.low[2]).all()
        assert np.isnan(interval.estimate[2]).all()
        assert (interval.status[2] == jl.Status.SEPARATED).all()


def test_many_ends_are_searched_in_turns(plain, profiled, monkeypatch):
    monkeypatch.setattr(module, "MAX_HESSIAN_ENTRIES", 1)
    monkeypatch.setattr(module, "MAX_PAIR_ENTRIES", 1)
    problem = make_problem((5, 60), np.float64, seed=3)
    found = jl.fit(problem.X, problem.y)
    interval = confidence_interval(found, problem.X, problem.y, kind="profile")
    expected = [*numpy_ends(problem.X, problem.y)]
    np.testing.assert_allclose(ends(interval), expected, rtol=1e-8)


def test_a_search_that_runs_out_of_fits_has_no_end(monkeypatch):
    monkeypatch.setattr(module, "MAX_FITS", 1)
    problem = make_problem((1, 33), np.float64, seed=3)
    found = jl.fit(problem.X, problem.y)
    interval = confidence_interval(found, problem.X, problem.y, kind="profile")
    assert np.isnan(ends(interval)).all()
    assert (interval.status == jl.Status.MAX_STEPS).all()


def test_without_a_bias_it_is_known():
    found = jl.fit(X, Y, bias=False)
    interval = confidence_interval(found, X, Y, bias=False, kind="profile")
    assert not ends(interval)[3].any()
    assert (interval.low < interval.estimate)[:3].all()


def test_the_bootstrap_is_quantiles_of_fits_to_resamples():
    problem = make_problem((2, 120), np.float64, seed=1)
    X, y, offset = problem.X, problem.y, problem.offset
    found = jl.fit(X, y, offset=offset)
    options = {"kind": "bootstrap", "key": KEY, "replicates": 100}
    interval = confidence_interval(found, X, y, offset=offset, **options)
    rows = jl.bootstrap_weights(KEY, 120, 100)
    fits = jl.fit_many(X, y, weight=rows, offset=offset)
    assert not fits.status.any()
    points = np.concatenate([fits.params.w, fits.params.b], axis=1)[:, :, 0]
    expected = np.quantile(points, [0.025, 0.975], axis=0).T
    np.testing.assert_allclose(ends(interval), expected, rtol=1e-7)


def test_a_bootstrap_with_many_separated_resamples_has_no_ends():
    x = jnp.asarray([[0.0, 1, 2, 3, 4, 5, 6, 7]])
    y = jnp.asarray([[0.0, 0, 0, 1, 0, 1, 1, 1]])
    found = jl.fit(x, y)
    interval = confidence_interval(found, x, y, kind="bootstrap", key=KEY)
    assert np.isnan(ends(interval)).all()
    assert interval.status.all()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"kind": "score"}, ValueError, "kind must be one of"),
        ({"scale": "odds"}, ValueError, "scale must be one of"),
        ({"level": 1.0}, ValueError, r"level must be in \(0, 0.999999\], but is 1"),
        ({"level": 0.0}, ValueError, "level must be in"),
        ({"level": "95%"}, jl.DtypeError, "level must be"),
        ({"kind": "profile", "covariance": "HC1"}, ValueError, 'for kind="wald" alone'),
        ({"kind": "bootstrap"}, ValueError, "needs a key"),
        ({"replicates": 1}, ValueError, "replicates must be at least 2"),
        (
            {"kind": "profile", "weight": Y + 1, "weights": "probability"},
            ValueError,
            'needs weights="frequency"',
        ),
        (
            {"kind": "bootstrap", "weight": Y + 1, "key": KEY},
            ValueError,
            'needs weights="probability"',
        ),
    ],
)
def test_wrong_arguments_are_refused(plain, options, error, words):
    with pytest.raises(error, match=words):
        confidence_interval(plain, X, Y, **options)


@pytest.mark.parametrize(
    ("missing", "slope", "low", "high", "expected"),
    [
        (0.5, 1.0, 0.0, np.inf, 3.5),  # Newton's step
        (0.5, 1e-3, 0.0, np.inf, 5.0),  # no longer than the longest
        (-0.5, 1e-3, 0.0, np.inf, 1.0),
        (0.5, -1.0, 0.0, np.inf, 5.0),  # nor back where rho is too small
        (1.0, 1.0, 0.0, 3.5, 3.25),  # inside the bracket, or in its middle
        (-2.9, 1.0, 2.0, 9.0, 2.5),
        (np.nan, 1.0, 0.0, np.inf, 1.0),  # what is no number goes back
    ],
)
def test_a_step_of_the_search_is_safe(missing, slope, low, high, expected):
    start = module._Search(*map(np.float64, (3.0, 0.0, low, high)), np.int32(1), 0)
    numbers = map(jnp.asarray, (missing, slope, 2.0))
    after = module._after(start, *numbers)
    assert float(after.distance) == expected
    assert after.status == jl.Status.MAX_STEPS
    assert after.fits == 1
    # The bracket holds the distance that was tried on the side where it belongs.
    sides = (3.0, high) if missing > 0 else (low, 3.0)
    assert (float(after.low), float(after.high)) == sides


def test_a_near_miss_ends_the_search_with_its_step():
    start = module._Search(*map(np.float64, (3.0, 0.0, 0.0, np.inf)), np.int32(1), 0)
    after = module._after(start, *map(jnp.asarray, (1e-8, 0.5, 2.0)))
    assert after.status == jl.Status.CONVERGED
    assert float(after.distance) == 3.0 + 2e-8
