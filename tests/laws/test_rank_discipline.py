"""Rank 1 is refused: every public function, every array argument, every mode."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from jlogreg import inference, loops, metrics, plots
from jlogreg.testing import check_rank_discipline
from jlogreg.testing.rank_discipline import MODES
from tests.table import (
    NOT_FUNCTIONS,
    NOT_OF_ARRAYS,
    SAME_AS_ANOTHER,
    cases,
    count_cases,
    host_cases,
    inference_cases,
)

CASES, HOST_CASES = cases(), host_cases()
ALL = {**CASES, **HOST_CASES}


def test_the_table_holds_every_public_function():
    others = NOT_FUNCTIONS | NOT_OF_ARRAYS | SAME_AS_ANOTHER
    public = set(jl.__all__) - others
    public |= {f"loops.{name}" for name in loops.__all__}
    public |= {
        f"metrics.{name}"
        for name in metrics.__all__
        if not isinstance(getattr(metrics, name), type)
    }
    assert {*ALL, *count_cases()} == public
    assert others <= set(jl.__all__)


def test_the_table_holds_every_function_of_the_inference():
    functions = {name for name in inference.__all__ if name[0].islower()}
    assert {*inference_cases()} == {f"inference.{name}" for name in functions}


def test_the_table_names_every_argument():
    for name, case in {**ALL, **count_cases()}.items():
        for argument, value in case.arguments.items():
            fields = getattr(value, "_fields", ())
            paths = {f"{argument}.{field}" for field in fields} or {argument}
            assert paths <= {*case.kinds, "key"}, name


def arguments_of(cases, *ranks):
    """Return the functions, and the paths of their given arguments of these ranks."""
    return [
        (name, path)
        for name, case in cases.items()
        for path, kind in case.kinds.items()
        if kind.rank in ranks and path.split(".")[0] in case.arguments
    ]


@pytest.mark.parametrize(("name", "path"), arguments_of(ALL, 2, "0 or 2"))
def test_an_array_of_another_rank_is_refused(name, path):
    """And the words say what to do about it."""
    case, argument = ALL[name], re.escape(path.removeprefix("params."))
    role = "matrices" if case.kinds[path].rank == 2 else "elements"
    check_rank_discipline(
        case.function,
        case.arguments,
        **{"matrices": [], role: [path]},
        free=[path] if case.kinds[path].free else [],
        modes=MODES if name in CASES else ["eager", "numpy"],
        error=jl.RankError,
        message=rf"^{argument} has rank {{rank}}.*{argument}[.]reshape\(",
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        *arguments_of(HOST_CASES, 0, 2, "0 or 2"),
        *itertools.product(["fit_many", "cross_validate"], ["tol", "max_steps"]),
        *[("fit_many", "init.w"), ("scan_features", "tol")],
    ],
)
def test_what_runs_on_the_host_refuses_what_is_traced(name, path):
    case = HOST_CASES[name]
    # Of these the error is JAX's own.
    of_jax = path in ("X", "params.b") and name in ("certificate", "summary")
    given = {"tol": 1e-3, "max_steps": 5}.get(path, case.get(path))
    with pytest.raises(TypeError, match=None if of_jax else "jax[.]vmap|outside jit"):
        jax.jit(lambda traced: case.call(**{path: traced}))(given)


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
            "n_selected": row,
        },
    ),
    (plots.reliability_diagram, {"probability": row, "y": row, "weight": row}),
    (plots.roc_curve, {"scores": row, "y": row, "weight": row}),
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
            with pytest.raises(jl.RankError, match=rf"^{name} has rank 1"):
                function(**{**arguments, name: value.ravel()})


def test_every_figure_function_is_among_these():
    others = {"image_grid", "graph_diagram"}  # of images, and of no array
    assert {f.__name__ for f, _ in PLOTS} | others == set(plots.__all__)
    with pytest.raises(jl.RankError, match="images"):
        plots.image_grid(row, ["a"])


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_arguments_of_the_table_are_accepted(name):
    """Or the refusals above could be about something else."""
    leaves = jax.tree.leaves(ALL[name].call())
    assert all(isinstance(leaf, str) or np.isfinite(leaf).all() for leaf in leaves)
