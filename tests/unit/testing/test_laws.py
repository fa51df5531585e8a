"""Each law accepts what obeys it and reports a planted fault."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg.testing import check_convex, check_gradient, check_no_retrace, check_vmap

POINT = jl.Params(np.array([[0.5], [-1.5], [2.0]]), np.array([[0.25]]))
POINT_32 = jax.tree.map(np.float32, POINT)
MINIMUM = jax.tree.map(np.zeros_like, POINT)
ENDS = np.array([[0.0]]), np.array([[1.0]])
NEAR_1 = ENDS[0], ENDS[1] - 1e-9
OF_JAX = jnp.ones((1, 2)), jnp.zeros((1, 2))
Z = np.random.default_rng(2).standard_normal((4, 1, 5))
BIG = np.full((3, 2), 2**60)


# --- check_gradient -------------------------------------------------------------------


def bowl(params):
    """Return a convex function, of complex numbers too."""
    w, b = params
    return (w**4).sum() + ((w.sum() + b) ** 2).sum()


def slope(params, planted=0.0, plus=0.0):
    w, b = params
    db = 2 * (w.sum() + b)
    return jl.Params((4 * w**3 + db) * (1 + planted) + plus, db + plus)


def wrong_slope(planted=0.0, plus=0.0):
    return partial(slope, planted=planted, plus=plus)


def transposed(params):
    dw, db = slope(params)
    return jl.Params(dw.T, db)


wrong_rule = jax.custom_jvp(bowl)


@wrong_rule.defjvp
def _(primals, tangents):
    value, along = jax.jvp(bowl, primals, tangents)
    return value, along * (1 + 1e-6)


def first(x):
    """Return a number by way of a method that only JAX's arrays have."""
    return jnp.sum(x.at[0, 0].multiply(3.0) ** 2)


@pytest.mark.parametrize("point", [POINT, POINT_32, MINIMUM])
def test_a_gradient_is_accepted(point):
    check_gradient(bowl, point, slope, formula=bowl)
    check_gradient(bowl, point, slope)
    check_gradient(bowl, point)
    check_gradient(bowl, point, wrong_slope(1e-6), within=2e-4)
    check_gradient(first, OF_JAX[0], jax.grad(first))


@pytest.mark.parametrize(
    ("words", "point", "gradient"),
    [
        ("too far", MINIMUM, wrong_slope(plus=1e-9)),
        (r"\.w, against jax\.grad, at \(\d", POINT, wrong_slope(1e-6)),
        (r"\.w, against jax\.grad", POINT, wrong_slope(-1e-11)),
        ("too far", POINT_32, wrong_slope(1e-3)),
        ("NaN", POINT, wrong_slope(np.nan)),
        (r"has \[''\], expected", POINT, lambda params: slope(params).w),
        (r"shape \(1, 3\), expected \(3, 1\)", POINT, transposed),
    ],
)
def test_a_wrong_gradient_is_reported(words, point, gradient):
    with pytest.raises(AssertionError, match=words):
        check_gradient(bowl, point, gradient, formula=bowl)


@pytest.mark.parametrize(
    ("words", "options"),
    [("against central differences", {}), ("a complex step", {"formula": bowl})],
)
def test_a_wrong_rule_is_reported(words, options):
    with pytest.raises(AssertionError, match=words):
        check_gradient(wrong_rule, POINT, **options)


def test_a_formula_that_drops_the_imaginary_part_is_refused():
    with pytest.raises(TypeError, match="returns float64 of complex numbers"):
        check_gradient(bowl, POINT, formula=lambda params: np.abs(params.w).sum())


@jax.jit
def total_size(x):
    return jnp.abs(x).sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_kink_nearby_is_allowed_and_hides_no_fault(dtype):
    """Where differences look across it."""
    h = float(np.finfo(dtype).eps) ** 0.2
    for seed in range(10):
        x = np.random.default_rng(seed).uniform(-5 * h, 5 * h, (1, 3)).astype(dtype)
        check_gradient(total_size, x, jnp.sign)
        with pytest.raises(AssertionError, match="too far"):
            check_gradient(total_size, x + 1, lambda x: jnp.sign(x) * 1.01)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_domain_may_end_nearby(dtype):
    def logs(x):
        with np.errstate(all="ignore"):
            return np.log(x).sum()

    x = np.array([[1e-3, 2.0]], dtype)
    check = partial(check_gradient, lambda x: jnp.log(x).sum(), x)
    check(lambda x: 1 / x, formula=logs)
    check(lambda x: 1 / x)
    with pytest.raises(AssertionError, match="too far"):
        check(lambda x: 1.1 / x)


# --- check_convex ---------------------------------------------------------------------


def barrier(x):
    return np.where(x < 1, -np.log1p(-np.minimum(x, 1 - 1e-16)), np.inf).sum()


def dented(x, depth=1e-2):
    return np.sum(3 * x + depth * np.sin(np.pi * x))


def test_convex_functions_are_accepted():
    check_convex(bowl, POINT, jax.tree.map(lambda leaf: leaf + 3, POINT))
    check_convex(lambda x: abs(x - 0.5).sum(), *ENDS)
    check_convex(barrier, *ENDS)  # to infinity
    check_convex(barrier, *NEAR_1)
    check_convex(dented, *ENDS, within=lambda x: 1e-2)
    check_convex(first, *OF_JAX)
    for slope in np.linspace(-3, 3, 100):  # roundings do not make a line concave
        check_convex(lambda x, slope=slope: np.sum(slope * x + 0.1), *ENDS)


@pytest.mark.parametrize(
    ("words", "f", "ends"),
    [
        (r"dented is not convex: 0[.]25 of", dented, ENDS),
        (r"is not convex: 0[.]25 of", partial(dented, depth=1e-12), ENDS),
        ("nan", lambda x: np.where(x < 0.7, x, np.nan).sum(), ENDS),
        (r"0[.]9 of the way", lambda x: 1.0 * (abs(x - 0.9) < 0.01).sum(), ENDS),
        ("above the chord", lambda x: -barrier(x), NEAR_1),
        (
            "is inf, above the chord",
            lambda x: np.where(abs(x - 0.5) < 0.1, np.inf, 0).sum(),
            ENDS,
        ),
    ],
)
def test_a_function_above_its_chord_is_reported(words, f, ends):
    with pytest.raises(AssertionError, match=words):
        check_convex(f, *ends, at=[0.25, 0.5, 0.75, 0.9])


# --- check_vmap -----------------------------------------------------------------------


def with_rule(rule):
    """Return the identity, which is another function under vmap."""
    same = jax.custom_batching.custom_vmap(lambda z: z)
    same.__name__ = "same"
    same.def_vmap(lambda size, mapped, z: (rule(z), mapped[0]))
    return same


@jax.custom_batching.custom_vmap
def weighted(z, weight):
    return z * weight


# Each problem has a row of weights, but all are given that of the first.
weighted.def_vmap(lambda size, mapped, z, weight: (z * weight[:1], True))


def of_many_kinds(z):
    """Return NaN, infinities, integers, Python numbers and an empty array."""
    special = {"log": jnp.log(z), "over": 1 / (z * 0), "sign": jnp.sign(z).astype(int)}
    return special | {"loss": jnp.sum(z), "m": z.shape[1], "half": 0.5, "none": z[:0]}


def test_functions_of_their_own_entry_are_accepted():
    check_vmap(jl.log_loss, Z, 1.0 * (Z[0] > 0), in_axes=(0, None))
    check_vmap(weighted, Z, 0 * Z)
    check_vmap(of_many_kinds, Z)
    for z in (Z, Z * (1 + 1j), BIG, BIG > 0):
        check_vmap(lambda z: z, z)


@pytest.mark.parametrize(
    ("words", "rule", "z"),
    [
        ("lane 0 of same under vmap, at ", lambda z: z + 1, Z),
        ("lane 0 of same under vmap, at ", jnp.conj, Z * (1 + 1j)),
        ("lane 0 of same under vmap, at ", lambda z: z + 1, BIG),
        ("lane 0 of same under vmap, at ", jnp.logical_not, BIG > 0),
        ("float32 not float64", lambda z: (z * 0).astype(jnp.float32), Z),
        ("NaN", lambda z: jnp.where(z > 1, jnp.nan, z), Z),
        ("too far", lambda z: z * (1 + 1e-13), Z),
    ],
)
def test_another_function_under_vmap_is_reported(words, rule, z):
    with pytest.raises(AssertionError, match=words):
        check_vmap(with_rule(rule), z)


def test_a_part_of_another_entry_is_reported():
    with pytest.raises(AssertionError, match="lane 1 of weighted under vmap, at "):
        check_vmap(weighted, Z, Z + 1)


def as_float32(x):
    return jnp.sum(jnp.sin(jnp.asarray(x, jnp.float32)))


@pytest.mark.parametrize("x64", [False, True])
def test_the_dtype_in_which_a_function_computes_counts(x64):
    x = np.array([[0.3, 0.7]])
    with jax.enable_x64(x64):
        check_vmap(of_many_kinds, Z)
        for known in (np.cos, lambda x: np.cos(x).astype(np.float32)):
            check_gradient(as_float32, x, known, formula=lambda x: np.sin(x).sum())
            check_gradient(as_float32, x, known)
        check_convex(lambda x: jnp.sum(jnp.asarray(x, jnp.float32) * 0.3), x, x + 1)
        with pytest.raises(AssertionError, match="too far"):
            check_gradient(as_float32, x, lambda x: np.cos(x) * (1 + 1e-3))


# --- check_no_retrace -----------------------------------------------------------------


def scaled(x, size):
    return x * size


def test_a_compiled_function_is_traced_once():
    check_no_retrace(jax.jit(scaled), (Z, 0.5), (Z + 1, 0.25), (-Z, 3.0))
    by_name = {"x": Z[0], "size": 2.0}, {"x": Z[0], "size": -2.0}
    check_no_retrace(jax.jit(scaled), *by_name)


def own_scaled(x, size):  # JAX keeps traces by function: no other test may share it
    return x * size


static = jax.jit(scaled, static_argnames="size")
RETRACED = [
    static,
    lambda x, size: jax.jit(lambda: x * size)(),
    lambda x, size: jax.grad(lambda x: static(x, size).sum())(x),
    lambda x, size: jax.vmap(lambda x: static(x, size))(x),
]


@pytest.mark.parametrize("number", range(len(RETRACED)))
def test_a_second_trace_is_reported(number):
    # Each has numbers of its own: JAX keeps the programs compiled for others.
    calls = [(Z, 0.5 + number / 8 + by) for by in (0, 20, 40)]
    with pytest.raises(AssertionError, match=r"^other numbers, call [12], trace"):
        check_no_retrace(RETRACED[number], *calls)


def test_a_python_number_that_becomes_an_array_is_reported():
    array = np.asarray(0.25)  # its dtype is float64, that of a Python number is weak
    with pytest.raises(AssertionError, match=r"call 1, trace own_scaled again[.] Is"):
        check_no_retrace(jax.jit(own_scaled), (Z, 0.5), (Z, array))
