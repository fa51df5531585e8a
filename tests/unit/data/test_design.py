"""Every design multiplies as the array that it stands for."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.sparse import BCOO

import jlogreg as jl
from jlogreg import loops
from jlogreg.data.design import check_design
from jlogreg.data.pairwise import Pairwise, pairwise
from tests.helpers import Problem, assert_close, hessian_slack, slack

EPS = float(np.finfo(float).eps)
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
    "sparse": lambda X: jl.Sparse(with_room(X)),
    "sparse twice and padded": twice_and_padded,
    "stacked": lambda X: jl.Stacked(jnp.asarray(X[:2]), jl.Dense(jnp.asarray(X[2:]))),
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
DIVISIBLE = {"dense", "stacked", "standardized dense"}


def numbers(seed=0):
    """Return features of several scales, four a row of them 0, and rows and columns."""
    random = np.random.default_rng(seed)
    kept = random.permuted(np.tile(np.arange(M) < M - 4, (N, 1)), axis=1)
    X = random.standard_normal((N, M)) * kept
    X *= 10.0 ** random.integers(-3, 4, (N, 1))
    w, dz = random.standard_normal((N, 2)), random.standard_normal((2, M))
    s = random.random((1, M)) * (random.random((1, M)) < 0.8)
    return X, w, dz, s


def as_array(kind, X):
    """Return what a kind of design makes of X, and the sizes that it adds up."""
    if kind in STANDARDIZED:
        return (X - MEAN) / SCALE, (np.abs(X) + np.abs(MEAN)) / SCALE
    return X, np.abs(X)


@jax.jit
def products(X, w, dz, s, start):
    design = check_design("X", X)
    part = design.slice_samples(start, 4).dense() if design.sliceable else None
    return {
        "forward": design.forward(w),
        "adjoint": design.adjoint(dz),
        "gram": design.gram(s),
        "gram_diagonal": design.gram_diagonal(s),
        "dense": design.dense(),
        "part": part,
        "columns of gram": design.adjoint(s * design.forward(jnp.eye(N))),
        "lanes": jax.vmap(lambda c: design.forward(c[:, None]))(w.T),
        "lanes of gram": jax.vmap(lambda row: design.gram(row[None]))(dz),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_products_are_those_of_the_array(kind):
    for seed in range(10):
        X, w, dz, s = numbers(seed)
        start = seed % (M - 3)
        found = products(KINDS[kind](X), w, dz, s, start)
        due, size = as_array(kind, X)
        part = slice(start, start + 4)
        gram, gram_size = (due * s) @ due.T, (size * s) @ size.T
        forward, forward_size = w.T @ due, np.abs(w).T @ size
        lanes = [((due * row) @ due.T, (size * np.abs(row)) @ size.T) for row in dz]
        table = {
            "dense": (due, size),
            "forward": (forward, forward_size),
            "adjoint": (due @ dz.T, size @ np.abs(dz).T),
            "gram": (gram, gram_size),
            "columns of gram": (gram, gram_size),
            "gram_diagonal": (np.diag(gram)[:, None], np.diag(gram_size)[:, None]),
            "lanes": (forward[:, None], forward_size[:, None]),
            "lanes of gram": tuple(np.stack(part) for part in zip(*lanes, strict=True)),
        }
        # A sum of k terms errs by k eps of its size; a gram is a sum of sums.
        few = 4 * (N + M + 4) * EPS
        for name, (value, terms) in table.items():
            assert_close(found[name], value, few * terms)
        assert (found["part"] is not None) == (kind in DIVISIBLE)
        if kind in DIVISIBLE:
            assert_close(found["part"], due[:, part], 8 * EPS * size[:, part])
        # The adjoint is that of this forward: <wT X, dz> = <w, X dzT>.
        sides = np.sum(found["forward"] * dz), np.sum(w * found["adjoint"])
        assert_close(*sides, few * np.sum(forward_size * np.abs(dz)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (3, 1)])
def test_one_feature_or_one_sample_is_no_other_case(shape):
    random = np.random.default_rng(0)
    n, m = shape
    X, w, dz = (random.standard_normal(s) for s in (shape, (n, 2), (2, m)))
    for design in (jl.Dense(jnp.asarray(X)), check_design("X", jl.Stacked(X, X))):
        both = X if design.shape == shape else np.vstack([X, X])
        for columns in (1, 2):
            v = np.resize(w, (len(both), columns))
            rows = dz[:columns]
            s = rows[:1]
            for found, due, size in [
                (design.forward(v), v.T @ both, np.abs(v).T @ np.abs(both)),
                (design.adjoint(rows), both @ rows.T, np.abs(both) @ np.abs(rows).T),
                (design.gram(s), (both * s) @ both.T, np.abs(both * s) @ abs(both).T),
            ]:
                assert_close(found, due, 8 * EPS * size)


@pytest.mark.parametrize(
    ("kind", "n"), [("dense", 1), *((kind, N) for kind in sorted(DIVISIBLE))]
)
def test_products_are_as_precise_as_can_be_and_of_one_feature_sums(kind, n):
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_shape_and_dtype_are_those_of_the_array(kind, dtype):
    X = jax.tree.map(
        lambda leaf: leaf.astype(dtype) if leaf.dtype.kind == "f" else leaf,
        KINDS[kind](numbers()[0]),
    )
    design = check_design("X", X)
    assert design.shape == (N, M)
    assert design.dtype == dtype
    assert design.sliceable == (kind in DIVISIBLE)
    w, row = np.ones((N, 1), dtype), np.ones((1, M), dtype)
    for shape, function, *arguments in [
        ((1, M), design.forward, w),
        ((N, 1), design.adjoint, row),
        ((N, N), design.gram, row),
        ((N, 1), design.gram_diagonal, row),
        ((N, M), design.dense),
    ]:
        found = jax.eval_shape(function, *arguments)
        assert (found.shape, found.dtype) == (shape, dtype)


@jax.jit
def finite_and_cleaned(design):
    cleaned = design.zero_nonfinite()
    return design.finite(), cleaned.dense(), cleaned.finite()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_finite_is_found_and_cleaned(kind):
    X = numbers()[0]
    rows, columns = [0, 1, 2, 4], [5, 2, 8, 5]
    X[:, [2, 5, 8]] += 1  # so that the entries are there
    X[rows, columns], clean = [np.inf, np.nan, np.nan, -np.inf], X.copy()
    clean[rows, columns] = 0
    design = check_design("X", KINDS[kind](X))
    finite, dense, again = finite_and_cleaned(design)
    assert finite.shape == (1, M)
    assert np.flatnonzero(~np.asarray(finite)).tolist() == [2, 5, 8]
    due, size = as_array(kind, clean)
    assert_close(dense, due, 8 * EPS * size)
    assert np.all(again)


@jax.jit
def model(X, params, rows):
    y = rows["y"]
    J, slope = jl.value_and_gradient(params, X, y, **options(rows))
    return {
        "cost": jl.cost(params, X, y, **options(rows)),
        "J": J,
        "dw": slope.w,
        "db": slope.b,
        "hessian": jl.hessian(params, X, y, **options(rows)),
        "along": jnp.vstack(jl.hessian_vector(params, params, X, y, **options(rows))),
        "logits": jl.logits(params, X),
    }


def options(rows):
    return {"weight": rows["weight"], "offset": rows["offset"], "l2": 0.1}


def rows_of(seed=0, m=M):
    random = np.random.default_rng(seed)
    y = np.array([[0.0, 1.0] * m])[:, :m]
    weight = random.choice([0.5, 1.0, 2.0], (1, m))
    return {"y": y, "weight": weight, "offset": random.standard_normal((1, m))}


@pytest.mark.parametrize("kind", KINDS)
def test_the_cost_of_a_design_is_that_of_its_array(kind):
    X, w, *_ = numbers()
    due, size = as_array(kind, X)
    rows = rows_of()
    params = jl.Params(w=w[:, :1] / (1 + size.max(1, keepdims=True)), b=np.ones((1, 1)))
    found, plain = model(KINDS[kind](X), params, rows), model(due, params, rows)
    # By the sizes that are added up; where those are differences, twice as many.
    problem = Problem(params, size, *rows.values(), l2=0.1)
    J, dw, db = (3 * part for part in slack(problem))
    few, ones = 4 * (N + M) * EPS, np.vstack([size, np.ones((1, M))])
    H, column = 3 * hessian_slack(problem), np.abs(np.vstack(params))
    along = H @ column + few * ones @ ones.T / M @ column
    reach = few * (np.abs(params.w).T @ size + 1)
    assert_close(found["along"], plain["hessian"] @ np.vstack(params), along)
    within = {"cost": J, "J": J, "dw": dw, "db": db, "hessian": H, "along": along}
    for name, distance in {**within, "logits": reach}.items():
        assert_close(found[name], plain[name], distance)


@jax.jit
def fitted(X, rows):
    return jl.fit(X, rows["y"], **options(rows))


@pytest.mark.parametrize("kind", ["nested", "standardized stacked sparse"])
def test_a_design_is_fitted_as_its_array(kind):
    X = numbers()[0] / (np.abs(numbers()[0]).max(axis=1, keepdims=True) + EPS)
    X = X * SCALE + MEAN * (X != 0) if kind in STANDARDIZED else X
    due, _ = as_array(kind, X)
    rows = rows_of()
    found, plain = fitted(KINDS[kind](X), rows), fitted(due, rows)
    assert found.status == plain.status == 0
    assert_close(found.params.w, plain.params.w, 1e-8)
    assert_close(found.params.b, plain.params.b, 1e-8)
    assert np.abs(found.params.w).max() > 0.1


def test_many_problems_share_some_of_their_features():
    random = np.random.default_rng(1)
    lanes, m = 3, 20
    shared, own = random.standard_normal((4, m)), random.standard_normal((lanes, 2, m))
    rows = rows_of(m=m)
    params = [
        jl.Params(*(random.standard_normal(shape) for shape in [(6, 1), (1, 1)]))
        for _ in range(lanes)
    ]
    stack = jax.tree.map(lambda *leaves: np.stack(leaves), *params)

    def both(params, own):
        X = jl.Stacked(shared, own)
        return jl.value_and_gradient(params, X, rows["y"], **options(rows))

    many = jax.vmap(both)
    found = jax.jit(many)(stack, own)
    for lane in range(lanes):
        problem = Problem(
            params[lane], np.concatenate([shared, own[lane]]), *rows.values(), l2=0.1
        )
        J, slope = loops.value_and_gradient(*problem.arguments, **problem.options)
        within = slack(problem)
        assert_close(found[0][lane], J, within.J)
        assert_close(found[1].w[lane], slope.w, within.w)
    # No array anywhere holds the shared features once for every problem.
    equations = str(jax.make_jaxpr(many)(stack, own))
    assert f"[{lanes},2,{m}]" in equations
    assert f"[{lanes},4,{m}]" not in equations
    assert f"[{lanes},6,{m}]" not in equations


def features_to_standardize(m=50):
    """Return a column of a large mean, a constant, a small one, and more constants."""
    x = np.random.default_rng(2).standard_normal((2, m))
    zeros = np.zeros((1, m))
    X = np.vstack([x[:1] + 1e6, zeros + 0.1, 1e-3 * x[1:], zeros, zeros + 1e6 / 3])
    constant = np.array([False, True, False, True, True])[:, None]
    return X, constant


@jax.jit
def standardized_by(X, params):
    made = jl.standardize(X)
    to_original_scale = jl.logits(made.to_original_scale(params), X)
    return made, made.dense(), to_original_scale, jl.logits(params, made)


STANDARDIZABLE = ["dense", "sparse twice and padded", "stacked sparse"]


@pytest.mark.parametrize("kind", STANDARDIZABLE)
def test_standardize_makes_mean_0_and_deviation_1(kind):
    X, constant = features_to_standardize()
    made, found, *_ = standardized_by(PLAIN[kind](X), jl.init_params(N))
    m, mean = X.shape[1], np.abs(X).mean(axis=1, keepdims=True)
    sd = np.where(constant, 1, X.std(axis=1, keepdims=True))
    assert_close(made.scale[constant], np.ones(3), 0)
    # Of a mean m eps are lost. A design that cannot be centred takes the variance as
    # a difference of squares, and loses the digits of those.
    lost = 2 * m * EPS * (mean / sd + 1)
    assert_close(np.mean(found, axis=1, keepdims=True), 0 * sd, lost)
    if kind != "dense":
        lost = np.maximum(lost, 4 * m * EPS * (mean**2 + sd**2) / sd**2)
    assert_close(np.std(found, axis=1, keepdims=True), 1.0 - constant, 2 * lost)
    assert (lost[[0, 2]] < 0.2).all() or kind != "dense"


@pytest.mark.parametrize("kind", STANDARDIZABLE)
def test_on_data_gives_the_same_logits(kind):
    X, _ = features_to_standardize()
    random = np.random.default_rng(3)
    params = jl.Params(
        w=random.standard_normal((N, 2)), b=random.standard_normal((2, 1))
    )
    made, dense, to_original_scale, due = standardized_by(PLAIN[kind](X), params)
    size = (np.abs(X) + np.abs(made.mean)) / made.scale
    within = 8 * (N + 4) * EPS * (np.abs(params.w).T @ size + np.abs(params.b))
    assert_close(to_original_scale, due, within)
    assert_close(due, params.w.T @ np.asarray(dense) + params.b, within)


def grams_of(design, rows, start):
    return {
        "gram": design.gram(rows[:1]),
        "of a part": design.slice_samples(start, 4).gram(rows[:1, :4]),
        "lanes": jax.vmap(lambda row: design.gram(row[None]))(rows),
        "lanes of a part": jax.vmap(
            lambda row: design.slice_samples(start, 4).gram(row[None, :4])
        )(rows),
    }


grams = jax.jit(grams_of)


def grams_due(X, rows, start):
    """Return the same by NumPy."""
    part = X[:, start : start + 4]
    lanes = np.stack([(X * row) @ X.T for row in rows])
    parts = np.stack([(part * row[:4]) @ part.T for row in rows])
    names = ["gram", "of a part", "lanes", "lanes of a part"]
    return dict(zip(names, [lanes[0], parts[0], lanes, parts], strict=True))


@pytest.mark.parametrize("n", [N, 1])
def test_pairs_of_rows_give_the_gram(n):
    for start in range(M - 3):
        X, _, rows, _ = numbers(start)
        X = X[:n]
        found = grams(pairwise(jnp.asarray(X)), rows, start)
        due = grams_due(X, rows, start)
        size = grams_due(np.abs(X), np.abs(rows), start)
        for name, value in due.items():
            # A product, another, and a sum of M: here and there.
            assert_close(found[name], value, 2 * (M + 4) * EPS * size[name])


def test_the_comparison_of_grams_notices_a_wrong_entry():
    X, _, rows, _ = numbers()
    due, size = grams_due(X, rows, 0), grams_due(np.abs(X), np.abs(rows), 0)
    found = np.array(grams(pairwise(jnp.asarray(X)), rows, 0)["gram"])
    swapped = found.copy()
    swapped[1, 0], swapped[2, 0] = found[2, 0], found[1, 0]
    for wrong in (swapped, found * (1 + 1e-13), np.tril(found)):
        with pytest.raises(AssertionError, match="too far"):
            assert_close(wrong, due["gram"], 2 * (M + 4) * EPS * size["gram"])


def test_many_grams_of_pairs_are_one_product():
    """Where a dense design scales the features once for each problem."""
    lanes = 2
    X, _, rows, _ = numbers()
    text = {
        type(X): str(jax.make_jaxpr(grams_of, static_argnums=2)(X, rows, 0))
        for X in (jl.Dense(X), pairwise(X))
    }
    for size in (M, 4):
        assert f"[{lanes},{N},{size}]" in text[jl.Dense]
        assert f"[{lanes},{N},{size}]" not in text[Pairwise]
        assert f"[{N * (N + 1) // 2},{size}]" in text[Pairwise]


def test_pairs_are_kept_with_the_samples_that_are_taken():
    X, w, dz, s = numbers()
    design = check_design("X", pairwise(jnp.asarray(X)))
    assert isinstance(design, Pairwise)
    assert isinstance(design.slice_samples(2, 4), Pairwise)
    assert (design.shape, design.dtype, design.sliceable) == ((N, M), X.dtype, True)
    plain = jl.Dense(jnp.asarray(X))
    for name, argument in [("forward", w), ("adjoint", dz), ("gram_diagonal", s)]:
        found, due = (getattr(kind, name)(argument) for kind in (design, plain))
        np.testing.assert_array_equal(found, due)
