"""One table of all public functions, with arguments that they accept.

The tests by transformation and the test of the rank discipline run over it; a public
function that is missing from it fails the suite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jlogreg
from jlogreg import loops
from jlogreg.testing.rank_discipline import get_at, with_at
from tests.helpers import make_problem

N, M = 3, 5

# Public names that take no arrays of numbers, or any a function of the user's does; of
# them the last two take a key.
NOT_OF_ARRAYS = {
    *("broadcast_shape", "computation_graph", "init_params", "raise_if_failed"),
    *("bootstrap_weights", "fold_weights"),
}
# Of a fit, for the host only: they have their own tests.
OF_FITS = {"certificate", "summary"}
# Many fits, for the host only: no argument of theirs may be traced. They have a table
# of their own, `host_cases`; the last is the scan of one block after the other.
ON_HOST = {"cross_validate", "fit_many", "scan_features", "scan_blocks"}
# What is not a function of the library: classes, errors, and the module of loops.
NOT_FUNCTIONS = {
    *("Dense", "Sparse", "Stacked", "Standardized"),
    *("Certificate", "Descent", "Fit", "Params", "Status"),
    *("CrossValidation", "Graph", "Node", "Progress", "Scan"),
    *("DtypeError", "FitError", "RankError", "ShapeError"),
    *("Newton", "NewtonCG", "Optax"),
    "loops",
}


class Case(NamedTuple):
    """Hold a public function and what to call it with.

    matrices: arguments of rank 2, by path ("X", "params.w"); numbers: settings of rank
    0; elements: arguments of rank 0 or 2; others: of another rank, each with a test of
    its own; traced: whether it works under jit.
    """

    function: Callable[..., Any]
    arguments: dict[str, Any]
    matrices: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    traced: bool = True

    def call(self, **changes: Any) -> Any:
        """Call the function with some arguments, named by path, replaced."""
        arguments = self.arguments
        for path, value in changes.items():
            arguments = with_at(arguments, path, value)
        return self.function(**arguments)

    def traceable(self) -> tuple[dict[str, Any], Callable[..., Any]]:
        """Return the arguments that can be traced, and the function of them."""
        static = {key: given for key, given in self.arguments.items() if key == "steps"}
        arrays = {key: given for key, given in self.arguments.items() if key != "steps"}
        return arrays, lambda arrays: self.function(**arrays, **static)

    def get(self, path: str) -> Any:
        return get_at(self.arguments, path)


def fitted(X: Any, y: Any, **options: Any) -> tuple[Any, Any]:
    """Return of a fit what is the same in every mode, and has derivatives."""
    found = jlogreg.fit(X, y, **options)
    return found.params, found.cost


def path_of(X: Any, y: Any, l2: Any, **options: Any) -> tuple[Any, Any]:
    """Return of a path the same."""
    found = jlogreg.regularization_path(X, y, l2, **options)
    return found.params, found.cost


def of_fit(function: Any) -> Callable[..., Any]:
    """Return a function of a fit as one of the parameters where that ended."""

    def at(params: Any, X: Any, y: Any, **options: Any) -> Any:
        numbers = np.zeros((3,), X.dtype)
        found = jlogreg.Fit(params, jlogreg.Status.CONVERGED, 0, *numbers)
        return function(found, X, y, **options)

    return at


def cases(dtype: Any = np.float64, shape: tuple[int, int] = (N, M)) -> dict[str, Case]:
    """Return every public function with arguments of this dtype."""
    problem = make_problem(shape, dtype, "soft labels", seed=7)
    # NaN-free weights that are all positive, so that every sample counts.
    data = problem._replace(weight=problem.weight + 1)._asdict()
    params, X, y = data["params"], data["X"], data["y"]
    z = jnp.asarray(np.linspace(-3, 4, shape[1])[None], dtype)
    one = {"params": params, "X": X}
    fit = ("params.w", "params.b", "X", "y", "weight", "offset")
    vector = jax.tree.map(lambda leaf: leaf + 1, params)
    descent = {**data, "learning_rate": jnp.asarray(0.1, dtype), "steps": 4}
    images = jnp.asarray(np.arange(2 * 3 * 4).reshape(2, 3, 4), dtype)
    samples = {"X": X, "y": y, "weight": data["weight"], "offset": data["offset"]}
    table = {
        "sigmoid": Case(jlogreg.sigmoid, {"z": z}, elements=("z",)),
        "log_sigmoid": Case(jlogreg.log_sigmoid, {"z": z}, elements=("z",)),
        "log_loss_dz2": Case(jlogreg.log_loss_dz2, {"z": z}, elements=("z",)),
        "logits": Case(jlogreg.logits, one, ("params.w", "params.b", "X")),
        "predict_proba": Case(
            jlogreg.predict_proba, one, ("params.w", "params.b", "X")
        ),
        "predict": Case(
            jlogreg.predict,
            {**one, "threshold": jnp.asarray(0.4, dtype)},
            ("params.w", "params.b", "X"),
            ("threshold",),
        ),
        "flatten_images": Case(
            jlogreg.flatten_images, {"images": images}, others=("images",)
        ),
        "stack": Case(
            jlogreg.stack,
            {"params": jax.tree.map(lambda leaf: jnp.stack([leaf, -leaf]), params)},
            others=("params.w", "params.b"),
        ),
        "validate": Case(jlogreg.validate, samples, ("X", "y", "weight", "offset")),
        "hessian_vector": Case(
            jlogreg.hessian_vector,
            {**data, "vector": vector},
            (*fit, "vector.w", "vector.b"),
            ("l2",),
        ),
        "fit": Case(
            fitted,
            {**samples, "l2": jnp.asarray(0.5, dtype), "init": params},
            ("X", "y", "weight", "offset", "init.w", "init.b"),
            ("l2",),
        ),
        "regularization_path": Case(
            path_of,
            {**samples, "l2": jnp.asarray([[0.5], [2.0]], dtype)},
            ("X", "y", "weight", "offset", "l2"),
        ),
        "standardize": Case(
            jlogreg.standardize,
            {"X": X, "weight": samples["weight"]},
            ("X", "weight"),
        ),
        "gradient_descent": Case(
            jlogreg.gradient_descent, descent, fit, ("l2", "learning_rate")
        ),
    }
    for name in ("cost", "gradient", "value_and_gradient", "hessian"):
        table[name] = Case(getattr(jlogreg, name), data, fit, ("l2",))
    # With a penalty that bends them little, or a difference has too few digits.
    held = {**data, "l2": jnp.asarray(3.0, dtype)}
    for name in ("influence", "leave_one_out"):
        table[name] = Case(of_fit(getattr(jlogreg, name)), held, fit, ("l2",))
    pair = {"z": z, "y": y}
    for name in (
        "likelihood",
        "log_likelihood",
        "log_loss",
        "log_loss_dz",
        "squared_loss",
    ):
        table[name] = Case(getattr(jlogreg, name), pair, elements=("z", "y"))
    for name in ("cost", "gradient", "value_and_gradient"):
        function = getattr(loops, name)
        table[f"loops.{name}"] = Case(function, data, fit, ("l2",), traced=False)
    column = jnp.asarray(np.arange(4.0)[:, None], dtype)
    table["loops.dot"] = Case(
        loops.dot, {"u": column, "v": column}, ("u", "v"), traced=False
    )
    return table


def host_cases(dtype: Any = np.float64) -> dict[str, Case]:
    """Return the functions that run on the host only, with arguments."""
    problem = cases(dtype)["cost"].arguments
    X, y, weight, offset = (problem[key] for key in ("X", "y", "weight", "offset"))
    l2 = jnp.asarray([[0.5], [2.0]], dtype)
    rows = {"Y": jnp.concatenate([y, 1 - y]), "weight": weight, "offset": offset}
    folds = jnp.asarray([[0.0, 1, 0, 1, 0], [1, 0, 1, 0, 1]], dtype)
    scanned = {"y": y, "weight": weight, "offset": offset}
    named = ("X", "Y", "weight", "offset", "l2")
    return {
        "fit_many": Case(jlogreg.fit_many, {"X": X, **rows, "l2": l2}, named),
        "cross_validate": Case(
            jlogreg.cross_validate,
            {"X": X, **rows, "l2": l2, "folds": folds},
            (*named, "folds"),
        ),
        "scan_features": Case(
            jlogreg.scan_features,
            {"G": X, "covariates": X[:1] ** 2, **scanned},
            ("G", "covariates", "y", "weight", "offset"),
        ),
    }
