"""One table of all public functions, with arguments that they accept.

The tests by transformation and the test of the rank discipline run over it; a public
function that is missing from it fails the suite.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jlogreg
from jlogreg import inference, loops, metrics
from jlogreg.testing.rank_discipline import get_at, with_at
from tests import mistakes as kind
from tests.helpers import make_problem
from tests.oracles.numpy_fit import numpy_minimum

N, M = 3, 5
# One for all calls, which so share their program.
DESCENT = optax.sgd(0.1)

# Public names that take no arrays of numbers, or any a function of the user's does.
NOT_OF_ARRAYS = {
    *("broadcast_shape", "computation_graph", "mesh", "raise_if_failed"),
    "one_against_rest",
}
# `scan_features` runs it on one block after the other.
SAME_AS_ANOTHER = {"scan_blocks"}
# What is not a function of the library: classes, errors, and the module of loops.
NOT_FUNCTIONS = {
    *("Dense", "Sparse", "Stacked", "Standardized", "Streamed"),
    *(
        "Certificate",
        "Descent",
        "Fit",
        "MinibatchDescent",
        "Params",
        "Status",
        "Summary",
    ),
    *("CrossValidation", "Graph", "Node", "Progress", "Scan"),
    *("DtypeError", "FitError", "RankError", "ReadError", "ShapeError"),
    *("LBFGS", "Newton", "NewtonCG", "Optax", "ProximalNewton"),
    *("inference", "loops", "metrics", "progress"),
}


class Case(NamedTuple):
    """A public function, arguments that it accepts, and the kind of each.

    kinds: by path, such as "X" or "params.w", also of settings that are left out;
    traced: whether the function works under jit.
    """

    function: Callable[..., Any]
    arguments: dict[str, Any]
    kinds: dict[str, kind.Kind]
    traced: bool = True

    def changed(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments with some of them, named by path, replaced."""
        arguments = self.arguments
        for path, value in changes.items():
            arguments = with_at(arguments, path, value)
        return arguments

    def call(self, **changes: Any) -> Any:
        """Call the function with some arguments, named by path, replaced."""
        return self.function(**self.changed(changes))

    def traceable(self) -> tuple[dict[str, Any], Callable[..., Any]]:
        """Return the arguments that can be traced, and the function of them."""
        static = {key: given for key, given in self.arguments.items() if key == "steps"}
        arrays = {key: given for key, given in self.arguments.items() if key != "steps"}
        return arrays, lambda arrays: self.function(**arrays, **static)

    def get(self, path: str) -> Any:
        """Return an argument, or None where it is left out."""
        left_out = path.split(".")[0] not in self.arguments
        return None if left_out else get_at(self.arguments, path)


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
        numbers = np.zeros((3,), getattr(X, "dtype", float))
        found = jlogreg.Fit(params, jlogreg.Status.CONVERGED, 0, *numbers)
        return function(found, X, y, **options)

    return at


def summary_text(*arguments: Any, **options: Any) -> str:
    """Return a summary as text."""
    return str(jlogreg.summary(*arguments, **options))


def each(kinds: dict[str, kind.Kind], *names: str) -> dict[str, kind.Kind]:
    """Return the kinds of these arguments, of parameters with those of w and b."""
    return {path: kinds[path] for path in kinds if path.split(".")[0] in names}


def holding(
    name: str, params: kind.Kind, w: kind.Kind, b: kind.Kind
) -> dict[str, kind.Kind]:
    """Return the kinds of an argument that is Params."""
    return {name: params, f"{name}.w": w, f"{name}.b": b}


SAMPLES = {
    "X": kind.DESIGN,
    "y": kind.LABELS,
    "weight": kind.WEIGHT,
    "offset": kind.OFFSET,
}
SEARCH = {
    "tol": kind.TOLERANCE,
    "max_steps": kind.count(0),
    "solver": kind.SOLVER,
}
ONE_MODEL = holding("params", kind.PARAMS, kind.W, kind.B)
MODELS = holding("params", kind.PARAMS, kind.PREDICTING_W, kind.B)
PREDICTED = {**MODELS, "X": kind.ANY_DESIGN, "offset": kind.OFFSET}
START = holding("init", kind.INIT, kind.FINITE_W, kind.FINITE_B)
COST = {**ONE_MODEL, **SAMPLES, "l2": kind.PENALTY}
PENALIZED = {**COST, "jeffreys": kind.PRIOR}


def cases(dtype: Any = np.float64, shape: tuple[int, int] = (N, M)) -> dict[str, Case]:
    """Return every public function that can be traced, and the loops."""
    problem = make_problem(shape, dtype, "soft labels", seed=7)
    # NaN-free weights that are all positive, so that every sample counts.
    data = problem._replace(weight=problem.weight + 1)._asdict()
    params, X, y = data["params"], data["X"], data["y"]
    z = jnp.asarray(np.linspace(-3, 4, shape[1])[None], dtype)
    one = {"params": params, "X": X, "offset": data["offset"]}
    vector = jax.tree.map(lambda leaf: leaf + 1, params)
    descent = {**data, "learning_rate": jnp.asarray(0.1, dtype), "steps": 4}
    images = jnp.asarray(np.arange(2 * 3 * 4).reshape(2, 3, 4), dtype)
    samples = {"X": X, "y": y, "weight": data["weight"], "offset": data["offset"]}
    table = {
        "logits": Case(jlogreg.logits, one, PREDICTED),
        "predict_proba": Case(jlogreg.predict_proba, one, PREDICTED),
        "predict": Case(
            jlogreg.predict,
            {**one, "threshold": jnp.asarray(0.4, dtype)},
            {**PREDICTED, "threshold": kind.THRESHOLD},
        ),
        "flatten_images": Case(
            jlogreg.flatten_images, {"images": images}, {"images": kind.IMAGES}
        ),
        "stack": Case(
            jlogreg.stack,
            {"params": jax.tree.map(lambda leaf: jnp.stack([leaf, -leaf]), params)},
            holding("params", kind.PARAMS, kind.STACKED, kind.STACKED),
        ),
        "validate": Case(jlogreg.validate, samples, SAMPLES),
        "hessian_vector": Case(
            jlogreg.hessian_vector,
            {**data, "vector": vector},
            {**PENALIZED, **holding("vector", kind.PARAMS, kind.W, kind.B)},
        ),
        "fit": Case(
            fitted,
            {**samples, "l2": jnp.asarray(0.5, dtype), "init": params},
            {
                **{**SAMPLES, "l2": kind.PENALTY, "l1": kind.PENALTY},
                **{"jeffreys": kind.PRIOR, **START, **SEARCH},
            },
        ),
        "l1_max": Case(jlogreg.l1_max, samples, SAMPLES),
        "regularization_path": Case(
            path_of,
            {**samples, "l2": jnp.asarray([[0.5], [2.0]], dtype)},
            # Each design compiles it anew.
            {**SAMPLES, "X": kind.SOME_DESIGN, "l2": kind.PENALTIES, **SEARCH},
        ),
        "standardize": Case(
            jlogreg.standardize,
            {"X": X, "weight": samples["weight"]},
            {"X": kind.ANY_DESIGN, "weight": kind.WEIGHT},
        ),
        "gradient_descent": Case(
            jlogreg.gradient_descent,
            descent,
            {
                **COST,
                **holding("params", kind.PARAMS, kind.FINITE_W, kind.FINITE_B),
                "learning_rate": kind.RATE,
                "steps": kind.count(0, None),
                "optimizer": kind.OPTIMIZER,
            },
        ),
    }
    for name in ("cost", "gradient", "value_and_gradient", "hessian"):
        table[name] = Case(getattr(jlogreg, name), data, PENALIZED)
    with_l1 = {**data, "l1": jnp.asarray(0.1, dtype)}
    for name, kinds in (("cost", PENALIZED), ("subgradient", COST)):
        taken = {**kinds, "l1": kind.PENALTY}
        table[name] = Case(getattr(jlogreg, name), with_l1, taken)
    # With a penalty that bends them little, or a difference has too few digits.
    held = {**data, "l2": jnp.asarray(3.0, dtype)}
    for name in ("influence", "leave_one_out"):
        table[name] = Case(of_fit(getattr(jlogreg, name)), held, COST)
    for name in ("sigmoid", "log_sigmoid", "log_loss_dz2"):
        table[name] = Case(
            getattr(jlogreg, name), {"z": z}, {"z": kind.LOGIT._replace(free=True)}
        )
    pair = {"z": z, "y": y}, {"z": kind.LOGIT, "y": kind.LABEL}
    for name in (
        "likelihood",
        "log_likelihood",
        "log_loss",
        "log_loss_dz",
        "squared_loss",
    ):
        table[name] = Case(getattr(jlogreg, name), *pair)
    of_loops = {**COST, "X": kind.FEATURES}
    for name in ("cost", "gradient", "value_and_gradient"):
        table[f"loops.{name}"] = Case(getattr(loops, name), data, of_loops, False)
    scored = {"y": y, "weight": data["weight"]}
    of_scores = {"y": kind.SCORED_LABELS, "weight": kind.SCORED_WEIGHT}
    for name, first in {
        **dict.fromkeys(["roc_auc", "average_precision"], "scores"),
        "log_loss": "z",
        **dict.fromkeys(["brier", "brier_decomposition", "calibration_error"], "a"),
        **dict.fromkeys(["accuracy", "confusion"], "a"),
    }.items():
        given = {first: z if first != "a" else jax.nn.sigmoid(z), **scored}
        kinds = {first: kind.SCORES if first != "a" else kind.PROBABILITIES}
        if name in ("accuracy", "confusion"):
            given["threshold"] = jnp.asarray(0.4, dtype)
            kinds["threshold"] = kind.THRESHOLD
        if name in ("brier_decomposition", "calibration_error"):
            kinds["bins"] = kind.count(1)
        function = getattr(metrics, name)
        if "bins" in kinds:  # several samples in a bin
            function = partial(function, bins=2)
        table[f"metrics.{name}"] = Case(function, given, {**kinds, **of_scores})
    column = jnp.asarray(np.arange(4.0)[:, None], dtype)
    table["loops.dot"] = Case(
        loops.dot,
        {"u": column, "v": column},
        {"u": kind.FEATURES._replace(values=()), "v": kind.VECTOR},
        traced=False,
    )
    return table


def inference_cases(dtype: Any = np.float64) -> dict[str, Case]:
    """Return the functions of `jlogreg.inference`, of fits and of predictions."""
    problem = make_problem((N, M), dtype, "soft labels", seed=7, l2=0.0)
    problem = problem._replace(weight=problem.weight + 1)
    at = {"params": jax.tree.map(jnp.asarray, numpy_minimum(problem))}
    X, y, weight, offset = problem.X, problem.y, problem.weight, problem.offset
    at |= {"X": X, "y": y, "weight": weight, "offset": offset}
    unpenalized = {**ONE_MODEL, **SAMPLES}
    penalized = {**unpenalized, "l2": kind.PENALTY}
    functions = {name: getattr(inference, name) for name in inference.__all__}
    functions = {k: f for k, f in functions.items() if inspect.isfunction(f)}
    table = {}
    for name, function in functions.items():
        options, kinds = at, unpenalized
        taken = inspect.signature(function).parameters
        if "l2" in taken:
            options, kinds = {**at, "l2": jnp.zeros((), dtype)}, penalized
        if "jeffreys" in taken:
            kinds = {**kinds, "jeffreys": kind.PRIOR}
        table[name] = Case(of_fit(function), options, kinds)
    for name in ("standard_errors", "correlation"):
        table[name] = table["covariance"]._replace(function=of_fit(functions[name]))
    table["score_test"] = Case(
        of_fit(partial(inference.score_test, added=X[:1] ** 2)), at, unpenalized
    )
    predicts = partial(inference.predict_interval, samples=X[:, :2])
    table["predict_interval"] = table["covariance"]._replace(function=of_fit(predicts))
    rows = {"y": (y > 0.5).astype(dtype), "weight": weight}
    kinds = {"y": kind.LABELS, "weight": kind.WEIGHT}
    for name, first in (
        ("auc_delong", "score"),
        ("hosmer_lemeshow", "probability"),
        ("calibration_line", "z"),
    ):
        table[name] = Case(functions[name], {first: y, **rows}, kinds)
    return {f"inference.{name}": case for name, case in table.items()}


def host_cases(dtype: Any = np.float64) -> dict[str, Case]:
    """Return the functions that run on the host only."""
    problem = cases(dtype)["gradient"].arguments
    X, y, weight, offset = (problem[key] for key in ("X", "y", "weight", "offset"))
    l2 = jnp.asarray([[0.5], [2.0]], dtype)
    rows = {"Y": jnp.concatenate([y, 1 - y]), "weight": weight, "offset": offset}
    folds = jnp.asarray([[0.0, 1, 0, 1, 0], [1, 0, 1, 0, 1]], dtype)
    scanned = {"y": y, "weight": weight, "offset": offset}
    limits = {**SEARCH, "memory_limit": kind.MEMORY}
    of_fits = {path: COST[path] for path in COST if path != "params"}
    unpenalized = {key: problem[key] for key in ("params", *SAMPLES)}
    return {
        "fit_many": Case(
            jlogreg.fit_many,
            {
                **{"X": X, **rows, "l2": l2, "l1": l2, "jeffreys": 0 * l2},
                "init": problem["params"],
            },
            {
                "X": kind.ANY_DESIGN,
                "Y": kind.ROWS.but(*kind.NONE).taking_booleans(),
                **dict.fromkeys(["weight", "offset"], kind.ROWS),
                "l2": kind.PENALTY_EACH,
                "l1": kind.PENALTY_EACH,
                "jeffreys": kind.PRIOR_EACH,
                **holding("init", kind.STARTS, kind.START_LEAF, kind.START_LEAF),
                **limits,
            },
        ),
        "cross_validate": Case(
            jlogreg.cross_validate,
            {"X": X, **rows, "l2": l2, "folds": folds},
            {
                "X": kind.ANY_DESIGN,
                "Y": kind.LABEL_ROWS,
                "weight": kind.WEIGHT_ROWS,
                "offset": kind.OFFSET._replace(values=()),
                "l2": kind.GRID,
                "folds": kind.FOLDS,
                "rule": kind.RULE,
                "reduction": kind.REDUCTION,
                "metrics": kind.METRICS,
                **limits,
            },
        ),
        "minibatch_descent": Case(
            partial(jlogreg.minibatch_descent, optimizer=DESCENT),
            {**problem, "epochs": 2, "batch_size": 2, "key": jax.random.key(7)},
            {
                **COST,
                **holding("params", kind.PARAMS, kind.FINITE_W, kind.FINITE_B),
                **{"epochs": kind.count(0), "batch_size": kind.BATCH_SIZE},
                **{"key": kind.KEY, "optimizer": kind.TRANSFORMATION},
            },
        ),
        "scan_features": Case(
            jlogreg.scan_features,
            {"G": X, "covariates": X[:1] ** 2, **scanned},
            {
                "G": kind.SCANNED,
                "covariates": kind.COVARIATES,
                "y": kind.LEADING_LABELS,
                "weight": kind.WEIGHT,
                "offset": kind.OFFSET,
                "tol": kind.TOLERANCE,
            },
        ),
        "penalty_grid": Case(
            jlogreg.penalty_grid,
            {"X": X, "Y": rows["Y"], "weight": weight, "offset": offset},
            {
                "X": kind.ANY_DESIGN,
                "Y": kind.LABEL_ROWS,
                "weight": kind.WEIGHT_ROWS._replace(values=()),
                "offset": kind.OFFSET._replace(values=()),
            },
        ),
        "put": Case(
            partial(jlogreg.put, jlogreg.mesh(samples=2)),
            {"X": X, "y": y, "weight": weight, "offset": offset},
            {
                "X": kind.FEATURES._replace(values=()),
                "y": kind.PLACED.but(*kind.NONE).taking_booleans(),
                **dict.fromkeys(["weight", "offset"], kind.PLACED),
            },
        ),
        "certificate": Case(
            of_fit(jlogreg.certificate), problem, {**of_fits, "l1": kind.PENALTY}
        ),
        "summary": Case(
            of_fit(summary_text),
            unpenalized,
            {**each(of_fits, *unpenalized, "l2"), "jeffreys": kind.PRIOR},
        ),
    }


def count_cases() -> dict[str, Case]:
    """Return the functions of whole numbers, which no array of numbers goes into."""
    m = {"key": jax.random.key(0), "m": 7}
    return {
        "init_params": Case(
            jlogreg.init_params,
            {"n": 2},
            {"n": kind.count(0, None), "dtype": kind.REAL},
        ),
        "fold_weights": Case(
            jlogreg.fold_weights,
            {**m, "folds": 3},
            {
                **{"m": kind.count(2, None), "folds": kind.FOLD_COUNT},
                **{"dtype": kind.REAL, "key": kind.KEY},
            },
        ),
        "bootstrap_weights": Case(
            jlogreg.bootstrap_weights,
            {**m, "replicates": 3},
            {
                "m": kind.count(1, None),
                "replicates": kind.count(1, None),
                "dtype": kind.REAL,
                "key": kind.KEY,
            },
        ),
    }
