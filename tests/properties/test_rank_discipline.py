"""Rank 1 is refused: every public function, every array argument, every mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg
from jlogreg import RankError, loops, plots
from tests.table import (
    NOT_FUNCTIONS,
    NOT_OF_ARRAYS,
    OF_FITS,
    ON_HOST,
    cases,
    host_cases,
)

CASES, HOST_CASES = cases(), host_cases()


def test_the_table_holds_every_public_function():
    others = NOT_FUNCTIONS | NOT_OF_ARRAYS | OF_FITS | ON_HOST
    public = set(jlogreg.__all__) - others
    public |= {f"loops.{name}" for name in loops.__all__}
    assert set(CASES) == public
    assert others <= set(jlogreg.__all__)
    assert set(HOST_CASES) == ON_HOST - {"scan_blocks"}


def test_the_table_names_every_array_argument():
    for name, case in {**CASES, **HOST_CASES}.items():
        leaves = set()
        for argument, value in case.arguments.items():
            if isinstance(value, jlogreg.Params):
                leaves |= {f"{argument}.w", f"{argument}.b"}
            elif not isinstance(value, int):
                leaves.add(argument)
        named = {*case.matrices, *case.numbers, *case.elements, *case.others}
        assert leaves == named, name


def eager(function, bad):
    function(bad)


def with_numpy(function, bad):
    function(np.asarray(bad))


def under_jit(function, bad):
    jax.jit(function)(bad)


def under_vmap(function, bad):
    jax.vmap(function)(jnp.stack([bad, bad]))


def under_grad(function, bad):
    def total(bad):
        leaves = jax.tree.leaves(function(bad))
        return sum(leaf.sum() for leaf in leaves)

    jax.grad(total)(bad)


def under_jit_of_vmap_of_grad(function, bad):
    jax.jit(jax.vmap(lambda bad: under_grad(function, bad)))(jnp.stack([bad, bad]))


MODES = [
    eager,
    with_numpy,
    under_jit,
    under_vmap,
    under_grad,
    under_jit_of_vmap_of_grad,
]


def wrong_ranks(array):
    """Return the array as rank 0 where it can be, as rank 1 and as rank 3."""
    flat = jnp.ravel(array)
    return {"rank 0": flat[0], "rank 1": flat, "rank 3": jnp.asarray(array)[None]}


MATRICES = [
    (name, path, rank)
    for name, case in CASES.items()
    for path in case.matrices
    for rank in ("rank 0", "rank 1", "rank 3")
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "path", "rank"), MATRICES)
def test_a_matrix_of_another_rank_is_refused(name, path, rank, mode):
    case = CASES[name]
    bad = wrong_ranks(case.get(path))[rank]
    argument = path.removeprefix("params.")
    cure = rf"{argument.replace('.', '[.]')}[.]reshape\("
    with pytest.raises(RankError, match=rf"^{argument} has {rank}.*{cure}"):
        mode(lambda bad: case.call(**{path: bad}), bad)


ELEMENTS = [
    (name, path, rank)
    for name, case in CASES.items()
    for path in case.elements
    for rank in ("rank 1", "rank 3")
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "path", "rank"), ELEMENTS)
def test_elements_of_another_rank_are_refused(name, path, rank, mode):
    case = CASES[name]
    bad = wrong_ranks(case.get(path))[rank]
    with pytest.raises(RankError, match=rf"^{path} has {rank}.*{path}[.]reshape\("):
        mode(lambda bad: case.call(**{path: bad}), bad)


NUMBERS = [(name, path) for name, case in CASES.items() for path in case.numbers]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "path"), NUMBERS)
def test_a_setting_that_is_an_array_is_refused(name, path, mode):
    case = CASES[name]
    bad = jnp.full((2,), 0.1)
    with pytest.raises(RankError, match=rf"^{path} has rank 1.*jax[.]vmap"):
        mode(lambda bad: case.call(**{path: bad}), bad)


@pytest.mark.parametrize("shape", [(), (12,), (3, 4), (1, 2, 3, 4, 5)])
@pytest.mark.parametrize("mode", MODES)
def test_images_of_another_rank_are_refused(mode, shape):
    with pytest.raises(
        RankError, match=rf"^images has rank {len(shape)}.*images\[None"
    ):
        mode(jlogreg.flatten_images, jnp.ones(shape))


@pytest.mark.parametrize("path", ["params.w", "params.b"])
@pytest.mark.parametrize("rank", [0, 1, 2, 4])
@pytest.mark.parametrize("mode", MODES)
def test_models_to_stack_of_another_rank_are_refused(mode, rank, path):
    case = CASES["stack"]
    bad = jnp.ones((1,) * rank)
    with pytest.raises(RankError, match=r"^params has w .*\(K, n, 1\)"):
        mode(lambda bad: case.call(**{path: bad}), bad)


# These may be numbers.
NUMBERS_TOO = {("fit_many", "l2"), ("cross_validate", "folds")}
ON_HOST_MATRICES = [
    (name, path, rank)
    for name, case in HOST_CASES.items()
    for path in case.matrices
    for rank in ("rank 0", "rank 1", "rank 3")
    if rank != "rank 0" or (name, path) not in NUMBERS_TOO
]


@pytest.mark.parametrize("mode", [eager, with_numpy])
@pytest.mark.parametrize(("name", "path", "rank"), ON_HOST_MATRICES)
def test_a_matrix_of_another_rank_is_refused_on_the_host(name, path, rank, mode):
    case = HOST_CASES[name]
    bad = wrong_ranks(case.get(path))[rank]
    with pytest.raises(RankError, match=rf"^{path} has {rank}.*{path}[.]reshape\("):
        mode(lambda bad: case.call(**{path: bad}), bad)


@pytest.mark.parametrize(
    ("name", "path"), [(name, p) for name, c in HOST_CASES.items() for p in c.matrices]
)
def test_what_runs_on_the_host_refuses_what_is_traced(name, path):
    case = HOST_CASES[name]
    with pytest.raises(TypeError, match=r"jax[.]vmap"):
        jax.jit(lambda traced: case.call(**{path: traced}))(case.get(path))


row = jnp.ones((1, 3))
PLOTS = [
    (plots.cost_curves, {"costs": row}),
    (plots.weights_image, {"w": row.T, "shape": (1, 3)}),
    (plots.weights_bars, {"w": row.T}),
    (plots.cost_surface, {"w": row, "b": row.T, "J": row * row.T, "path": row.T @ row}),
    (plots.manhattan, {"position": row.T, "log10_p": -row.T, "chromosome": "112"}),
    (plots.qq, {"log10_p": -row.T}),
    (plots.time_bars, {"times": row, "ways": "abc", "works": "d"}),
    (
        plots.penalty_path,
        {
            "l2": row.T,
            "values": row,
            "standard_error": row,
            "best": row[:, :1],
            "one_standard_error": row[:, :1],
        },
    ),
    (plots.reliability_diagram, {"probability": row, "y": row}),
    (
        plots.interval_forest,
        {
            "estimate": row.T,
            "wald": row.T + row[:, :2],
            "bootstrap": row.T + row[:, :2],
        },
    ),
]


@pytest.mark.parametrize(("function", "arguments"), PLOTS)
def test_figures_refuse_rank_1_too(function, arguments):
    for name, value in arguments.items():
        if isinstance(value, jax.Array):
            with pytest.raises(RankError, match=rf"^{name} has rank 1"):
                function(**{**arguments, name: value.ravel()})
    with pytest.raises(RankError, match="images"):
        plots.image_grid(row, ["a"])


def test_every_figure_function_is_among_these():
    others = {"image_grid", "graph_diagram"}  # of images, and of no array
    assert {f.__name__ for f, _ in PLOTS} | others == set(plots.__all__)


@pytest.mark.parametrize("name", sorted({**CASES, **HOST_CASES}))
def test_the_arguments_of_the_table_are_accepted(name):
    """Or the refusals above could be about something else."""
    result = {**CASES, **HOST_CASES}[name].call()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result))
