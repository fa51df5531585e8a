"""The compiled programs of this package, of which the process keeps a bounded number.

Each program takes mappings of memory, a fit of one shape about 300. Linux gives a
process 65 530 of them, and where none is left the process dies. JAX lets a program go
only when there are thousands of others. So all the programs of this package go when
half of the mappings that they may have are taken; those in use are compiled again.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import jax
from jax.extend.core import get_opaque_trace_state

__all__ = ["HostReader", "is_tracing", "program"]

# XLA's older emitters, and fewer passes of LLVM: the first fit of a process took 0.9 s
# instead of 2.0, and later ones as long as before, of 200 samples and of a million.
QUICK = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 1}
# A line for each mapping, where the system has such a file.
MAPPINGS = Path("/proc/self/maps")
ALLOWED = 65_530
# What a program takes where mappings cannot be counted.
MAPPINGS_EACH = 50
# Mappings are counted once in so many compilations: 30 000 take 25 ms.
INTERVAL = 16
# How often a program that reads files is asked whether it has ended.
POLL_SECONDS = 0.001

Function = TypeVar("Function", bound=Callable[..., Any])


def program(function: Function, **options: Any) -> Function:
    """Return the function compiled by jax.jit, which has these options.

    Its programs are among those that go when there are too many. Under transformations
    it is what jax.jit makes of it. By itself, on a CPU, it is compiled in half the
    time, with QUICK.
    """
    compiled: Any = _Program(function, options)
    _BOUND.functions.append(compiled)
    return cast(Function, compiled)


class _Program:
    """A function that is compiled by jax.jit, by itself or as a part of another."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        """Begin without a compiled program."""
        functools.update_wrapper(self, function)
        self.part: Any = jax.jit(function, **options)
        self.whole: Callable[[], Any] = functools.cache(
            lambda: jax.jit(function, **options, compiler_options=_compiler_options())
        )

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return the function's value."""
        if is_tracing():
            return self.part(*arguments, **named)
        if not _READERS:
            return self.whole()(*arguments, **named)
        return _awaited(lambda: self.whole()(*arguments, **named))

    def clear_cache(self) -> None:
        """Let the programs go."""
        self.part.clear_cache()
        self.whole().clear_cache()

    def _cache_size(self) -> int:
        return int(self.part._cache_size() + self.whole()._cache_size())


class HostReader:
    """What compiled programs call to read on the host; a base class.

    An error that is raised while a program runs reaches the user as what XLA makes of
    it, if at all, and other devices may wait for ever for the one that met it. So a
    reader keeps its failure and returns NaN, which ends a search, as long as a program
    of this package is awaited. The program then raises the failure itself.
    """

    def __init__(self) -> None:
        """Begin without a failure, and with no program that is awaited."""
        self.failure: BaseException | None = None
        self.n_awaited = 0
        _READERS.add(self)


_READERS: weakref.WeakSet[HostReader] = weakref.WeakSet()


def _awaited(run: Callable[[], Any]) -> Any:
    """Return the outcome of a program once it is there, or raise a reader's failure."""
    readers = tuple(_READERS)
    for reader in readers:
        reader.n_awaited += 1
    try:
        outcome = run()
        try:
            # In Python: a wait within XLA would not hear the user's interrupt.
            while not all(leaf.is_ready() for leaf in jax.tree.leaves(outcome)):
                time.sleep(POLL_SECONDS)
        except BaseException as interrupt:
            for reader in readers:
                reader.failure = interrupt
        return jax.block_until_ready(outcome)
    finally:
        for reader in readers:
            reader.n_awaited -= 1
        failures = [reader.failure for reader in readers if reader.failure is not None]
        for reader in readers:
            reader.failure = None
        if failures:
            raise failures[0]


@functools.cache
def _compiler_options() -> dict[str, Any] | None:
    """Return QUICK, without what the user's own flags say; None where XLA has none."""
    flags = os.environ.get("XLA_FLAGS", "")
    options = {name: value for name, value in QUICK.items() if name not in flags}
    if jax.default_backend() != "cpu" or not options:
        return None
    try:
        jax.jit(lambda: 0, compiler_options=options)()
    except jax.errors.JaxRuntimeError:
        return None
    return options


def is_tracing() -> bool:
    """Return whether a transformation is under way, such as jit, vmap or grad."""
    now = get_opaque_trace_state()
    with jax.core.eval_context():
        return bool(now != get_opaque_trace_state())


class _Bound:
    """The bound of the programs of some functions.

    Not the oldest program goes but all: JAX has no way to drop one of a function's. To
    fill half of the room again takes a hundred compilations or more, so that those in
    use add little.
    """

    def __init__(self, allowed: int) -> None:
        """Begin with no function, and the mappings that a process may have."""
        self.allowed = allowed
        self.functions: list[Any] = []
        # The compilations since the programs went, and the mappings that were left.
        self.compilations, self.left = 0, 0
        self.clearing = threading.Lock()

    def listen(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        """Count a compilation, of any program in the process."""
        if not event.endswith("/backend_compile_duration"):
            return
        self.compilations += 1
        if self.compilations % INTERVAL == 0:
            self.keep()

    def keep(self) -> None:
        """Let the programs go if half of the room for them is taken."""
        full = self.mappings() > (self.left + self.allowed) // 2
        if full and self.clearing.acquire(blocking=False):
            try:
                for function in self.functions:
                    function.clear_cache()
                self.compilations = 0
                self.left = self.mappings()
            finally:
                self.clearing.release()

    def mappings(self) -> int:
        """Return the number of mappings of the process, or an estimate."""
        if MAPPINGS.exists():
            return MAPPINGS.read_bytes().count(b"\n")
        return MAPPINGS_EACH * self.compilations


_BOUND = _Bound(ALLOWED)
jax.monitoring.register_event_duration_secs_listener(_BOUND.listen)
