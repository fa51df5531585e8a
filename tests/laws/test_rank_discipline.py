"""Rank 1 is refused: every public function, every array argument, every mode."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg
from jlogreg import RankError, loops, plots
from jlogreg.testing import check_rank_discipline
from jlogreg.testing.rank_discipline import MODES
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


# Of these a transpose is right too.
FREE = {
    ("standardize", "X"),
    *((name, "z") for name in ("sigmoid", "log_sigmoid", "log_loss_dz2")),
}


def check(name, path, **options):
    """Check an argument, and that the words say what to do about it."""
    case = {**CASES, **HOST_CASES}[name]
    argument = re.escape(path.removeprefix("params."))
    check_rank_discipline(
        case.function,
        case.arguments,
        free=[path] if (name, path) in FREE else [],
        error=RankError,
        message=rf"^{argument} has rank {{rank}}.*{argument}[.]reshape\(",
        **options,
    )


@pytest.mark.parametrize(
    ("name", "path"), [(name, p) for name, c in CASES.items() for p in c.matrices]
)
def test_a_matrix_of_another_rank_is_refused(name, path):
    check(name, path, matrices=[path], modes=MODES)


@pytest.mark.parametrize(
    ("name", "path"), [(name, p) for name, c in CASES.items() for p in c.elements]
)
def test_elements_of_another_rank_are_refused(name, path):
    check(name, path, matrices=[], elements=[path], modes=MODES)


NUMBERS = [(name, path) for name, case in CASES.items() for path in case.numbers]


@pytest.mark.parametrize("mode", MODES.values())
@pytest.mark.parametrize(("name", "path"), NUMBERS)
def test_a_setting_that_is_an_array_is_refused(name, path, mode):
    case = CASES[name]
    bad = jnp.full((2,), 0.1)
    with pytest.raises(RankError, match=rf"^{path} has rank 1.*jax[.]vmap"):
        mode(lambda bad: case.call(**{path: bad}), bad)


@pytest.mark.parametrize("shape", [(), (12,), (3, 4), (1, 2, 3, 4, 5)])
@pytest.mark.parametrize("mode", MODES.values())
def test_images_of_another_rank_are_refused(mode, shape):
    with pytest.raises(
        RankError, match=rf"^images has rank {len(shape)}.*images\[None"
    ):
        mode(jlogreg.flatten_images, jnp.ones(shape))


@pytest.mark.parametrize("path", ["params.w", "params.b"])
@pytest.mark.parametrize("rank", [0, 1, 2, 4])
@pytest.mark.parametrize("mode", MODES.values())
def test_models_to_stack_of_another_rank_are_refused(mode, rank, path):
    case = CASES["stack"]
    bad = jnp.ones((1,) * rank)
    with pytest.raises(RankError, match=r"^params has w .*\(K, n, 1\)"):
        mode(lambda bad: case.call(**{path: bad}), bad)


# These may be numbers.
NUMBERS_TOO = {("fit_many", "l2"), ("cross_validate", "folds")}
ON_HOST_MATRICES = [
    (name, path) for name, case in HOST_CASES.items() for path in case.matrices
]


@pytest.mark.parametrize(("name", "path"), ON_HOST_MATRICES)
def test_a_matrix_of_another_rank_is_refused_on_the_host(name, path):
    role = "elements" if (name, path) in NUMBERS_TOO else "matrices"
    roles = {"matrices": [], role: [path]}
    check(name, path, modes=["eager", "numpy"], **roles)


@pytest.mark.parametrize(("name", "path"), ON_HOST_MATRICES)
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
