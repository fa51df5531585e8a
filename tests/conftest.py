"""Make JAX strict, and Hypothesis fit for it.

Every test runs with float64 available, with rank and dtype promotion as errors, and on
four virtual devices; pyproject.toml makes every warning an error.
"""

import contextlib
import functools
import gc
import itertools
import os
from pathlib import Path

import jax
from hypothesis import HealthCheck, Phase, settings

# Nearly all the time of the suite goes into compiling programs that run once. XLA's
# older emitters, without LLVM's optimisation, compile them five times as fast, and each
# in one piece saves another tenth. An XLA_FLAGS of your own, an empty one too, is kept:
# so `nightly` runs the core as users do.
FAST = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1"
)
os.environ.setdefault("XLA_FLAGS", FAST)
# Experiments would keep their programs in the cache folder of whoever runs the tests.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    jax.config.update("jax_enable_compilation_cache", False)

# To make the MLIR context of a program, as JAX does for each, takes a third of what all
# of a small program takes. One can hold them all, except those that are lowered while
# another is; a JAX with other internals makes its own.
if os.environ["XLA_FLAGS"] == FAST:
    with contextlib.suppress(ImportError, AttributeError):
        from jax._src.interpreters import mlir

        each, shared = mlir.make_ir_context, functools.cache(mlir.make_ir_context)
        mlir.make_ir_context = lambda: (each if mlir.ir.Context.current else shared)()

# Tracing makes many objects that live on: to look through them all so often, as Python
# does by default, takes a tenth of the time.
gc.set_threshold(200_000, 20, 50)

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_num_cpu_devices", 4)

# Deadlines would time the compiler. Runs are reproducible in `ci`; `nightly` looks
# further and elsewhere each time.
COMMON = {"deadline": None, "print_blob": True, "database": None}
settings.register_profile(
    "ci",
    max_examples=100,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    **COMMON,
)
settings.register_profile(
    "nightly", max_examples=1000, suppress_health_check=[HealthCheck.too_slow], **COMMON
)
# For each planted fault anew: few examples, the same each time, and none made smaller.
settings.register_profile(
    "mutation",
    max_examples=20,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    **COMMON,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Linux gives a process 65530 mappings of memory; a compiled program takes 2 to 20 of
# them, and where none is left, XLA crashes. So at some point all programs go. To count
# 20 000 mappings takes 25 ms, so they are not counted after every test.
MAPPINGS, MOST = Path("/proc/self/maps"), 32_000
tests_run = itertools.count(1)


def pytest_runtest_teardown():
    look = next(tests_run) % 50 == 0 and MAPPINGS.exists()
    if look and MAPPINGS.read_bytes().count(b"\n") > MOST:
        jax.clear_caches()


def pytest_unconfigure():
    """Look for garbage once: pytest does it five times, a second each."""
    gc.collect()
    gc.freeze()
