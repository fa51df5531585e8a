"""The kinds of problems are what they say, and each law catches a planted fault."""

import ast
import dataclasses
import sys
from collections import namedtuple
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import jlogreg.testing
from jlogreg import (
    Params,
    Status,
    broadcast_shape,
    cost,
    fit,
    gradient,
    init_params,
    log_loss,
    sigmoid,
)
from jlogreg.testing import (
    Kind,
    broadcastable_shapes,
    check_convex,
    check_gradient,
    check_no_retrace,
    check_rank_discipline,
    check_solver,
    check_vmap,
    make_problem,
    matrices,
    parameters,
    problems,
)
from jlogreg.testing.problems import can_be
from jlogreg.testing.solvers import solvable, unsolvable
from jlogreg.testing.strategies import SHAPES

LAWS = Path(jlogreg.testing.__file__).parent
FEW = settings(max_examples=25)
CASES = [(kind, shape) for kind in Kind for shape in SHAPES if can_be(kind, shape)]
OVERLAPPING = {Kind.WELL_POSED, Kind.COLLINEAR, Kind.CONSTANT_COLUMN}


# --- problems -------------------------------------------------------------------------


def with_ones(problem):
    """Return X with a row of ones below, of the samples that count."""
    X = np.vstack([problem.X, np.ones_like(problem.y)]).astype(float)
    return X[:, problem.weight[0] > 0]


def separation(problem):
    """Return how far planes separate the labels, by two linear programs.

    With s = 2 y - 1: "complete" if some plane has s z >= 1 everywhere, "quasi" if some
    has s z >= 0 everywhere and more somewhere, else "none".
    """
    s = 2 * problem.y[:, problem.weight[0] > 0].astype(float) - 1
    A = -(s * with_ones(problem)).T
    zeros, limits = np.zeros(A.shape[0]), [(-1, 1)] * A.shape[1]
    strict = linprog(np.zeros(A.shape[1]), A, zeros - 1, bounds=(None, None))
    if strict.status == 0:
        return "complete"
    return (
        "quasi" if linprog(A.sum(axis=0), A, zeros, bounds=limits).fun < -1e-6 else ""
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_a_kind_is_what_it_says(kind, shape, dtype):
    for seed in range(4):
        problem = make_problem(kind, shape, dtype, seed=seed, weighted=seed % 2 == 1)
        w, X, y = problem.params.w, problem.X, problem.y
        assert (X.shape, y.shape) == (shape, (1, shape[1]))
        assert {leaf.dtype for leaf in jax.tree.leaves(problem)} == {np.dtype(dtype)}
        if kind in OVERLAPPING:
            assert separation(problem) == ""
        if kind == Kind.WELL_POSED:
            assert np.linalg.matrix_rank(with_ones(problem)) == shape[0] + 1
        if kind in (Kind.COLLINEAR, Kind.CONSTANT_COLUMN):
            assert np.linalg.matrix_rank(with_ones(problem)) == shape[0]
        if kind == Kind.COLLINEAR:
            assert (X[1] == 2 * X[0]).all()
        if kind == Kind.CONSTANT_COLUMN:
            assert (X[0] == X[0, 0]).all()
        if kind == Kind.ONE_CLASS:
            assert len(np.unique(y)) == 1
        if kind == Kind.SEPARABLE:
            assert separation(problem) == "complete"
            assert len(np.unique(y)) == 2
        if kind == Kind.QUASI_SEPARABLE:
            assert separation(problem) == "quasi"
        if kind == Kind.SOFT_LABELS:
            assert ((y > 0) & (y < 1)).all()
        if kind == Kind.ILL_SCALED:
            sizes = np.abs(with_ones(problem)).max(axis=1)
            assert sizes.max() / sizes.min() > 1e2
        if kind == Kind.ZERO_START:
            assert not any(leaf.any() for leaf in problem.params)
        if kind == Kind.HUGE_LOGITS:
            assert 99 <= np.abs(w.T @ X).max() <= 10_001


def test_weights_are_drawn_where_they_are_asked_for():
    plain, weighted = (make_problem(weighted=given) for given in (False, True))
    assert (plain.weight == 1).all()
    assert not plain.offset.any()
    drawn = [make_problem("weighted", seed=seed) for seed in range(20)]
    assert {0.0, 0.5, 1.0, 2.0, 3.0} == {
        float(weight) for problem in drawn for weight in problem.weight.flat
    }
    assert any(problem.offset.any() for problem in drawn)
    assert len(np.unique(weighted.weight)) > 2


fitted = jax.jit(fit)


@pytest.mark.parametrize(
    ("kind", "due"),
    [
        (Kind.WELL_POSED, {Status.CONVERGED}),
        (Kind.COLLINEAR, {Status.SINGULAR}),
        (Kind.CONSTANT_COLUMN, {Status.SINGULAR}),
        (Kind.ONE_CLASS, {Status.SEPARATED}),
        (Kind.SEPARABLE, {Status.SEPARATED}),
        (Kind.QUASI_SEPARABLE, {Status.DIVERGED, Status.SINGULAR, Status.MAX_STEPS}),
    ],
)
def test_a_fit_ends_as_the_kind_demands(kind, due):
    for seed in range(20):
        problem = make_problem(kind, (3, 20), np.float64, seed=seed)
        assert Status(int(fitted(problem.X, problem.y).status)) in due


def test_what_there_is_not_is_refused():
    with pytest.raises(
        ValueError, match=r"no problem of shape \(30, 6\) is well-posed"
    ):
        make_problem("well-posed", (30, 6))
    with pytest.raises(ValueError, match="no problem of these shapes is separable"):
        problems("separable", shapes=[(3, 1)])
    with pytest.raises(ValueError, match="'hard' is not a valid Kind"):
        problems("hard")


# --- strategies -----------------------------------------------------------------------


def test_every_kind_shape_and_dtype_is_drawn():
    seen = set()

    @settings(max_examples=300)
    @given(problems())
    def draw(problem):
        for leaf in jax.tree.leaves(problem):
            size = np.abs(leaf[leaf != 0])
            assert (size >= np.finfo(leaf.dtype).tiny).all()  # none is subnormal
        seen.add((problem.X.shape, problem.X.dtype.name, bool(problem.l2)))
        seen.add(bool(problem.offset.any()))

    draw()
    assert len(seen) == len(SHAPES) * 2 * 2 + 2


def test_without_x64_nothing_is_drawn_that_jax_would_round():
    with jax.enable_x64(False):
        strategies = matrices(), parameters(), problems()

    @FEW
    @given(st.tuples(*strategies))
    def check(drawn):
        assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(drawn))

    check()


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_matrices_and_parameters_have_the_shape_and_scale_asked_for(scale):
    @FEW
    @given(matrices([(2, 30)], [np.float64], [scale]), parameters([40], scales=[scale]))
    def check(A, params):
        assert (A.shape, A.dtype) == ((2, 30), np.float64)
        assert (params.w.shape, params.b.shape) == ((40, 1), (1, 1))
        assert all(scale / 4 < leaf.std() < 4 * scale for leaf in (A, params.w))

    check()


@pytest.mark.parametrize("count", [1, 3])
def test_shapes_broadcast(count):
    @FEW
    @given(broadcastable_shapes(count))
    def check(shapes):
        assert len(shapes) == count
        assert broadcast_shape(*shapes) == np.broadcast_shapes(*shapes)

    check()
    for form in [(3, 4), (1, 4), (3, 1), ()]:  # each is found
        find(broadcastable_shapes(), lambda shapes, form=form: form in shapes)


def test_without_hypothesis_the_error_says_what_to_install(monkeypatch):
    for name in [*sys.modules]:
        if name.startswith("jlogreg.testing"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match=r'pip install "jlogreg\[testing\]"'):
        __import__("jlogreg.testing")


@pytest.mark.parametrize("path", sorted(LAWS.glob("*.py")), ids=lambda path: path.name)
def test_laws_hold_where_python_leaves_asserts_out(path):
    nodes = ast.walk(ast.parse(path.read_text()))
    assert not any(isinstance(node, ast.Assert) for node in nodes)


# --- check_gradient -------------------------------------------------------------------

POINT = make_problem("well-posed", dtype=np.float64, l2=0.1)
compiled_cost, compiled_gradient = jax.jit(cost), jax.jit(gradient)


def J(params):
    return compiled_cost(params, POINT.X, POINT.y, l2=POINT.l2)


def slope(params, planted=0.0):
    dw, db = compiled_gradient(params, POINT.X, POINT.y, l2=POINT.l2)
    return Params(dw * (1 + planted), db)


def formula(params):
    w, b = params
    s = 2 * POINT.y - 1
    return np.log1p(np.exp(-s * (w.T @ POINT.X + b))).mean() + POINT.l2 / 2 * np.sum(
        w**2
    )


@pytest.mark.parametrize("start", [POINT.params, init_params(3, float)])
@pytest.mark.parametrize("known", [formula, None])
def test_a_right_gradient_passes(known, start):
    check_gradient(J, start, slope, formula=known)
    check_gradient(J, start, formula=known)


def test_at_the_minimum_the_gradient_is_0_and_may_be_rounded():
    found = fit(POINT.X, POINT.y, l2=POINT.l2)
    check_gradient(J, found.params, slope, formula=formula)
    wrong = partial(jax.tree.map, lambda leaf: leaf + 1e-9)
    with pytest.raises(AssertionError, match="too far"):
        check_gradient(J, found.params, lambda params: wrong(slope(params)))


@pytest.mark.parametrize("planted", [1e-6, -1e-11])
def test_a_wrong_gradient_is_caught(planted):
    wrong = partial(slope, planted=planted)
    with pytest.raises(
        AssertionError, match=r"gradient\.w, against jax\.grad, at \(\d"
    ):
        check_gradient(J, POINT.params, wrong)
    check_gradient(J, POINT.params, wrong, formula=formula, within=2 * abs(planted))


@jax.custom_jvp
def crooked(params):
    return J(params)


@crooked.defjvp
def _(primals, tangents):
    value, along = jax.jvp(J, primals, tangents)
    return value, along * (1 + 1e-6)


@pytest.mark.parametrize(
    ("known", "oracle"), [(formula, "a complex step"), (None, "central differences")]
)
def test_a_wrong_rule_that_autodiff_follows_is_caught(known, oracle):
    with pytest.raises(AssertionError, match=f"against {oracle}"):
        check_gradient(crooked, POINT.params, formula=known)


def test_a_gradient_of_float32_is_held_to_float32():
    X, y, l2 = (np.float32(part) for part in (POINT.X, POINT.y, POINT.l2))
    point = jax.tree.map(np.float32, POINT.params)

    def slope(params, planted=0.0):
        dw, db = compiled_gradient(params, X, y, l2=l2)
        return Params(dw * (1 + planted), db)

    check = partial(
        check_gradient, lambda params: compiled_cost(params, X, y, l2=l2), point
    )
    check(slope)
    check(slope, formula=formula)
    with pytest.raises(AssertionError, match="too far"):
        check(partial(slope, planted=1e-3), formula=formula)


def test_a_gradient_that_is_nan_or_of_another_form_is_caught():
    with pytest.raises(AssertionError, match="NaN"):
        check_gradient(J, POINT.params, partial(slope, planted=np.nan))
    with pytest.raises(AssertionError, match=r"has \[''\], due"):
        check_gradient(J, POINT.params, lambda params: slope(params).w, within=1.0)
    turned = slope(POINT.params)
    turned = turned._replace(w=turned.w.T)
    with pytest.raises(AssertionError, match=r"shape \(1, 3\), due \(3, 1\)"):
        check_gradient(J, POINT.params, lambda params: turned, within=1.0)


def test_a_formula_that_drops_what_is_imaginary_is_refused():
    with pytest.raises(TypeError, match="returns float64 of complex numbers"):
        check_gradient(J, POINT.params, formula=lambda params: np.abs(params.w).sum())


def narrow(x):
    return jnp.sum(jnp.sin(jnp.asarray(x, jnp.float32)))


@pytest.mark.parametrize("x64", [False, True])
def test_what_computes_in_less_than_it_is_given_is_held_to_that(x64):
    x = np.array([[0.3, 0.7]])
    with jax.enable_x64(x64):
        for known in (np.cos, lambda x: np.cos(x).astype(np.float32)):
            check_gradient(narrow, x, known, formula=lambda x: np.sin(x).sum())
            check_gradient(narrow, x, known)
        check_convex(lambda x: jnp.sum(jnp.asarray(x, jnp.float32) * 0.3), x, x + 1)
        with pytest.raises(AssertionError, match="too far"):
            check_gradient(narrow, x, lambda x: np.cos(x) * (1 + 1e-3))


@jax.jit
def total_size(x):
    return jnp.abs(x).sum()


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_bend_nearby_is_no_mistake_and_hides_none(dtype, seed):
    """Where differences look across it."""
    h = float(np.finfo(dtype).eps) ** 0.2
    x = np.random.default_rng(seed).uniform(-5 * h, 5 * h, (1, 3)).astype(dtype)
    check_gradient(total_size, x, jnp.sign)
    with pytest.raises(AssertionError, match="too far"):
        check_gradient(total_size, x + 1, lambda x: jnp.sign(x) * 1.01)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_function_may_end_nearby(dtype):
    x = np.array([[1e-3, 2.0]], dtype)

    def logs(x):
        with np.errstate(all="ignore"):
            return np.log(x).sum()

    check_gradient_of_logs = partial(check_gradient, lambda x: jnp.log(x).sum(), x)
    check_gradient_of_logs(lambda x: 1 / x, formula=logs)
    check_gradient_of_logs(lambda x: 1 / x)
    with pytest.raises(AssertionError, match="too far"):
        check_gradient_of_logs(lambda x: 1.1 / x)


def test_a_function_of_jax_arrays_is_given_these():
    def first(x):
        return jnp.sum(x.at[0, 0].multiply(3.0) ** 2)

    check_gradient(first, jnp.ones((1, 2)), jax.grad(first))
    check_convex(first, jnp.ones((1, 2)), jnp.zeros((1, 2)))


# --- check_convex ---------------------------------------------------------------------

AWAY = jax.tree.map(lambda leaf: leaf + 3, POINT.params)
ENDS = np.array([[0.0]]), np.array([[1.0]])


def test_a_convex_function_passes():
    check_convex(J, POINT.params, AWAY)
    check_convex(lambda x: np.abs(x - 0.5).sum(), *ENDS)
    for slope in np.linspace(-3, 3, 100):  # roundings alone are above or below
        check_convex(lambda x, slope=slope: np.sum(slope * x + 0.1), *ENDS)


@pytest.mark.parametrize("depth", [1e-2, 1e-12])
def test_a_concave_dent_is_caught(depth):
    def dented(x):
        return np.sum(3 * x + depth * np.sin(np.pi * x))

    with pytest.raises(
        AssertionError, match=r"dented is not convex: 0[.]25 of the way"
    ):
        check_convex(dented, *ENDS)
    check_convex(dented, *ENDS, within=lambda x: depth)


def test_what_is_nan_or_concave_elsewhere_is_caught():
    with pytest.raises(AssertionError, match="nan"):
        check_convex(lambda x: np.where(x < 0.7, x, np.nan).sum(), *ENDS)
    with pytest.raises(AssertionError, match=r"0[.]9 of the way"):
        check_convex(lambda x: 1.0 * (abs(x - 0.9) < 0.01).sum(), *ENDS, at=[0.1, 0.9])


def test_a_convex_function_may_be_infinite_and_end_nearby():
    def barrier(x):
        return np.where(x < 1, -np.log1p(-np.minimum(x, 1 - 1e-16)), np.inf).sum()

    check_convex(barrier, ENDS[0], ENDS[1])
    check_convex(barrier, ENDS[0], ENDS[1] - 1e-9)
    with pytest.raises(AssertionError, match="above the chord"):
        check_convex(lambda x: -barrier(x), ENDS[0], ENDS[1] - 1e-9)
    with pytest.raises(AssertionError, match="is inf, above the chord"):
        check_convex(lambda x: np.where(abs(x - 0.5) < 0.1, np.inf, 0).sum(), *ENDS)


# --- check_vmap -----------------------------------------------------------------------

LANES = np.random.default_rng(2).standard_normal((4, 1, 5))


def test_lanes_that_are_alone_pass():
    check_vmap(sigmoid, LANES)
    check_vmap(log_loss, LANES, 1.0 * (LANES[0] > 0), in_axes=(0, None))


@pytest.mark.parametrize("function", [jnp.roll, jnp.add])
def test_a_lane_that_sees_another_is_caught(function):
    @jax.custom_batching.custom_vmap
    def same(z):
        return z

    same.def_vmap(lambda size, mapped, z: (function(z, 1), mapped[0]))
    with pytest.raises(AssertionError, match="lane 0 of same under vmap, at "):
        check_vmap(same, LANES)


def test_an_argument_that_is_repeated_across_lanes_is_caught():
    """A row of weights a lane, of which all lanes are given the first."""

    @jax.custom_batching.custom_vmap
    def weighted(z, weight):
        return z * weight

    weighted.def_vmap(lambda size, mapped, z, weight: (z * weight[:1], True))
    with pytest.raises(AssertionError, match="lane 1 of weighted under vmap, at "):
        check_vmap(weighted, LANES, LANES + 1)
    check_vmap(weighted, LANES, 0 * LANES)


@pytest.mark.parametrize(
    ("planted", "match"),
    [
        (lambda z: (z * 0).astype(jnp.float32), "float32 not float64"),
        (lambda z: jnp.where(z > 1, jnp.nan, z), "NaN"),
        (lambda z: z * (1 + 1e-13), "too far"),
    ],
)
def test_lanes_of_another_dtype_or_with_nan_are_caught(planted, match):
    @jax.custom_batching.custom_vmap
    def same(z):
        return z

    same.def_vmap(lambda size, mapped, z: (planted(z), mapped[0]))
    with pytest.raises(AssertionError, match=match):
        check_vmap(same, LANES)


def test_nan_infinities_and_whole_numbers_must_be_the_same():
    def odd(z):
        return {"log": jnp.log(z), "over": 1 / (z * 0), "sign": jnp.sign(z).astype(int)}

    check_vmap(odd, LANES)


@pytest.mark.parametrize(
    ("lanes", "planted"),
    [
        (LANES * (1 + 1j), lambda z: z.conj()),
        (np.full((3, 2), 2**60), lambda z: z + 1),
        (np.ones((3, 2), bool), jnp.logical_not),
    ],
)
def test_lanes_of_other_numbers_than_real_ones_are_compared(lanes, planted):
    @jax.custom_batching.custom_vmap
    def same(z):
        return z

    check_vmap(lambda z: z, lanes)
    same.def_vmap(lambda size, mapped, z: (planted(z), mapped[0]))
    with pytest.raises(AssertionError, match="lane 0 of same under vmap, at "):
        check_vmap(same, lanes)


@pytest.mark.parametrize("x64", [False, True])
def test_a_lane_may_return_a_python_number_and_nothing(x64):
    def described(z):
        return {"loss": jnp.sum(z), "m": z.shape[1], "half": 0.5, "none": z[:0]}

    with jax.enable_x64(x64):
        check_vmap(described, LANES)


# --- check_no_retrace -----------------------------------------------------------------


def scaled(x, size):
    return x * size


def test_other_numbers_that_trace_nothing_pass():
    compiled = jax.jit(scaled)
    check_no_retrace(compiled, (LANES, 0.5), (LANES + 1, 0.25), (-LANES, 3.0))
    check_no_retrace(compiled, {"x": LANES, "size": 2.0}, {"x": LANES, "size": -2.0})
    check_no_retrace(jax.jit(fit), (POINT.X, POINT.y), (POINT.X / 2, 1 - POINT.y))


FUNCTIONS = {
    "static": jax.jit(scaled, static_argnames="size"),
    "compiled in each call": lambda x, size: jax.jit(lambda: x * size)(),
    "of another shape": lambda x, size: jnp.ones((int(4 * size), 1)) + x[0],
    "static under grad": lambda x, size: jax.grad(
        lambda x: FUNCTIONS["static"](x, size).sum()
    )(x),
    "static under vmap": lambda x, size: jax.vmap(
        lambda x: FUNCTIONS["static"](x, size)
    )(x),
    "compiled in each call, under grad": lambda x, size: jax.grad(
        jax.jit(lambda x: (x * size).sum())
    )(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_traced_again_is_caught(name):
    # Each has numbers of its own: JAX keeps what it has compiled for others.
    first, *others = [(LANES, 0.5 + len(name) / 8 + by) for by in (0, 20, 40)]
    with pytest.raises(AssertionError, match=r"^other numbers, call [12], trace"):
        check_no_retrace(FUNCTIONS[name], first, *others)


def test_a_python_number_that_becomes_an_array_is_caught():
    def own(x, size):  # JAX keeps what it has traced by function: no test may share it
        return scaled(x, size)

    array = np.asarray(0.25)  # its dtype is float64, that of a Python number is weak
    with pytest.raises(AssertionError, match=r"call 1, trace own again[.] Is"):
        check_no_retrace(jax.jit(own), (LANES, 0.5), (LANES, array))


# --- check_rank_discipline ------------------------------------------------------------

DATA = {"params": POINT.params, "X": POINT.X, "y": POINT.y}


def check_y(z, y, let=lambda y: False):
    if y.ndim != 2 and not let(y):
        raise ValueError(f"y has rank {y.ndim}")
    if z.shape != y.shape and not let(y):
        raise ValueError("shapes differ")
    return z.sum() * y.sum()


@pytest.mark.parametrize("matrices", [None, ["params.w", "params.b", "X", "y"]])
def test_a_strict_function_passes(matrices):
    check_rank_discipline(
        cost,
        DATA,
        matrices,
        message=r"^({name}|w|b) has rank {rank}".replace("({name}|", r"(\S+|"),
    )


@pytest.mark.parametrize(
    ("let", "match"),
    [
        (lambda y: y.ndim == 0, r"takes y of rank 0, shape \(\), in mode eager"),
        (lambda y: y.ndim == 1, r"takes y of rank 1, shape \(5,\), in mode eager"),
        (lambda y: y.ndim == 3, r"takes y of rank 3, shape \(1, 1, 5\), in mode eager"),
        (lambda y: y.shape == (5, 1), r"takes y of rank 2, shape \(5, 1\), in mode"),
        (
            lambda y: y.ndim == 1 and isinstance(y, jax.core.Tracer),
            r"takes y of rank 1, shape \(5,\), in mode jit",
        ),
        (
            lambda y: y.ndim == 1 and "Batch" in type(y).__name__,
            r"takes y of rank 1, shape \(5,\), in mode vmap",
        ),
    ],
)
def test_an_array_that_is_let_through_is_caught(let, match):
    rows = {"z": LANES[0], "y": LANES[1]}
    check_rank_discipline(check_y, rows, ["y"])
    with pytest.raises(AssertionError, match=match):
        check_rank_discipline(partial(check_y, let=let), rows, ["y"])


def test_an_error_that_says_something_else_is_caught():
    rows = {"z": LANES[0], "y": LANES[1]}
    with pytest.raises(AssertionError, match=r"refuses z of rank 0.* AttributeError"):
        check_rank_discipline(lambda z, y: z + y if z.ndim else z.nothing, rows)
    with pytest.raises(
        AssertionError, match=r"not by a ValueError that matches '.*z.*'"
    ):
        check_rank_discipline(lambda z, y: check_y(y, z), rows, ["z"])


def test_elements_may_be_numbers_and_what_is_free_may_be_turned():
    check_rank_discipline(sigmoid, {"z": LANES[0]}, [], elements=["z"], free=["z"])
    with pytest.raises(AssertionError, match=r"takes z of rank 0"):
        check_rank_discipline(sigmoid, {"z": LANES[0]}, free=["z"])
    with pytest.raises(AssertionError, match=r"takes z of rank 2, shape \(5, 1\)"):
        check_rank_discipline(sigmoid, {"z": LANES[0]}, [], elements=["z"])


def strict_sum(z, y):
    """Be strict about rows of five."""
    for name, array in {"z": z, "y": y}.items():
        if jnp.shape(array) != (1, 5):
            raise ValueError(f"{name} has rank {jnp.ndim(array)}")
    return z.sum() + y.sum()


@dataclasses.dataclass
class Rows:
    z: np.ndarray
    y: np.ndarray


ROWS = {"z": LANES[0], "y": LANES[1]}


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (dict, lambda rows: rows),
        (Rows, vars),
        (Row := namedtuple("Row", "z y"), Row._asdict),
    ],
)
def test_arrays_that_an_argument_holds_are_found(make, read):
    rows = {"rows": make(**ROWS)}
    check_rank_discipline(lambda rows: strict_sum(**read(rows)), rows, message="{rank}")
    with pytest.raises(AssertionError, match=r"takes rows[.]z of rank 0"):
        check_rank_discipline(lambda rows: sum(map(jnp.sum, read(rows).values())), rows)


def test_what_refuses_everything_is_caught():
    def refuse(z, y):
        raise ValueError("z and y are bad")

    with pytest.raises(
        AssertionError, match=r"refuses the arguments as they are, by ValueError 'z and"
    ):
        check_rank_discipline(refuse, ROWS)


def test_a_check_of_nothing_and_of_no_mode_is_refused():
    flat = {"z": LANES[0, 0]}
    with pytest.raises(ValueError, match="nothing to check"):
        check_rank_discipline(lambda z: z.sum(), flat)
    with pytest.raises(ValueError, match=r"modes may be .*, not \['hasty'\]"):
        check_rank_discipline(strict_sum, ROWS, modes=["eager", "hasty"])


def test_the_error_may_be_any_for_a_transpose_too():
    def typed(z, y):
        try:
            return strict_sum(z, y)
        except ValueError as error:
            raise TypeError(str(error)) from None

    check_rank_discipline(typed, ROWS, error=TypeError)
    with pytest.raises(AssertionError, match="not by a ValueError"):
        check_rank_discipline(typed, ROWS)


# --- check_solver ---------------------------------------------------------------------


def fit_of(X, y, weight, offset, l2):
    return fit(X, y, weight=weight, offset=offset, l2=l2)


@pytest.fixture(scope="module")
def solver():
    return jax.jit(fit_of)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_minima_are_minima(dtype):
    for name, problem in solvable(dtype):
        hard = name.startswith(("labels", "separable"))
        assert (
            np.isin(problem.y, [0, 1]).all()
            if hard
            else ((problem.y > 0) & (problem.y < 1)).all()
        )
        assert {leaf.dtype for leaf in jax.tree.leaves(problem[1:])} == {
            np.dtype(dtype)
        }
        X, y, weight, offset, l2 = (np.asarray(part, float) for part in problem[1:])
        w, b = problem.params
        dz = weight / weight.sum() * (1 / (1 + np.exp(-(w.T @ X + b + offset))) - y)
        within = 4 * np.finfo(dtype).eps * np.abs(X).max(axis=1, keepdims=True)
        assert (np.abs(X @ dz.T + l2 * w) < within).all(), name
        assert abs(dz.sum()) < 4 * np.finfo(dtype).eps, name
    for kind, problem in unsolvable(dtype):
        assert separation(problem) or len(np.unique(problem.y)) == 1, kind


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_fit_of_this_library_passes(solver, dtype):
    check_solver(solver, dtype=dtype)
    check_solver(lambda *data: solver(*data).params, dtype=dtype)  # and claims nothing
    if dtype == np.float64:
        check_solver(solver, dtype=dtype, tol=1e-10)


def ended(found, **changes):
    return found._replace(**{"status": Status.CONVERGED, **changes})


FAULTS = {
    "stops early": (
        lambda found: ended(
            found, params=jax.tree.map(lambda p: p * 0.99, found.params)
        ),
        r"^soft labels: the logits, at \(0, \d+\): .*, too far",
    ),
    "NaN": (
        lambda found: ended(
            found, params=jax.tree.map(lambda p: p * np.nan, found.params)
        ),
        r"^soft labels: the logits, at \(0, 0\): found nan, .* NaN",
    ),
    "always claims": (ended, "^separable: the fit claims success, but there is no min"),
    "claims quasi": (
        lambda found: ended(found) if found.status != Status.SEPARATED else found,
        "^quasi-separable: the fit claims success",
    ),
    "never claims": (
        lambda found: found._replace(status=Status.MAX_STEPS),
        r"^soft labels: the fit claims no success \(status 1\), but there is a minimum",
    ),
    "turned": (
        lambda found: Params(found.params.w.T, found.params.b),
        "^soft labels: w and b have shapes",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fit_that_is_wrong_is_caught(solver, name):
    fault, match = FAULTS[name]
    with pytest.raises(AssertionError, match=match):
        check_solver(lambda *data: fault(solver(*data)))


def test_a_fit_that_costs_more_than_its_start_is_caught_by_any_tolerance(solver):
    def too_far(*data):
        found = solver(*data)
        return ended(found, params=jax.tree.map(lambda p: p * 5, found.params))

    with pytest.raises(
        AssertionError, match=r"^soft labels: the cost is .*, at the st"
    ):
        check_solver(too_far, tol=10.0)


IGNORED = {"weight": (2, 1.0), "offset": (3, 0.0), "l2": (4, 0.0)}


@pytest.mark.parametrize("name", IGNORED)
def test_a_fit_that_ignores_an_argument_is_caught(solver, name):
    place, nothing = IGNORED[name]

    def forgetful(*data):
        data = list(data)
        data[place] = np.full_like(data[place], nothing)
        return ended(solver(*data))

    # Where each label is its probability, weights do not matter.
    first = "weights and an offset" if name == "offset" else "a penalty"
    with pytest.raises(AssertionError, match=f"^{first}: the logits, .* too far"):
        check_solver(forgetful)


def test_a_part_of_w_that_moves_no_logit_is_caught(solver):
    """With more features than samples; only the penalty sees it."""

    def lengthened(X, *data):
        found = solver(X, *data)
        if X.shape[0] < X.shape[1]:
            return found
        unseen = np.linalg.svd(X.T)[2][-1:].T
        return ended(found, params=found.params._replace(w=found.params.w + unseen))

    with pytest.raises(AssertionError, match=r"samples: the gradient in w, .* too far"):
        check_solver(lengthened)


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        (
            lambda found, l2, hard: found if l2 else None,
            "^labels of 0 and 1: the logits, .* too far",
        ),
        (
            lambda found, l2, hard: (
                found._replace(status=Status.SEPARATED) if hard and l2 else found
            ),
            r"^separable, with a penalty: the fit claims no success \(status 2\)",
        ),
        (
            lambda found, l2, hard: (
                ended(
                    found, params=jax.tree.map(lambda leaf: 0 * leaf + 7, found.params)
                )
                if hard
                else found
            ),
            "^labels of 0 and 1: the logits, .* too far",
        ),
    ],
    ids=["ignores weights without a penalty", "separated despite one", "0 and 1 only"],
)
def test_labels_of_0_and_1_have_minima_too(solver, fault, match):
    def wrong(X, y, weight, offset, l2):
        hard = bool(np.isin(y, [0, 1]).all())
        found = fault(solver(X, y, weight, offset, l2), float(l2), hard)
        return found or solver(X, y, np.ones_like(weight), offset, l2)

    with pytest.raises(AssertionError, match=match):
        check_solver(wrong)


def test_a_fit_may_change_its_arrays(solver):
    def centred(X, *data):
        mean = X.mean(axis=1, keepdims=True)
        X -= mean
        found = solver(X, *data)
        w, b = (np.asarray(leaf) for leaf in found.params)
        return found._replace(params=Params(w, b - w.T @ mean))

    check_solver(centred)
