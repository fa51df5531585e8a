"""What a fit says where it is hard to say: small inputs that once had a wrong word."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental.sparse import BCOO

import jlogreg as jl
from jlogreg import Status
from jlogreg.testing.search.answers import make_problem

NEWTON, CG, LBFGS = jl.Newton(), jl.NewtonCG(), jl.LBFGS()
OPTAX = jl.Optax(optax.lbfgs())
SOLVERS = {"Newton": NEWTON, "NewtonCG": CG, "LBFGS": LBFGS, "Optax": OPTAX}
solvers = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
# The shapes of all small inputs, so that a solver is compiled once for a dtype.
SMALL = {np.float32: (1, 4), np.float64: (3, 4)}


@partial(jax.jit, static_argnums=0)
def mapped(solver, X, y, rows):
    def fitted(X, y, rows):
        return jl.fit(X, y, solver=solver, **rows)

    return jax.vmap(fitted)(X, y, rows)


def padded(X, y, dtype, *, offset=0.0, l2=0.0, max_steps=10_000):
    """Return the arguments of a fit, filled up to the shape of its dtype.

    By samples without weight, and by features of 0 that have a penalty.
    """
    shape, (n, m) = SMALL[dtype], np.shape(X)
    given = {"X": np.zeros(shape), "y": np.zeros((1, shape[1]))}
    given |= {"weight": np.zeros((1, shape[1])), "offset": np.zeros((1, shape[1]))}
    given["l2"] = np.ones((shape[0], 1))
    for name, value in {"X": X, "y": y, "weight": 1.0, "offset": offset}.items():
        given[name][: n if name == "X" else 1, :m] = value
    given["l2"][:n] = l2
    given = {name: array.astype(dtype) for name, array in given.items()}
    return given | {"max_steps": np.int32(max_steps)}


def ends(solver, *problem, **options):
    """Return how a fit ended alone, compiled, and among others, which must agree."""
    given = padded(*problem, **options)
    with jax.numpy_dtype_promotion("standard"):  # optax needs it
        alone = jl.fit(**given, solver=solver)
        many = jax.tree.map(lambda leaf: np.stack([leaf] * 3), given)
        among = mapped(solver, many.pop("X"), many.pop("y"), many)
    assert {int(alone.status)} == set(np.asarray(among.status).tolist())
    return alone, given


def change(found, given):
    """Return how far a fit is from the minimum, by its certificate."""
    del given["max_steps"]
    return jl.certificate(found, **given).change


@solvers
@pytest.mark.parametrize("offset", [16.0, 16.5, 20.0, 40.0])
def test_no_minimum_is_none_though_the_gradient_is_lost(solver, offset):
    """The last samples pull w to infinity, by less than the others round."""
    X, y, offset = [[1, 0, 0, 0]], [[1, 1, 0, 0]], [[offset, 0, 0, 0]]
    found, _ = ends(solver, X, y, np.float32, offset=offset)
    assert found.status != Status.CONVERGED


@solvers
def test_a_flat_direction_is_noticed_or_followed(solver):
    X, y = [[2, 1, 2], [2, 0, 2]], [[1, 1, 0]]
    found, given = ends(solver, X, y, np.float64, l2=1e-14)
    if found.status == Status.CONVERGED:
        assert change(found, given) < 1e-6


@solvers
@pytest.mark.parametrize("offsets", [(60, -20), (60, -30), (40, -25), (200, -100)])
def test_on_a_plateau_the_gradient_is_not_known(solver, offsets):
    """Both samples are saturated; their slopes cancel, and the curvature is lost."""
    found, _ = ends(solver, [[0, 0]], [[0, 1]], np.float32, offset=[offsets], l2=1)
    if found.status == Status.CONVERGED:
        assert abs(found.params.b[0, 0] + sum(offsets) / 2) < 1e-3


@solvers
def test_offsets_in_the_hundreds_have_an_answer(solver):
    """The middle of two saturated samples, found from afar, in float64."""
    X, y, offset = [[0.0, 0, 1, -1]], [[0, 1, 0, 1]], [[300, -100, 2, 1]]
    found, _ = ends(solver, X, y, np.float64, offset=offset, l2=1)
    assert found.status in (Status.CONVERGED, Status.SINGULAR)


@solvers
@pytest.mark.parametrize("dtype", SMALL)
def test_features_of_other_sizes_and_more_of_them_than_samples(solver, dtype):
    X = np.random.default_rng(0).standard_normal((30, 12)).astype(dtype)
    X[0] *= 1e4
    y = (np.arange(12, dtype=dtype) % 2)[None]
    with jax.numpy_dtype_promotion("standard"):
        found = jl.fit(X, y, l2=0.1, solver=solver)
    assert found.status == Status.CONVERGED
    assert jl.certificate(found, X, y, l2=0.1).change < 1e-2


def test_solvers_agree_about_a_small_penalty():
    X, y = [[-0.4259050190448761, -0.9850051999092102]], [[0, 1]]
    words = {
        int(ends(solver, X, y, np.float32, l2=1.5752826820758514e-10)[0].status)
        for solver in SOLVERS.values()
    }
    assert len(words) == 1


HAZARDS = ["weights", "offset", "penalty", "collinear", "few"]


@solvers
@pytest.mark.parametrize("hazard", [*HAZARDS, "collinear where there is a weight"])
def test_no_hazard_hides_that_labels_are_separated_or_features_collinear(
    solver, hazard
):
    # One shape for all of them, so that a solver is compiled once.
    random = np.random.default_rng(1)
    K, n, m = 20, 7, 40
    X = random.standard_normal((K, n + 1, m))
    direction = random.standard_normal((K, n))
    y = (np.einsum("kn,knm->km", direction, X[:, :n]) > 0)[:, None] * 1.0
    options = {"weight": np.ones((K, 1, m)), "offset": np.zeros((K, 1, m))}
    options["l2"] = np.zeros((K, n + 1, 1))
    due = Status.SEPARATED
    if hazard == "weights":
        options["weight"] = 10 ** random.uniform(-30, 30, (K, 1, m))
    if hazard == "few":
        options["weight"][:, :, 4:] = 0
    if hazard == "offset":
        options["offset"] = random.uniform(-300, 300, (K, 1, m))
    if hazard == "penalty":  # of a feature that is not needed
        options["l2"][:, n] = 1
        options["offset"] += 100
    if hazard == "collinear":
        X[:, n] = X[:, 0] + X[:, 1]
    if hazard == "collinear where there is a weight":
        X, y = random.integers(0, 3, X.shape) * 1.0, random.random((K, 1, m))
        options["weight"] = weight = (random.random((K, 1, m)) < 0.6) * 1.0
        X[:, n] = np.where(weight[:, 0] > 0, X[:, 0] + X[:, 1], X[:, n])
        due = Status.SINGULAR
    with jax.numpy_dtype_promotion("standard"):
        found = mapped(solver, X, y, options)
    assert (np.asarray(found.status) == due).all()
    if due == Status.SINGULAR:
        return
    # The parameters are the proof, without those that have a penalty.
    w = np.where(options["l2"] > 0, 0, found.params.w)
    z = np.swapaxes(w, 1, 2) @ X + found.params.b
    assert (((2 * y - 1) * z > 0) | (options["weight"] == 0)).all()
    if hazard in ("offset", "penalty"):
        return  # the cost is that of the last step, with the offset
    J = jax.vmap(lambda w, b, X, y, o: jl.cost(jl.Params(w, b), X, y, **o))
    expected = J(*found.params, X, y, options)
    np.testing.assert_allclose(found.cost, expected, rtol=1e-6, atol=1e-300)


@solvers
def test_a_margin_that_is_rounding_proves_nothing(solver):
    """A sample lies on every plane that has the others on their sides."""
    X = np.array([[1.0, 2, 2, 3]]) * [[1], [1 / 3], [1e-9]] + [[1e5], [0], [0]]
    found, _ = ends(solver, X, [[0, 0, 1, 1]], np.float64)
    assert found.status != Status.SEPARATED
    problem = make_problem(1473, "float64").arguments
    with jax.numpy_dtype_promotion("standard"):
        assert jl.fit(**problem, solver=solver).status != Status.SEPARATED


@pytest.mark.parametrize("kind", ["sparse", "standardized", "sparse, standardized"])
def test_a_plane_is_proved_for_any_design(kind):
    dense = np.array([[1.0, 2, 0, 5, 6, 7], [0.0, 1, 3, 0, 0, 2]])
    y = np.array([[0.0, 0, 0, 1, 1, 1]])
    X = BCOO.fromdense(dense) if "sparse" in kind else dense
    design = jl.standardize(X) if "standardized" in kind else X
    stacked = jl.Stacked(design, dense[:1])
    for features, solver in ((design, CG), (stacked, NEWTON)):
        found = jl.fit(features, y, solver=solver)
        assert found.status == Status.SEPARATED
        z = np.asarray(jl.logits(found.params, features))
        assert ((2 * y - 1) * z > 0).all()


def test_many_problems_are_decided_as_one_is():
    """Though a program of its own decides those that the solver leaves open."""
    random = np.random.default_rng(2)
    X, Y = random.standard_normal((3, 12)), (random.random((200, 12)) < 0.5) * 1.0
    offset = random.uniform(-30, 30, (200, 12))
    found = jl.fit_many(X, Y, offset=offset)
    alone = jax.jit(jax.vmap(lambda y, o: jl.fit(X, y, offset=o).status))
    alone = alone(Y[:, None], offset[:, None])
    np.testing.assert_array_equal(found.status, alone)
    assert {Status.SEPARATED, Status.CONVERGED} <= set(np.asarray(alone).tolist())


# --- numbers that arithmetic does not hold --------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_weight_that_counts_as_0_is_refused(dtype):
    X, y = np.arange(5, dtype=dtype)[None], np.array([[0, 1, 0, 1, 1]], dtype)
    tiny = np.finfo(dtype).tiny
    weight = np.array([[3, 2.4, 1, 2.4, 0.6]], dtype) * tiny
    with pytest.raises(ValueError, match="weight must be 0 or at least"):
        jl.fit(X, y, weight=weight, l2=0.01)
    with pytest.raises(ValueError, match="weight must be 0 or at least"):
        jl.validate(X, y, weight=weight)
    traced = jax.jit(lambda v: jl.fit(X, y, weight=v, l2=0.01).status)
    assert traced(weight) == Status.BAD_INPUT
    found = jl.fit_many(X, y, weight=np.stack([weight[0], weight[0] / tiny]), l2=0.01)
    assert found.status.tolist() == [Status.BAD_INPUT, Status.CONVERGED]
    plain = jl.fit(X, y, weight=weight / tiny, l2=0.01)
    small = jl.fit(X, y, weight=2 * weight, l2=0.01)
    np.testing.assert_array_equal(small.params.w, plain.params.w)


def test_arrays_from_when_the_precision_was_another_are_those_numbers():
    X, y = jnp.arange(6.0)[None], jnp.array([[0.0, 0, 1, 0, 1, 1]])
    assert X.dtype == np.float64
    with jax.enable_x64(False):
        found = jl.fit(X, y)
        again = jl.fit(np.asarray(X), np.asarray(y))
    assert found.params.w.dtype == np.float32
    assert found.status == Status.CONVERGED
    np.testing.assert_array_equal(found.params.w, again.params.w)


@solvers
def test_without_steps_left_the_last_point_stays(solver):
    X, y = np.random.default_rng(0).standard_normal((3, 4)), [[0.9, 0.2, 0.6, 0.1]]
    found, _ = ends(solver, X, y, np.float64, l2=1e-3, max_steps=2)
    assert found.status == Status.MAX_STEPS
    assert found.steps == 2
    assert found.cost < np.log(2) - 0.01
