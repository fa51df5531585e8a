"""The programs of the package: what is compiled, how many are kept, when they go."""

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jlogreg
from jlogreg.base import programs
from jlogreg.base.programs import is_tracing
from tests.table import cases, count_cases, host_cases

MAPPINGS = Path("/proc/self/maps")
counted = pytest.mark.skipif(not MAPPINGS.exists(), reason="mappings have no file")
ADAM, LBFGS = optax.adam(0.1), jlogreg.Optax(optax.lbfgs())
CASES = {**cases(), **host_cases(), **count_cases()}
# The settings that change what is compiled.
VARIANTS = {
    **{name: (name, {}) for name in CASES},
    "fit by NewtonCG": ("fit", {"solver": jlogreg.NewtonCG()}),
    "fit by Optax": ("fit", {"solver": LBFGS}),
    "a path by NewtonCG": ("regularization_path", {"solver": jlogreg.NewtonCG()}),
    "a descent by optax.adam": ("gradient_descent", {"optimizer": optax.adam}),
    "a descent by a finished optimizer": (
        "gradient_descent",
        {"optimizer": ADAM, "learning_rate": None},
    ),
}
# Numbers that vary from call to call; max_steps is a whole number.
SCALARS = {"l2": 1.5, "tol": 0.5, "learning_rate": 0.5, "threshold": 0.5}


def mappings() -> int:
    return MAPPINGS.read_bytes().count(b"\n")


def compiled_by(call) -> list[str]:
    """Return the names of the functions that a call compiles."""
    names = []

    def listen(event, _seconds, **about):
        if event.endswith("/backend_compile_duration"):
            names.append(about.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.block_until_ready(call())
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return names


def changed(case, settings, number):
    """Return the arguments with other numbers, of the same shapes and kinds."""
    arguments = {**case.arguments, **settings}
    for name, factor in SCALARS.items():
        if isinstance(arguments.get(name), jax.Array):
            scale = np.asarray(factor**number, arguments[name].dtype)
            arguments[name] = jax.device_put(np.asarray(arguments[name]) * scale)
    if "max_steps" in case.kinds:
        arguments["max_steps"] = 50 + number
    if "tol" in case.kinds:
        arguments["tol"] = 1e-8 / (1 + number)
    return arguments


@counted
@pytest.mark.parametrize("name", VARIANTS)
def test_equal_shapes_compile_nothing_anew(name):
    """And take no mapping of memory, from arrays of JAX and of NumPy."""
    function, settings = VARIANTS[name]
    case = CASES[function]

    def call(number):
        arguments = changed(case, settings, number)
        if number % 2 and not isinstance(arguments.get("key"), jax.Array):
            arguments = jax.tree.map(
                lambda leaf: np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf,
                arguments,
            )
        # Optax multiplies whole numbers by floats.
        with jax.numpy_dtype_promotion("standard"):
            return case.function(**arguments)

    for number in range(2):
        jax.block_until_ready(call(number))
    before = mappings()
    assert compiled_by(lambda: [call(number) for number in range(2, 6)]) == []
    # The threads of a pool may still start; a program takes two mappings at least.
    assert mappings() - before < 6


@counted
def test_programs_go_when_half_of_the_room_is_taken():
    function = jax.jit(lambda x: jnp.sin(x @ x.T).sum())
    function(np.ones((1, 1)))  # the first takes more than the others
    gc.collect()
    room, bound = 60, programs._Bound(0)
    bound.functions.append(function)
    bound.left = mappings()
    bound.allowed = bound.left + 2 * room
    most, kept = 0, []
    for size in range(2, 102):
        function(np.ones((size, 1)))
        bound.listen("/jax/core/compile/backend_compile_duration", 0.0)
        bound.listen("/jax/core/compile/jaxpr_trace_duration", 0.0)
        kept.append(function._cache_size())
        most = max(most, mappings())
    # It was let go several times, and not after each program.
    assert np.sum(np.diff(kept) < 0) >= 2
    assert max(kept) > 16
    # All of them would take 300.
    assert most < bound.allowed + room


def test_programs_are_estimated_where_mappings_cannot_be_counted(monkeypatch, tmp_path):
    monkeypatch.setattr(programs, "MAPPINGS", tmp_path / "none")
    function, bound = jax.jit(lambda x: x + 1), programs._Bound(programs.ALLOWED)
    bound.functions.append(function)
    function(1.0)
    enough = programs.ALLOWED // 2 // programs.MAPPINGS_EACH + programs.INTERVAL
    for _ in range(enough):
        assert function._cache_size() == 1 or bound.compilations < enough // 2
        bound.listen("/jax/core/compile/backend_compile_duration", 0.0)
    assert function._cache_size() == 0
    assert bound.left < programs.ALLOWED // 2


def test_programs_may_go_at_any_time(monkeypatch):
    """After each compilation, within a trace too, and with all the caches of JAX."""

    def of(z):
        return jlogreg.log_loss(z, 1.0)

    def values():
        z = jnp.asarray(0.3)
        return of(z), jax.grad(of)(z), jax.jit(jax.vmap(of))(z[None])

    expected = values()
    monkeypatch.setattr(programs, "INTERVAL", 1)
    monkeypatch.setattr(programs._BOUND, "allowed", -(10**9))
    for clear in (programs._BOUND.keep, jax.clear_caches):
        clear()
        for value, same in zip(values(), expected, strict=True):
            np.testing.assert_array_equal(value, same)
        assert not any(each._cache_size() for each in programs._BOUND.functions)


def test_a_program_by_itself_is_compiled_in_the_quick_way(monkeypatch):
    """As far as neither the user's flags nor XLA are against it."""
    level = "xla_backend_optimization_level"
    options = programs._compiler_options.__wrapped__

    def flags(value):
        monkeypatch.setenv("XLA_FLAGS", value)
        return options()

    assert flags("") == flags("--xla_other=1") == programs.QUICK
    assert flags(f"--{level}=2") == {
        name: value for name, value in programs.QUICK.items() if name != level
    }
    assert flags(" ".join(f"--{name}=1" for name in programs.QUICK)) is None
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert flags("") is None
    monkeypatch.undo()
    monkeypatch.setattr(programs, "QUICK", {"xla_of_another_time": 1})
    assert flags("") is None


def test_only_a_transformation_is_tracing():
    seen = []

    def look(x):
        seen.append(is_tracing())
        return x

    assert not is_tracing()
    for transform in (jax.jit, jax.vmap, jax.grad):
        transform(look)(jnp.ones(1) if transform is jax.vmap else 1.0)
    assert seen == [True] * 3


def test_no_tracer_is_kept_with_an_optimizer_that_holds_one():
    case = CASES["gradient_descent"]
    arguments = {**case.arguments, "learning_rate": None, "steps": 2}
    tracers = []

    def descend(rate):
        tracers.append(weakref.ref(rate))
        arguments["optimizer"] = optax.sgd(rate)
        return jlogreg.gradient_descent(**arguments).costs[0, -1]

    jax.block_until_ready(jax.vmap(descend)(jnp.asarray([0.1, 0.2])))
    del arguments["optimizer"]
    gc.collect()
    assert [tracer() for tracer in tracers] == [None]


LOOPS = """
import jax
import numpy as np
import jlogreg

def mappings():
    with open("/proc/self/maps") as lines:
        return sum(1 for _ in lines)

rng, seen = np.random.default_rng(0), [mappings()]
for i in range(COUNT):
    m = 100 + GROWTH * i
    X, y = rng.normal(size=(3, m)), (rng.random((1, m)) < 0.5).astype(float)
    X, y, l2 = np.float32(X), np.float32(y), np.float32([[0.1 + i], [0.1]])
    jax.block_until_ready(CALL)
    seen.append(mappings())
print(seen[0], max(seen), seen[-1])
"""
DESCENT = (
    "jlogreg.gradient_descent(jlogreg.init_params(3), X, y, steps=9, "
    "learning_rate=l2[0, 0])"
)


@counted
@pytest.mark.nightly
@pytest.mark.parametrize(
    ("call", "count", "growth", "most"),
    [
        ("jlogreg.regularization_path(X, y, l2)", 200, 0, 2000),
        (DESCENT, 200, 0, 2000),
        ("jlogreg.fit(X, y, l2=0.1)", 300, 1, 45_000),
        ("jlogreg.cross_validate(X, y, l2, folds=3).loss", 100, 1, 45_000),
    ],
)
def test_a_process_lives_through_many_calls_and_shapes(call, count, growth, most):
    """With the programs of users, and not those that the tests compile."""
    code = LOOPS.replace("COUNT", str(count)).replace("GROWTH", str(growth))
    ran = subprocess.run(
        [sys.executable, "-c", code.replace("CALL", call)],
        env=dict(os.environ, XLA_FLAGS=""),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    print(ran.stdout)
    assert max(map(int, ran.stdout.split())) < most
