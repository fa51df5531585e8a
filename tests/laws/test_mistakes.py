"""Every public function meets every mistake of each of its arguments."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import wrong
from tests.helpers import leaf_pairs, stack
from tests.mistakes import NOT_SEEN_UNDER_JIT
from tests.table import cases, count_cases, host_cases, inference_cases

CASES = {**cases(), **count_cases(), **inference_cases()}
HOST_CASES = host_cases()
ALL = {**CASES, **HOST_CASES}
ARGUMENTS = [(name, path) for name, case in ALL.items() for path in case.kinds]
# A Hessian does not depend on the labels.
INDEPENDENT = {("hessian", "y"), ("hessian_vector", "y")}
WITH_VALUES = [(name, path) for name, path in ARGUMENTS if ALL[name].kinds[path].values]


def refuses(case, arguments, mistake, path):
    """Return an empty list, or one with the words of what went wrong."""
    words = mistake.words.replace("{name}", re.escape(path.removeprefix("params.")))
    try:
        case.function(**arguments)
    except mistake.error as error:
        text = str(error)
        return [] if re.search(words, text) else [f"{mistake.words}: {text!r}"]
    except Exception as error:
        return [f"{mistake.words}: {type(error).__name__} {error}"]
    return [f"{mistake.words}: accepted"]


def can_be_traced(leaf):
    if isinstance(leaf, np.ma.MaskedArray):
        return False
    arrays = jax.Array | np.ndarray | np.generic
    dtype = leaf.dtype if isinstance(leaf, arrays) else None
    if not isinstance(dtype, np.dtype):
        return False
    return dtype.kind in "biufcV" and dtype != np.longdouble


def under_jit_of_vmap(function, arguments):
    """Trace a function of the arguments, mapped over all that can be traced."""
    leaves, tree = jax.tree.flatten(arguments, is_leaf=lambda leaf: leaf is None)
    traced = [can_be_traced(leaf) for leaf in leaves]
    pairs = list(zip(leaves, traced, strict=True))
    twice = [np.stack([leaf, leaf]) for leaf, chosen in pairs if chosen]

    def called(rest):
        rest = iter(rest)
        both = [next(rest) if chosen else leaf for leaf, chosen in pairs]
        function(jax.tree.unflatten(tree, both))

    jax.eval_shape(jax.vmap(called, axis_size=2), twice)


@pytest.mark.parametrize(("name", "path"), ARGUMENTS)
def test_a_mistake_of_type_or_shape_is_an_error_however_it_is_called(name, path):
    case, faults = ALL[name], []
    mistakes = case.kinds[path].static

    def refuse_all(calls):
        for mistake, arguments in zip(mistakes, calls, strict=True):
            faults.extend(refuses(case, arguments, mistake, path))

    calls = [wrong(case, path, mistake) for mistake in mistakes]
    refuse_all(calls)
    if name in CASES:
        under_jit_of_vmap(refuse_all, calls)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(("name", "path"), WITH_VALUES)
def test_a_number_out_of_range_is_an_error_where_it_is_known(name, path):
    """In eager mode, in NumPy's arrays or JAX's, and as a constant under jit."""
    case, faults, root = ALL[name], [], path.split(".")[0]
    calls = []
    for mistake in case.kinds[path].values:
        arguments = wrong(case, path, mistake)
        of_jax = jax.tree.map(jnp.asarray, arguments[root])
        calls += [(mistake, arguments), (mistake, {**arguments, root: of_jax})]
        if path == "X" and "weight" in arguments:
            calls.append((mistake, {**arguments, "weight": None}))
    traced = {
        key: case.arguments[key]
        for key in ("params", "init", "z")
        if key in case.arguments and key != root
    }

    def refuse_all(traced, unseen=()):
        for mistake, arguments in calls:
            if mistake.words not in unseen:
                arguments = {**arguments, **traced}
                faults.extend(refuses(case, arguments, mistake, path))

    refuse_all({})
    if name in CASES and case.traced:
        jax.eval_shape(lambda traced: refuse_all(traced, {NOT_SEEN_UNDER_JIT}), traced)
    assert not faults, "\n".join(faults)


def mistakes_of(name):
    """Return the mistakes of numbers whose shapes are valid, and the arguments."""
    case = CASES[name]
    for path, kind in case.kinds.items():
        seen = path.split(".")[0] in case.arguments and (name, path) not in INDEPENDENT
        for mistake in kind.values if seen else ():
            bad = wrong(case, path, mistake)
            if jax.tree.map(np.shape, bad) == jax.tree.map(np.shape, case.arguments):
                yield f"{path} {mistake.words}", bad


# Of these one is mapped for all: the others begin alike.
ALIKE = {*inference_cases()} - {"inference.covariance"}
OF_NUMBERS = sorted(
    {name for name, _ in WITH_VALUES if ALL[name].traced} & set(CASES) - ALIKE
)


@pytest.mark.parametrize("name", [name for name in OF_NUMBERS if name != "validate"])
def test_a_number_out_of_range_makes_nan_of_its_problem_where_it_is_traced(name):
    """Nothing can be raised there; nothing plausible is returned, nor next to it."""
    case = CASES[name]
    names, calls = zip(*mistakes_of(name), strict=True)
    _, function = case.traceable()
    arrays = [
        {key: arguments[key] for key in arguments if key != "steps"}
        for arguments in (case.arguments, *calls)
    ]
    result = jax.jit(jax.vmap(function))(stack(*arrays))
    for leaf, other in leaf_pairs(result, case.call()):
        np.testing.assert_allclose(leaf[0], other, rtol=1e-12)
    leaves = jax.tree.leaves(result)
    first = leaves[name == "standardize"]  # which returns X as it is, before the mean
    spoilt = np.isnan(first).any(axis=tuple(range(1, first.ndim)))
    assert not spoilt[0]
    accepted = [name for name, bad in zip(names, spoilt[1:], strict=True) if not bad]
    assert not accepted
