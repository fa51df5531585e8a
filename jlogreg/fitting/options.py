"""Options of a fit: the solver, the tolerance and the number of steps."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jlogreg.base.arrays import as_array, at_least, is_traced
from jlogreg.base.checks import check_count, check_number, check_range
from jlogreg.base.errors import DtypeError
from jlogreg.base.params import Params, check_bias
from jlogreg.data.design import Design
from jlogreg.formulations.dual import DUAL, dual_applies
from jlogreg.formulations.matrix_free import MATRIX_FREE
from jlogreg.formulations.primal import PRIMAL
from jlogreg.formulations.problem import Formulation, Limits
from jlogreg.formulations.sparse.composite import COMPOSITE
from jlogreg.objective.jeffreys import Jeffreys
from jlogreg.solvers.driver import Solver
from jlogreg.solvers.first_order import Optax
from jlogreg.solvers.lbfgs import LBFGS
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG
from jlogreg.solvers.proximal.proximal_newton import ProximalNewton

__all__ = [
    "MAX_FEATURES",
    "check_l1_solver",
    "check_limits",
    "check_solver",
    "check_start",
    "choose_solver",
    "formulation_of",
    "free_unknowns",
]

# A Hessian is formed up to this number of features, or of samples in the dual.
MAX_FEATURES, MAX_SAMPLES = 512, 2048
# Most fits take ten steps or fewer. Where offsets of hundreds leave few samples with a
# curvature, Newton's method takes up to some hundreds.
MAX_STEPS, MAX_DESCENT_STEPS = 500, 10_000


def check_solver(solver: Solver | None, jeffreys: Any = None) -> Solver | None:
    """Return the solver, checked: Newton() by default where jeffreys is not None.

    Raises:
        DtypeError: if it is not one of this library's.
        ValueError: if it forms no information, which Jeffreys' prior needs.
    """
    kinds = Newton | NewtonCG | LBFGS | Optax | ProximalNewton
    if solver is None or isinstance(solver, kinds):
        if jeffreys is None:
            return solver
        if isinstance(solver, Newton | None):
            return solver or Newton()
        raise ValueError(
            f"jeffreys needs solver=Newton(), which forms the information, but solver "
            f"is {solver!r}"
        )
    of_optax = hasattr(solver, "init") and hasattr(solver, "update")
    given = (
        "an optimizer of optax: write solver=Optax(...)" if of_optax else f"{solver!r}"
    )
    raise DtypeError(
        "solver must be Newton(), NewtonCG(), LBFGS(), Optax(...) or ProximalNewton(), "
        f"but is {given}"
    )


def check_l1_solver(
    solver: Solver | None,
    l1: Array | None,
    dtype: Any,
    jeffreys: Jeffreys | None = None,
) -> tuple[Solver | None, Array | None]:
    """Return the solver, and l1 for it; None where there is no such penalty.

    Raises:
        DtypeError: if the solver is not one of this library's.
        ValueError: if there is such a penalty, and the solver or the prior takes none.
    """
    if l1 is not None and jeffreys is not None:
        raise ValueError("l1 and jeffreys do not go together: give one of them")
    solver = check_solver(solver, jeffreys)
    if isinstance(solver, ProximalNewton):
        return solver, as_array(0.0, dtype) if l1 is None else l1
    if l1 is None:
        return solver, None
    if solver is None:
        return ProximalNewton(), l1
    raise ValueError(
        f"l1 has no derivative at 0, which {type(solver).__name__} needs: leave solver "
        "out, or pass solver=ProximalNewton()"
    )


def check_limits(solver: Solver, tol: Any, max_steps: Any, dtype: Any) -> Limits:
    """Return tolerance and steps as arrays, with their defaults.

    Raises:
        DtypeError, RankError: if one is not a number.
        ValueError: if a number is out of range.
    """
    eps = float(np.finfo(dtype).eps)
    tol = 2 * eps**0.5 if tol is None else tol
    tol = check_range("tol", check_number("tol", tol, dtype), 0.0, 0.1, above=True)
    if max_steps is None:
        max_steps = MAX_DESCENT_STEPS if isinstance(solver, Optax) else MAX_STEPS
    known = tol if is_traced(tol) else jax.device_get(tol)
    return Limits(as_array(at_least(known, 4 * eps), dtype), _check_steps(max_steps))


def _check_steps(value: Any) -> Int[Array, ""]:
    if not is_traced(value):
        return as_array(check_count("max_steps", value, least=0), jnp.int32)
    if value.ndim or not jnp.issubdtype(value.dtype, jnp.integer):
        raise DtypeError(
            f"max_steps must be a whole number, but is an array of {value.dtype} of "
            f"shape {value.shape}"
        )
    return value.astype(jnp.int32)


def free_unknowns(bias: bool, n: int, dtype: Any) -> Float[Array, "n+1 1"] | None:
    """Return 1 for each weight and 0 for the bias; None where the bias is free, too.

    Raises:
        DtypeError: if bias is not True or False.
    """
    if check_bias(bias):
        return None
    return as_array(np.append(np.ones(n), 0.0)[:, None], dtype)


def check_start(init: Params, bias: bool, name: str = "") -> Params:
    """Return the parameters to start from, finite, and with b = 0 without a bias.

    Raises:
        ValueError: if a number is invalid and not traced.
    """
    w = check_range(f"{name}w", init.w)
    limit = None if bias else 0.0
    return Params(w=w, b=check_range(f"{name}b", init.b, limit, limit))


def choose_solver(
    X: Design,
    l2: Array,
    max_features: int = MAX_FEATURES,
    max_samples: int = MAX_SAMPLES,
) -> Solver:
    """Return the solver for a design and a penalty of these shapes.

    Args:
        X: the design.
        l2: the penalty.
        max_features: up to this number of features Newton() forms a Hessian.
        max_samples: the same for samples, where the dual formulation applies.
    """
    n, m = X.shape
    few = m <= max_samples if dual_applies(X, l2) else n <= max_features
    return Newton() if few else NewtonCG()


def formulation_of(solver: Solver, X: Design, l2: Array) -> Formulation:
    """Return the formulation that a solver minimizes, for these shapes."""
    if isinstance(solver, ProximalNewton):
        return COMPOSITE
    if not isinstance(solver, Newton):
        return MATRIX_FREE
    return DUAL if dual_applies(X, l2) else PRIMAL
