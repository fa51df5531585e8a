"""No function of `jlogreg.inference` gives a number for a fit that failed.

The table of inputs, each known, traced, and as one problem of many. The standard errors
of what converged are those of mpmath.
"""

import functools

import jax
import numpy as np
import pytest
from mpmath import mp

import jlogreg as jl
from jlogreg import Status, inference
from tests.helpers import EPS, Problem, entry, stack
from tests.inputs_static import GROUPS
from tests.oracles.high_precision import (
    WORKING,
    exact,
    exact_minimum,
    inverse_hessian,
)

pytestmark = pytest.mark.nightly  # its programs take two minutes to compile
GROUP = GROUPS[0]
CLUSTERS = np.arange(12)[None] // 3
ADDED = np.square(GROUP.base["X"][:1])
PRIORS = (0.0, 0.5)
CASES = {case.name: case for case in GROUP.cases}


def functions(tau):
    """Return the functions of a fit, by name, with the arguments that each takes."""
    several = {"weight", "offset"}
    penalized = several | {"l2"}
    prior = {"jeffreys": tau}
    kinds = ["fisher", "augmented"] if tau else ["fisher", "HC0", "HC1", "HC2", "HC3"]
    table = {
        f"errors {kind}": (
            inference.standard_errors,
            penalized,
            {"kind": kind, **prior},
        )
        for kind in kinds
    }
    for kind in ("wald", "profile"):
        options = {"kind": kind, **prior}
        table[f"{kind} interval"] = (inference.confidence_interval, penalized, options)
    samples = {"samples": GROUP.base["X"][:, :2], **prior}
    table |= {
        "correlation": (inference.correlation, penalized, prior),
        "effects": (inference.marginal_effects, penalized, prior),
        "prediction": (inference.predict_interval, penalized, samples),
        "ratio": (inference.likelihood_ratio_test, several, {"features": [0], **prior}),
        "wald": (inference.wald_test, penalized, {"hypothesis": "all", **prior}),
    }
    if tau:
        return table
    groups = {"kind": "cluster", "clusters": CLUSTERS}
    again = {"kind": "bootstrap", "weights": "probability", "replicates": 8}
    again["key"] = jax.random.key(0)
    return table | {
        "bootstrap": (inference.confidence_interval, penalized, again),
        "cluster": (inference.covariance, penalized, groups),
        "diagnostics": (inference.diagnostics, penalized, {}),
        "score": (inference.score_test, several, {"added": ADDED}),
        "statistics": (inference.fit_statistics, several, {}),
    }


def fitted(tau, given):
    return jl.fit(jeffreys=tau, **given)


def call(found, given, function, names, options):
    rows = {name: given[name] for name in names}
    return function(found, given["X"], given["y"], **rows, **options)


def everything(tau, given):
    found = fitted(tau, given)
    table = functions(tau)
    return found, {name: call(found, given, *row) for name, row in table.items()}


JITTED = {tau: jax.jit(functools.partial(everything, tau)) for tau in PRIORS}
MAPPED = {tau: jax.jit(jax.vmap(functools.partial(everything, tau))) for tau in PRIORS}


def known(case):
    return {**GROUP.base, **case.changes}


def traceable(case):
    given = known(case)
    numbers = {name: np.asarray(given[name], float) for name in ("l2", "tol")}
    return {**given, **numbers, "max_steps": np.int32(given["max_steps"])}


def any_number(result):
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(result)]
    return any(np.isfinite(leaf).any() for leaf in leaves if leaf.dtype.kind == "f")


@functools.cache
def exact_errors(name):
    """Return the standard errors of the weights of a case without a penalty."""
    given = known(CASES[name])
    rows = (given[key] for key in ("X", "y", "weight", "offset", "l2"))
    problem = Problem(None, *rows)
    with mp.workdps(WORKING):
        data, state = exact(problem), exact_minimum(problem, CASES[name].near)
        inverse = np.diag(inverse_hessian(state, data))[:-1]
        total = mp.fsum(map(mp.mpf, given["weight"][given["weight"] > 0].tolist()))
        lost = max(abs(data.center[:-1]) / abs(data.rows[:-1]).max(axis=1))
        return [float(mp.sqrt(each / total)) for each in inverse], float(lost)


def faults(tau, name, found, results):
    """Yield what is wrong with the results of a fit."""
    status = Status(int(found.status))
    if status != Status.CONVERGED:
        yield from (
            f"{name}: a {label} of a fit that is {status.name}"
            for label, result in results.items()
            if any_number(result)
        )
    elif not tau and not np.any(known(CASES[name])["l2"]):
        own = results.get("errors fisher")
        if own is not None and np.isfinite(own).all():
            expected, lost = exact_errors(name)
            off = np.abs(own[:-1, 0] / expected - 1).max()
            # A looser fit is nearer than its tolerance.
            if off > 1e-6 + 1e3 * EPS * lost + known(CASES[name])["tol"] ** 2:
                yield f"{name}: standard errors are off by {off:.1e}, lost {lost:.1e}"


@pytest.mark.parametrize("tau", PRIORS)
def test_traced(tau):
    wrong = []
    for name, case in CASES.items():
        wrong += faults(tau, name, *jax.device_get(JITTED[tau](traceable(case))))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("tau", PRIORS)
def test_mapped(tau):
    given = stack(*map(traceable, CASES.values()))
    results = jax.device_get(MAPPED[tau](given))
    wrong = []
    for k, name in enumerate(CASES):
        wrong += faults(tau, name, *entry(results, k))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("tau", PRIORS)
def test_known(tau):
    """What is out of range is an error of each function by itself."""
    wrong, table = [], functions(tau)
    plain = fitted(tau, GROUP.base)
    for name, case in CASES.items():
        given, results = known(case), {}
        refused = isinstance(case.eager, str)
        try:
            found = fitted(tau, given)
        except ValueError:
            found = plain
        for label, row in table.items():
            try:
                results[label] = jax.device_get(call(found, given, *row))
            except ValueError:
                continue
            changes = case.changes.keys() & (row[1] | {"X", "y"})
            if refused and changes:
                wrong.append(f"{name}: {label} accepts it")
        if not refused:
            wrong += faults(tau, name, found, results)
    assert not wrong, "\n".join(wrong)
