"""What no other test reaches: paths for large data, rare designs, other devices."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name
from jax.experimental.sparse import BCOO

import jlogreg as jl
from jlogreg import fit
from jlogreg.batch import setup
from jlogreg.data.devices.deal import Deal
from jlogreg.data.samples import Samples
from jlogreg.formulations.dual_basis import dual_basis
from jlogreg.formulations.problem import Problem
from tests.helpers import TOL, assert_close, make_problem
from tests.oracles.numpy_fit import assert_same_fit

X = np.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 0.0, 2.0, 0.0, 1.0, 3.0]])
Y = np.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])


def test_a_part_of_many_samples_tells_where_to_start(monkeypatch):
    """So fewer steps over all of them are left, to the same minimum."""
    problem = make_problem((2, 512), np.float64, seed=4)
    noise = np.random.default_rng(4).logistic(size=(1, 512))
    problem = problem._replace(y=(4 * np.asarray(problem.X[:1]) + noise > 0) * 1.0)

    @jax.jit
    def fitted(init):
        return fit(problem.X, problem.y, init=init, tol=TOL, **problem.options)

    monkeypatch.setattr("jlogreg.formulations.primal.MIN_START_SAMPLES", 1)
    # 32 blocks: two of them
    monkeypatch.setattr("jlogreg.data.reduction.GRAM_SAMPLES", 16)
    expected, result = (
        fitted(jax.tree.map(jnp.zeros_like, problem.params)),
        fitted(None),
    )
    assert result.steps < expected.steps
    assert_same_fit(result, expected, problem)


@pytest.mark.parametrize("rows", [3, 4, 5, 100])
def test_the_gram_of_a_span_does_not_depend_on_its_parts(monkeypatch, rows):
    """Of 12 features: whole parts, parts and a rest, and a rest alone."""
    monkeypatch.setattr("jlogreg.formulations.dual_basis.BLOCK_FEATURES", rows)
    wide = np.random.default_rng(0).integers(-8, 9, (12, 4)) * 4.0  # all is exact
    samples = Samples(jl.Dense(jnp.asarray(wide)), jnp.asarray(wide[:1]))
    result = dual_basis(Problem(samples, jnp.asarray(1.0)))
    centered = wide - wide.mean(axis=1, keepdims=True)
    np.testing.assert_array_equal(result.gram, centered.T @ centered)


@pytest.mark.parametrize(
    ("stats", "expected"),
    [({"bytes_limit": 1000, "bytes_in_use": 300}, 700), ({"bytes_limit": 1000}, 1000)],
)
def test_the_free_memory_is_that_of_the_device(monkeypatch, stats, expected):
    device = SimpleNamespace(memory_stats=lambda: stats)
    assert setup._free_memory(Deal((device,))) == expected
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    assert setup._free_memory(Deal()) == expected


def test_cores_share_the_memory_of_the_host(monkeypatch):
    monkeypatch.setattr(setup.os, "sysconf", lambda name: 1000)
    shares = [setup._free_memory(Deal((None,) * count)) for count in (1, 2)]
    assert shares == [1_000_000, 500_000]


@pytest.mark.parametrize("shape", [(3, 20), (70, 6)])
def test_a_fit_that_keeps_no_factor_has_the_same_derivatives(shape):
    problem = make_problem(shape, np.float64, "soft labels", seed=2, l2=0.1)

    def change(solver):
        def total(y, l2):
            options = {**problem.options, "l2": l2}
            return fit(problem.X, y, solver=solver, **options).params.w.sum()

        at = problem.y, problem.l2
        return jax.jvp(total, at, jax.tree.map(jnp.ones_like, at))[1]

    expected, result = jax.jit(
        lambda: (change(jl.Newton()), change(jl.Newton(keep_factor=False)))
    )()
    assert expected != 0
    assert_close(result, expected, 1e-12 * abs(expected))


def test_neither_the_start_nor_the_tolerance_has_a_derivative():
    def cost_of(tol, start):
        init = jl.Params(w=start * jnp.ones((2, 1)), b=start * jnp.ones((1, 1)))
        return fit(X, Y, l2=1.0, tol=tol, init=init).cost

    assert jax.grad(cost_of, (0, 1))(1e-6, 0.5) == (0, 0)


@pytest.mark.parametrize(("weight", "status"), [(0.0, "CONVERGED"), (1.0, "BAD_INPUT")])
def test_known_features_that_are_not_finite_are_judged_by_traced_weights(
    weight, status
):
    bad = X.copy()
    bad[1, 2] = np.nan
    weights = np.ones_like(Y)
    weights[0, 2] = weight
    result = jax.jit(lambda weight: fit(bad, Y, weight=weight, l2=1.0))(weights)
    assert result.status == jl.Status[status]
    if weight == 0:
        kept = np.arange(6) != 2
        expected = fit(X[:, kept], Y[:, kept], l2=1.0)
        assert_close(result.params.w, expected.params.w, 1e-12)


def test_a_traced_sparse_design_is_not_looked_into():
    rare = BCOO.fromdense(X)
    result = jax.jit(
        lambda data: fit(
            jl.Sparse(BCOO((data, rare.indices), shape=X.shape)), Y, l2=1.0
        )
    )
    expected = fit(X, Y, l2=1.0)
    assert_close(result(rare.data).params.w, expected.params.w, 1e-12)
    assert result(rare.data * np.nan).status == jl.Status.BAD_INPUT


def test_a_key_of_random_numbers_is_text_in_json():
    def f(x, n):
        key = jax.random.fold_in(jax.random.key(3), n)
        return x * jax.random.normal(key)

    graph = jl.computation_graph(f, 2.0, np.int32(1)).to_dict()
    assert "key<fry>" in [node["value"] for node in graph["nodes"]]
    assert json.loads(json.dumps(graph)) == graph


def test_a_name_for_a_constant_names_nothing():
    graph = jl.computation_graph(
        lambda x: x * checkpoint_name(jnp.asarray(2.0), "two"), 3.0
    )
    assert [node.name for node in graph.nodes] == ["x", "J"]
    assert graph["x"].derivative == 2
