"""Every public function meets every mistake of each of its arguments."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jlogreg as jl
from tests.mistakes import NOT_SEEN_UNDER_JIT, Mistake
from tests.table import cases, count_cases, host_cases

CASES, HOST_CASES = {**cases(), **count_cases()}, host_cases()
ALL = {**CASES, **HOST_CASES}
ARGUMENTS = [(name, path) for name, case in ALL.items() for path in case.kinds]
# A Hessian does not depend on the labels.
INDEPENDENT = {("hessian", "y"), ("hessian_vector", "y")}
WITH_VALUES = [(name, path) for name, path in ARGUMENTS if ALL[name].kinds[path].values]


def refuses(call, mistake, path):
    """Return an empty list, or one with the words of what went wrong."""
    words = mistake.words.replace("{name}", re.escape(path.removeprefix("params.")))
    try:
        call()
    except mistake.error as error:
        found = str(error)
        return [] if re.search(words, found) else [f"{mistake.words}: {found!r}"]
    except Exception as error:
        return [f"{mistake.words}: {type(error).__name__} {error}"]
    return [f"{mistake.words}: accepted"]


def as_numpy(leaf):
    return np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf


def it_ran(_):
    raise AssertionError("it ran")


def wrong(case, path, mistake):
    """Return the arguments of a case with one mistake, which must be seen at once."""
    valid = jax.tree.map(as_numpy, case.get(path))
    changes = {path: mistake.bad(valid)}
    if "memory_limit" in case.kinds:
        changes["progress"] = it_ran
    return case.changed(changes)


def can_be_traced(leaf):
    dtype = getattr(leaf, "dtype", None)
    if isinstance(leaf, np.ma.MaskedArray) or not isinstance(dtype, np.dtype):
        return False
    return dtype.kind in "biufcV" and dtype != np.longdouble


def under_jit_of_vmap(function, arguments):
    """Trace a function of the arguments, mapped over all that can be traced."""
    leaves, tree = jax.tree.flatten(arguments, is_leaf=lambda leaf: leaf is None)
    traced = [can_be_traced(leaf) for leaf in leaves]
    twice = [
        np.stack([leaf, leaf])
        for leaf, chosen in zip(leaves, traced, strict=True)
        if chosen
    ]

    def called(rest):
        rest = iter(rest)
        pairs = zip(leaves, traced, strict=True)
        both = [next(rest) if chosen else leaf for leaf, chosen in pairs]
        return function(**jax.tree.unflatten(tree, both))

    jax.eval_shape(jax.vmap(called, axis_size=2), twice)


@pytest.mark.parametrize(("name", "path"), ARGUMENTS)
def test_a_mistake_of_type_or_shape_is_an_error_however_it_is_called(name, path):
    case, found = ALL[name], []
    for mistake in case.kinds[path].static:
        arguments = wrong(case, path, mistake)
        found += refuses(lambda a=arguments: case.function(**a), mistake, path)
        if name in CASES:
            found += refuses(
                lambda a=arguments: under_jit_of_vmap(case.function, a), mistake, path
            )
    assert not found, "\n".join(found)


def as_a_constant(case, path, arguments):
    """Trace a function of its parameters or logits, the other arguments known."""
    root = path.split(".")[0]
    traced = {
        key: arguments[key]
        for key in ("params", "init", "z")
        if key in arguments and key != root
    }
    rest = {key: arguments[key] for key in arguments if key not in traced}
    jax.eval_shape(lambda traced: case.function(**rest, **traced), traced)


@pytest.mark.parametrize(("name", "path"), WITH_VALUES)
def test_a_number_out_of_range_is_an_error_where_it_is_known(name, path):
    """In eager mode, in NumPy's arrays or JAX's, and as a constant under jit."""
    case, found = ALL[name], []
    for mistake in case.kinds[path].values:
        arguments = wrong(case, path, mistake)
        root = path.split(".")[0]
        of_jax = jax.tree.map(jnp.asarray, arguments[root])
        calls = [arguments, {**arguments, root: of_jax}]
        if path == "X" and "weight" in arguments:
            calls.append({**arguments, "weight": None})
        for given in calls:
            found += refuses(lambda a=given: case.function(**a), mistake, path)
            if name in CASES and case.traced and mistake.words != NOT_SEEN_UNDER_JIT:
                found += refuses(
                    lambda a=given: as_a_constant(case, path, a), mistake, path
                )
    assert not found, "\n".join(found)


def lanes_of(name):
    """Return the mistakes of numbers whose shapes are valid, and the arguments."""
    case = CASES[name]
    for path, kind in case.kinds.items():
        seen = path.split(".")[0] in case.arguments and (name, path) not in INDEPENDENT
        for mistake in kind.values if seen else ():
            bad = wrong(case, path, mistake)
            if jax.tree.map(np.shape, bad) == jax.tree.map(np.shape, case.arguments):
                yield f"{path} {mistake.words}", bad


OF_NUMBERS = sorted({name for name, _ in WITH_VALUES if ALL[name].traced} & set(CASES))


@pytest.mark.parametrize("name", [name for name in OF_NUMBERS if name != "validate"])
def test_a_number_out_of_range_makes_nan_of_its_lane_where_it_is_traced(name):
    """Nothing can be raised there; nothing plausible is returned, nor next to it."""
    case = CASES[name]
    names, lanes = zip(*lanes_of(name), strict=True)
    _, function = case.traceable()
    arrays = [
        {key: arguments[key] for key in arguments if key != "steps"}
        for arguments in (case.arguments, *lanes)
    ]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *arrays)
    found = jax.jit(jax.vmap(function))(stacked)
    due = case.call()
    jax.tree.map(
        lambda leaf, other: np.testing.assert_allclose(leaf[0], other, rtol=1e-12),
        *(found, due),
    )
    leaves = jax.tree.leaves(found)
    first = leaves[name == "standardize"]  # which returns X as it is, before the mean
    spoilt = np.isnan(first).any(axis=tuple(range(1, first.ndim)))
    assert not spoilt[0]
    accepted = [name for name, bad in zip(names, spoilt[1:], strict=True) if not bad]
    assert not accepted


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (None, "accepted"),
        (jl.ShapeError("x has rank 2"), "'x has rank 2'"),
        (TypeError("y has rank 2"), "TypeError y has rank 2"),
        (jl.ShapeError("y has rank 2, or more"), None),
    ],
)
def test_what_is_accepted_or_refused_for_another_reason_is_noticed(error, found):
    mistake = Mistake(jl.ShapeError, "^{name} has rank 2", None)

    def call():
        if error is not None:
            raise error

    expected = [] if found is None else [f"^{{name}} has rank 2: {found}"]
    assert refuses(call, mistake, "params.y") == expected
