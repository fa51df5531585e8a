"""Every design multiplies as the array that it stands for."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.sparse import BCOO

import jlogreg as jl
from jlogreg.data.design import check_design
from jlogreg.data.pairwise import pairwise, triplewise
from tests.helpers import EPS, assert_close, leaf_pairs, make_problem, newton

N, M = 5, 9
MEAN = np.array([[0.0], [2.0], [-1.0], [100.0], [0.5]])
SCALE = np.array([[1.0], [0.1], [3.0], [7.0], [1e-3]])


def sparse(X):
    indices = np.stack(np.nonzero(X), axis=1)
    parts = jnp.asarray(X[X != 0]), jnp.asarray(indices)
    return BCOO(parts, shape=X.shape, indices_sorted=True, unique_indices=True)


def twice_and_padded(X):
    """Return X with every number in two parts, in no order, and entries outside."""
    row, column = np.nonzero(X)
    values = X[row, column]
    indices = np.concatenate([np.stack([row, column], 1)] * 2 + [[X.shape] * 3])
    data = np.concatenate([values / 4, 3 * values / 4, np.zeros(3)])
    order = np.random.default_rng(0).permutation(len(data))
    parts = jnp.asarray(data[order]), jnp.asarray(indices[order])
    return BCOO(parts, shape=X.shape)


with_room = jax.jit(partial(BCOO.fromdense, nse=N * M + 4))

PLAIN = {
    "dense": lambda X: jl.Dense(jnp.asarray(X)),
    "pairs": lambda X: pairwise(jnp.asarray(X)),
    "sparse": lambda X: jl.Sparse(with_room(X)),
    "sparse twice and padded": twice_and_padded,
    "stacked": lambda X: jl.Stacked(
        jnp.asarray(X[: len(X) // 2]), jl.Dense(jnp.asarray(X[len(X) // 2 :]))
    ),
    "stacked sparse": lambda X: jl.Stacked(jnp.asarray(X[:2]), sparse(X[2:])),
    "nested": lambda X: jl.Stacked(
        jl.Stacked(sparse(X[:1]), jnp.asarray(X[1:2])), twice_and_padded(X[2:])
    ),
}
STANDARDIZED = {
    f"standardized {kind}": lambda X, kind=kind: jl.Standardized(
        PLAIN[kind](X), jnp.asarray(MEAN), jnp.asarray(SCALE)
    )
    for kind in ("dense", "sparse twice and padded", "stacked sparse")
}
KINDS = {**PLAIN, **STANDARDIZED}
SLICEABLE = {"dense", "pairs", "stacked", "standardized dense"}
# With one feature, or one sample, alone and in both parts of a stack.
SMALL = [(kind, shape) for kind in ("dense", "pairs") for shape in [(1, 3), (3, 1)]]
SMALL += [("dense", (1, 1)), ("stacked", (2, 1)), ("stacked", (2, 3))]


def numbers(seed=0, shape=(N, M)):
    """Return features of several scales, nearly half of them 0, rows and columns."""
    random, (n, m) = np.random.default_rng(seed), shape
    kept = random.permuted(np.tile(np.arange(m) < (m + 1) // 2, (n, 1)), axis=1)
    X = random.standard_normal((n, m)) * kept
    X *= 10.0 ** random.integers(-3, 4, (n, 1))
    w, dz = random.standard_normal((n, 2)), random.standard_normal((2, m))
    s = random.random((1, m)) * (random.random((1, m)) < 0.8)
    return X, w, dz, s


def as_array(kind, X):
    """Return what a kind of design makes of X, and the sizes that it adds up."""
    if kind in STANDARDIZED:
        return (X - MEAN) / SCALE, (np.abs(X) + np.abs(MEAN)) / SCALE
    return X, np.abs(X)


@jax.jit
def products(X, w, dz, s, start):
    design = check_design("X", X)
    n, m = design.shape
    each = jax.vmap(lambda column: design.forward(column[:, None]))
    result = {
        "dense": design.dense(),
        "forward": design.forward(w),
        "forward of each": each(w.T),
        "adjoint": design.adjoint(dz),
        "adjoint of one": design.adjoint(s),
        "gram": design.gram(s),
        "gram of each": jax.vmap(lambda row: design.gram(row[None]))(dz),
        "columns of gram": design.adjoint(
            s * design.forward(jnp.eye(n, dtype=w.dtype))
        ),
        "diagonal of gram": design.gram_diagonal(s),
    }
    if design.sliceable:
        size = min(m, 4)
        part = design.slice_samples(start, size)
        result["part"] = part.dense()
        grams = jax.vmap(lambda row: part.gram(row[None]))
        result["grams of a part"] = grams(dz[:, :size])
    return result


def products_of_array(X, w, dz, s, start):
    """Return the same by NumPy."""
    forward, gram, part = w.T @ X, (X * s) @ X.T, X[:, start : start + 4]
    return {
        "dense": X,
        "forward": forward,
        "forward of each": forward[:, None],
        "adjoint": X @ dz.T,
        "adjoint of one": X @ s.T,
        "gram": gram,
        "gram of each": np.stack([(X * row) @ X.T for row in dz]),
        "columns of gram": gram,
        "diagonal of gram": np.diag(gram)[:, None],
        "part": part,
        "grams of a part": np.stack([(part * row[:4]) @ part.T for row in dz]),
    }


def single(tree):
    """Return a tree with its floating-point numbers as float32."""
    return jax.tree.map(
        lambda leaf: leaf.astype(np.float32) if leaf.dtype.kind == "f" else leaf, tree
    )


@pytest.mark.parametrize(
    ("kind", "shape"), [*((kind, (N, M)) for kind in KINDS), *SMALL]
)
def test_products_are_those_of_the_array(kind, shape):
    for seed in range(10):
        X, *vectors = numbers(seed, shape)
        array, size = as_array(kind, X)
        design, start = KINDS[kind](X), seed % max(1, shape[1] - 3)
        result = products(design, *vectors, start)
        expected = products_of_array(array, *vectors, start)
        terms = products_of_array(size, *map(np.abs, vectors), start)
        absent = set() if kind in SLICEABLE else {"part", "grams of a part"}
        assert result.keys() == expected.keys() - absent
        # A sum of k terms errs by k eps of its size; a gram is a sum of sums.
        few = 4 * (sum(shape) + 4) * EPS
        for name, value in result.items():
            assert_close(value, expected[name], few * terms[name])
    design = check_design("X", single(design))
    assert (design.shape, design.dtype) == (shape, np.float32)
    result = jax.eval_shape(products, *single((design, *vectors)), 0)
    for name, value in result.items():
        assert (value.shape, value.dtype) == (expected[name].shape, np.float32)


@pytest.mark.parametrize(
    ("kind", "n"), [("dense", 1), *((kind, N) for kind in sorted(SLICEABLE))]
)
def test_products_are_as_precise_as_can_be_and_those_of_one_feature_are_sums(kind, n):
    """A GPU rounds the factors of a product to 10 bits, unless told otherwise."""
    X, w, dz, s = numbers()
    design = check_design("X", KINDS[kind](X[:n]))
    for function, argument in [
        *((design.forward, w[:n]), (design.adjoint, dz[:1])),
        *((design.gram, s), (design.gram_diagonal, s)),
    ]:
        text = str(jax.make_jaxpr(function)(argument))
        count = text.count("dot_general[")
        assert (count > 0) == (n > 1 or function == design.gram_diagonal)
        assert text.count("Precision.HIGHEST") in (count, 2 * count)


def test_many_grams_of_pairs_are_one_product():
    """Where a dense design scales the features once for each problem."""
    X, *vectors = numbers()
    for design, one_by_one in ((jl.Dense(X), True), (pairwise(X), False)):
        text = str(jax.make_jaxpr(products)(design, *vectors, 0))
        for size in (M, 4):
            assert (f"[2,{N},{size}]" in text) == one_by_one
            assert (f"[{N * (N + 1) // 2},{size}]" in text) != one_by_one


def test_third_moments_are_those_of_each_sample():
    X, c = np.arange(12.0).reshape(3, 4) ** 2, np.array([[1.0, -2.0, 0.5, 3.0]])
    whole = triplewise(jnp.asarray(X))
    part = whole.slice_samples(1, 3)
    for design, at in ((whole, slice(None)), (part, slice(1, None))):
        x = np.vstack([X, np.ones(4)])[:, at]
        expected = np.einsum("m,jm,km,lm->jkl", c[0, at], x, x, x)
        assert np.array_equal(design.third_moments(jnp.asarray(c[:, at])), expected)


@jax.jit
def finite_and_cleaned(design):
    cleaned = design.zero_nonfinite()
    return design.finite(), cleaned.dense(), cleaned.finite()


@pytest.mark.parametrize("kind", KINDS)
def test_features_that_are_not_finite_become_0(kind):
    X = numbers()[0]
    rows, columns = [0, 1, 2, 4], [5, 2, 8, 5]
    X[:, [2, 5, 8]] += 1  # so that the entries are there
    X[rows, columns], clean = [np.inf, np.nan, np.nan, -np.inf], X.copy()
    clean[rows, columns] = 0
    finite, dense, again = finite_and_cleaned(check_design("X", KINDS[kind](X)))
    assert finite.shape == (1, M)
    assert np.flatnonzero(~np.asarray(finite)).tolist() == [2, 5, 8]
    array, size = as_array(kind, clean)
    assert_close(dense, array, 8 * EPS * size)
    assert np.all(again)


@jax.jit
def costs(problem):
    arguments, options = problem.arguments, problem.options
    return [
        jl.cost(*arguments, **options),
        jl.value_and_gradient(*arguments, **options),
        jl.hessian(*arguments, **options),
        jl.hessian_vector(problem.params, *arguments, **options),
        jl.logits(*arguments[:2]),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_design_has_the_costs_and_the_fit_of_its_array(kind):
    problem = make_problem((N, M), np.float64, seed=1, l2=0.1)
    X = np.array(problem.X) * (numbers()[0] != 0)
    X = X * SCALE + MEAN * (X != 0) if kind in STANDARDIZED else X
    plain = problem._replace(X=as_array(kind, X)[0])
    problem = problem._replace(X=KINDS[kind](X))
    for leaf, other in leaf_pairs(costs(problem), costs(plain)):
        assert_close(leaf, other, 1e-12 * (1 + np.abs(other).max()))
    if kind in ("nested", "standardized stacked sparse"):
        result, expected = newton(problem), newton(plain)
        assert result.status == expected.status == 0
        assert_close(result.params.w, expected.params.w, 1e-8)
        assert_close(result.params.b, expected.params.b, 1e-8)
        assert np.abs(expected.params.w).max() > 0.1


def test_many_problems_share_some_of_their_features():
    problems = [make_problem((6, 20), np.float64, seed=seed) for seed in range(3)]
    shared, own = problems[0].X[:4], np.stack([problem.X[4:] for problem in problems])
    problem = problems[0]

    def gradient(own):
        X = jl.Stacked(shared, own)
        return jl.gradient(problem.params, X, problem.y, **problem.options)

    many = jax.vmap(gradient)
    result = jax.jit(many)(own)
    for k in range(3):
        X = jnp.concatenate([shared, own[k]])
        expected = jl.gradient(problem.params, X, problem.y, **problem.options)
        assert_close(result.w[k], expected.w, 1e-13)
    # No array anywhere holds the shared features once for every problem.
    equations = str(jax.make_jaxpr(many)(own))
    assert "[3,2,20]" in equations
    assert "[3,4,20]" not in equations
    assert "[3,6,20]" not in equations
