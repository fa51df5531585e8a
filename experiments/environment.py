"""The environment of a run: machine, versions of packages, digest of the code."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import platformdirs

KEPT_FOR = 30 * 24 * 3600  # seconds
PACKAGES = ("jlogreg", "jax", "jaxlib", "numpy", "scipy", "scikit-learn", "nemos")


def machine() -> dict[str, Any]:
    """Return the machine that times depend on: processor, memory, device, versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_GiB": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "device": jax.devices()[0].device_kind,
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    cpus = Path("/proc/cpuinfo")
    for line in cpus.read_text().splitlines() if cpus.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def environment() -> dict[str, Any]:
    """Return all that results may depend on, other than the configuration."""
    packages = ("jlogreg", "jax", "jaxlib", "optax", "numpy", "scikit-learn")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "devices": [str(device) for device in jax.devices()],
        "packages": {name: _version(name) for name in packages},
        "code": code_digest(),
    }


def code_digest() -> str:
    """Return a digest of the source of the library and of the experiments."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(
        [*root.glob("jlogreg/**/*.py"), *root.glob("experiments/**/*.py")]
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def keep_programs() -> None:
    """Let JAX keep compiled programs in the user's cache folder, for later runs.

    A folder that JAX_COMPILATION_CACHE_DIR names is left as it is, and with
    JAX_ENABLE_COMPILATION_CACHE=0, or where the folder cannot be written, nothing is
    kept. Programs of more than 30 days ago are deleted.
    """
    settings: Any = jax.config
    if not settings.jax_enable_compilation_cache or settings.jax_compilation_cache_dir:
        return
    folder = platformdirs.user_cache_path("jlogreg", appauthor=False) / "programs"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.stat().st_mtime < time.time() - KEPT_FOR:
                path.unlink(missing_ok=True)
    if os.access(folder, os.W_OK | os.X_OK):
        settings.update("jax_compilation_cache_dir", str(folder))
        settings.update("jax_persistent_cache_min_compile_time_secs", 0.0)
