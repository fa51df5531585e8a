"""Run a program in a process of its own, as a user's script."""

from __future__ import annotations

import os
import subprocess
import sys

NOT_KEPT = {"JAX_ENABLE_COMPILATION_CACHE": "false"}


def kept_in(folder: str) -> dict[str, str]:
    """Return the settings with which JAX keeps compiled programs in a folder."""
    return {
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_COMPILATION_CACHE_DIR": folder,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def numbers(program: str, *arguments: object, settings: dict[str, str]) -> list[float]:
    """Return the numbers that a program prints, with these environment variables."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | settings,
    )
    return [float(word) for word in done.stdout.split()]
