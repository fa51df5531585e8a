"""Fit all problems in one call of NeMoS, as neurons with a common design."""

from __future__ import annotations

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.harness.compare import Attempt, Way, loosest
from experiments.benchmarks.harness.problems import Models, Problems
from experiments.benchmarks.peers.scikit_learn import DTYPES

MISSING = "NeMoS is not installed (the extra `peers`): its PopulationGLM is skipped"


def population(
    problems: Problems, goal: float, probes: int
) -> tuple[list[Attempt], list[str]]:
    """Return NeMoS's way, or a note if it is not installed.

    The search for its tolerance begins with the one that some of the rows need.
    """
    try:
        import nemos  # noqa: F401
    except ImportError:
        return [], [MISSING]
    # float32 is faster; float64 is tried if float32 does not reach the goal.
    for dtype in DTYPES:
        some = problems.part(np.arange(probes))
        first = loosest(partial(_way, some, dtype), goal)
        tried = loosest(partial(_way, problems, dtype), goal, start=first.tol)
        if tried.reached <= goal:
            break
    return [tried], []


def _way(problems: Problems, dtype: str, tol: float) -> Way:
    def run() -> Models:
        with jax.enable_x64(dtype == "float64"):
            return _fit(problems, dtype, tol)

    name = f"NeMoS PopulationGLM, LBFGS, {dtype}, tol {tol:g}"
    return Way(name, run, problems.largest_gradient)


def _fit(problems: Problems, dtype: str, tol: float) -> Models:
    from nemos.glm import PopulationGLM

    # Its cost is the sum of ours over the neurons, with the same penalty. L-BFGS is the
    # fastest of its solvers that reach the goal: nonlinear CG stops at 1e-3 in float32.
    model = PopulationGLM(
        observation_model="Bernoulli",
        regularizer="Ridge",
        regularizer_strength=problems.l2,
        solver_name="LBFGS",
        solver_kwargs={"tol": tol, "maxiter": 5000},
    )
    X, Y = jnp.asarray(problems.X, dtype), jnp.asarray(problems.Y.T, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it has not converged
        model.fit(X, Y)
    return Models(w=np.asarray(model.coef_), b=np.asarray(model.intercept_)[:, None])
