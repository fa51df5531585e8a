"""Rank 1 is refused: every public function, every array argument, every mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg
from jlogreg import RankError, loops, plots
from tests.table import NOT_FUNCTIONS, NOT_OF_ARRAYS, OF_FITS, cases

CASES = cases()


def test_the_table_holds_every_public_function():
    public = set(jlogreg.__all__) - NOT_FUNCTIONS - NOT_OF_ARRAYS - OF_FITS
    public |= {f"loops.{name}" for name in loops.__all__}
    assert set(CASES) == public


def test_the_table_names_every_array_argument():
    for name, case in CASES.items():
        leaves = set()
        for argument, value in case.arguments.items():
            if isinstance(value, jlogreg.Params):
                leaves |= {f"{argument}.w", f"{argument}.b"}
            elif not isinstance(value, int):
                leaves.add(argument)
        named = {*case.matrices, *case.numbers, *case.elements}
        assert leaves == named | {"images"} & leaves, name


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


row = jnp.ones((1, 3))
PLOTS = [
    (plots.cost_curves, {"costs": row}),
    (plots.weights_image, {"w": row.T, "shape": (1, 3)}),
    (plots.weights_bars, {"w": row.T}),
    (plots.cost_surface, {"w": row, "b": row.T, "J": row * row.T, "path": row.T @ row}),
    (plots.time_bars, {"times": row, "ways": "abc", "works": "d"}),
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
    assert {f.__name__ for f, _ in PLOTS} | {"image_grid"} == set(plots.__all__)


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_arguments_of_the_table_are_accepted(name):
    """Or the refusals above could be about something else."""
    result = CASES[name].call()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result))
