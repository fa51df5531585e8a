"""Each law accepts what obeys it and reports a planted fault."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import testing
from jlogreg.testing import check_convex, check_gradient, check_no_retrace, check_vmap

PROBLEM = testing.make_problem("well-posed", dtype=np.float64, l2=0.1)
POINT, X, Y, L2 = PROBLEM.params, PROBLEM.X, PROBLEM.y, PROBLEM.l2
POINT_32 = jax.tree.map(np.float32, POINT)
MINIMUM = jl.fit(X, Y, l2=L2).params
AWAY = jax.tree.map(lambda leaf: leaf + 3, POINT)
ENDS = np.array([[0.0]]), np.array([[1.0]])
NEAR_1 = ENDS[0], ENDS[1] - 1e-9
Z = np.random.default_rng(2).standard_normal((4, 1, 5))
compiled_cost, compiled_gradient = jax.jit(jl.cost), jax.jit(jl.gradient)


def data_of(params):
    """Return the data in the dtype of the parameters."""
    return (part.astype(params.b.dtype) for part in (X, Y, L2))


def J(params):
    X, Y, l2 = data_of(params)
    return compiled_cost(params, X, Y, l2=l2)


def slope(params, planted=0.0, plus=0.0):
    X, Y, l2 = data_of(params)
    dw, db = compiled_gradient(params, X, Y, l2=l2)
    return jl.Params(dw * (1 + planted) + plus, db + plus)


def transposed(params):
    dw, db = slope(params)
    return jl.Params(dw.T, db)


def formula(params):
    w, b = params
    losses = np.log1p(np.exp(-(2 * Y - 1) * (w.T @ X + b)))
    return losses.mean() + L2 / 2 * np.sum(w**2)


wrong_rule = jax.custom_jvp(lambda params: J(params))


@wrong_rule.defjvp
def _(primals, tangents):
    value, along = jax.jvp(J, primals, tangents)
    return value, along * (1 + 1e-6)


def first(x):
    """Return a number by way of a method that only JAX's arrays have."""
    return jnp.sum(x.at[0, 0].multiply(3.0) ** 2)


def barrier(x):
    return np.where(x < 1, -np.log1p(-np.minimum(x, 1 - 1e-16)), np.inf).sum()


def dented(x, depth=1e-2):
    return np.sum(3 * x + depth * np.sin(np.pi * x))


def slightly_dented(x):
    return dented(x, 1e-12)


def spike(x):
    return 1.0 * (abs(x - 0.9) < 0.01).sum()


def infinite_between(x):
    return np.where(abs(x - 0.5) < 0.1, np.inf, 0).sum()


def undefined_above(x):
    return np.where(x < 0.7, x, np.nan).sum()


def with_rule(rule, f=lambda z: z):
    """Return the identity, which is another function under vmap."""
    same = jax.custom_batching.custom_vmap(f)
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


HOLD = {
    "gradient": lambda: check_gradient(J, POINT, slope, formula=formula),
    "gradient, by differences": lambda: check_gradient(J, POINT, slope),
    "gradient of JAX": lambda: check_gradient(J, POINT, formula=formula),
    "gradient of JAX, by differences": lambda: check_gradient(J, POINT),
    "gradient at 0": lambda: check_gradient(J, jl.init_params(3, float), slope),
    "gradient at the minimum": lambda: check_gradient(
        J, MINIMUM, slope, formula=formula
    ),
    "gradient within the allowed difference": lambda: check_gradient(
        J, POINT, partial(slope, planted=1e-6), formula=formula, within=2e-6
    ),
    "float32": lambda: check_gradient(J, POINT_32, slope),
    "float32, by a formula": lambda: check_gradient(
        J, POINT_32, slope, formula=formula
    ),
    "of JAX's arrays": lambda: check_gradient(first, jnp.ones((1, 2)), jax.grad(first)),
    "convex": lambda: check_convex(J, POINT, AWAY),
    "convex with a kink": lambda: check_convex(lambda x: abs(x - 0.5).sum(), *ENDS),
    "convex to infinity": lambda: check_convex(barrier, *ENDS),
    "convex near infinity": lambda: check_convex(barrier, *NEAR_1),
    "convex within the allowed difference": lambda: check_convex(
        dented, *ENDS, within=lambda x: 1e-2
    ),
    "convex of JAX's arrays": lambda: check_convex(
        first, jnp.ones((1, 2)), jnp.zeros((1, 2))
    ),
    "vmap": lambda: check_vmap(jl.sigmoid, Z),
    "vmap with a common argument": lambda: check_vmap(
        jl.log_loss, Z, 1.0 * (Z[0] > 0), in_axes=(0, None)
    ),
    "vmap with equal weights": lambda: check_vmap(weighted, Z, 0 * Z),
    "vmap of many kinds": lambda: check_vmap(of_many_kinds, Z),
    "vmap of complex numbers": lambda: check_vmap(lambda z: z, Z * (1 + 1j)),
    "vmap of integers": lambda: check_vmap(lambda z: z, np.full((3, 2), 2**60)),
    "vmap of booleans": lambda: check_vmap(lambda z: z, np.ones((3, 2), bool)),
    "no second trace": lambda: check_no_retrace(
        jax.jit(scaled), (Z, 0.5), (Z + 1, 0.25), (-Z, 3.0)
    ),
    "no second trace, by name": lambda: check_no_retrace(
        jax.jit(scaled), {"x": Z, "size": 2.0}, {"x": Z, "size": -2.0}
    ),
    "no second trace of fit": lambda: check_no_retrace(
        jax.jit(jl.fit), (X, Y), (X / 2, 1 - Y)
    ),
}


@pytest.mark.parametrize("name", HOLD)
def test_a_law_that_holds(name):
    HOLD[name]()


GRADIENTS = {
    "too far": (J, MINIMUM, partial(slope, plus=1e-9)),
    r"\.w, against jax\.grad, at \(\d": (J, POINT, partial(slope, planted=1e-6)),
    r"\.w, against jax\.grad": (J, POINT, partial(slope, planted=-1e-11)),
    "against central differences": (wrong_rule, POINT),
    "NaN": (J, POINT, partial(slope, planted=np.nan)),
    r"has \[''\], expected": (J, POINT, lambda params: slope(params).w),
    r"shape \(1, 3\), expected \(3, 1\)": (J, POINT, transposed),
}
VMAPS = [
    ("lane 0 of same under vmap, at ", lambda z: jnp.roll(z, 1), Z),
    ("lane 0 of same under vmap, at ", lambda z: jnp.add(z, 1), Z),
    ("float32 not float64", lambda z: (z * 0).astype(jnp.float32), Z),
    ("NaN", lambda z: jnp.where(z > 1, jnp.nan, z), Z),
    ("too far", lambda z: z * (1 + 1e-13), Z),
    ("lane 0 of same under vmap, at ", jnp.conj, Z * (1 + 1j)),
    ("lane 0 of same under vmap, at ", lambda z: z + 1, np.full((3, 2), 2**60)),
    ("lane 0 of same under vmap, at ", jnp.logical_not, np.ones((3, 2), bool)),
]
FAULTS = [
    *((words, check_gradient, row, {}) for words, row in GRADIENTS.items()),
    ("a complex step", check_gradient, (wrong_rule, POINT), {"formula": formula}),
    (
        "too far",
        check_gradient,
        (J, POINT_32, partial(slope, planted=1e-3)),
        {"formula": formula},
    ),
    (r"dented is not convex: 0[.]25 of", check_convex, (dented, *ENDS), {}),
    (r"dented is not convex: 0[.]25 of", check_convex, (slightly_dented, *ENDS), {}),
    ("nan", check_convex, (undefined_above, *ENDS), {}),
    (r"0[.]9 of the way", check_convex, (spike, *ENDS), {"at": [0.1, 0.9]}),
    ("above the chord", check_convex, (lambda x: -barrier(x), *NEAR_1), {}),
    ("is inf, above the chord", check_convex, (infinite_between, *ENDS), {}),
    *((words, check_vmap, (with_rule(rule), z), {}) for words, rule, z in VMAPS),
    ("lane 1 of weighted under vmap, at ", check_vmap, (weighted, Z, Z + 1), {}),
]


@pytest.mark.parametrize(("words", "check", "arguments", "options"), FAULTS)
def test_a_fault_is_reported(words, check, arguments, options):
    with pytest.raises(AssertionError, match=words):
        check(*arguments, **options)


def test_roundings_do_not_make_a_line_concave():
    for slope in np.linspace(-3, 3, 100):
        check_convex(lambda x, slope=slope: np.sum(slope * x + 0.1), *ENDS)


def test_a_formula_that_drops_the_imaginary_part_is_refused():
    with pytest.raises(TypeError, match="returns float64 of complex numbers"):
        check_gradient(J, POINT, formula=lambda params: np.abs(params.w).sum())


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


@jax.jit
def total_size(x):
    return jnp.abs(x).sum()


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_kink_nearby_is_allowed_and_hides_no_fault(dtype, seed):
    """Where differences look across it."""
    h = float(np.finfo(dtype).eps) ** 0.2
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


# --- check_no_retrace -----------------------------------------------------------------


def scaled(x, size):
    return x * size


def own_scaled(x, size):  # JAX keeps traces by function: no other test may share it
    return x * size


def of_another_shape(x, size):
    return jnp.ones((int(4 * size), 1)) + x[0]


static = jax.jit(scaled, static_argnames="size")
RETRACED = [
    static,
    of_another_shape,
    lambda x, size: jax.jit(lambda: x * size)(),
    lambda x, size: jax.grad(lambda x: static(x, size).sum())(x),
    lambda x, size: jax.vmap(lambda x: static(x, size))(x),
    lambda x, size: jax.grad(jax.jit(lambda x: (x * size).sum()))(x),
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
