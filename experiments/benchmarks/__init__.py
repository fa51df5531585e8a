"""The benchmarks by name; each is imported when it is run.

A benchmark is a function that is called with the console. It prints its table, and
writes it with the machine to a JSON file under results/.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

# Module and function.
BENCHMARKS = {
    "accuracy": ("accuracy", "run"),
    "bootstrap": ("bootstrap", "run"),
    "descent": ("descent", "run"),
    "estimators": ("estimators", "rest"),
    "estimators_cv": ("estimators", "cross_validated"),
    "first_call": ("first_call", "run"),
    "firth_many": ("firth", "firth_many"),
    "firth_scan": ("firth", "firth_scan"),
    "grid": ("grid", "run"),
    "growth": ("growth", "run"),
    "heads": ("heads", "heads"),
    "heads_large": ("heads", "heads_large"),
    "lasso_cv": ("sparse", "cross_validated"),
    "lasso_many": ("sparse", "many"),
    "lasso_many_30": ("sparse", "many_30"),
    "lasso_many_400": ("sparse", "many_400"),
    "lasso_no_bias": ("sparse", "no_bias"),
    "lasso_path": ("sparse", "path"),
    "lasso_path_tall": ("sparse", "path_tall"),
    "lasso_path_wide": ("sparse", "path_wide"),
    "metrics": ("metrics", "run"),
    "pass": ("one_pass", "run"),
    "passes": ("passes", "run"),
    "processes": ("processes", "run"),
    "profile": ("profile", "run"),
    "scaling": ("scaling", "run"),
    "scan": ("scan", "scan"),
    "scan_files": ("scan", "scan_files"),
    "small_jobs": ("small_jobs", "run"),
    "stream": ("stream", "run"),
    "table": ("table", "run"),
    "tall": ("one_fit", "tall"),
    "tall_100": ("one_fit", "tall_100"),
    "wide": ("one_fit", "wide"),
}


def load(name: str) -> Callable[..., Any]:
    """Return the function of a benchmark."""
    module, function = BENCHMARKS[name]
    found: Callable[..., Any] = getattr(import_module(f"{__name__}.{module}"), function)
    return found


@cache
def describe(name: str) -> str:
    """Return the first line of the docstring of a benchmark.

    It is read from the source, once: to import the module would import JAX.
    """
    module, function = BENCHMARKS[name]
    source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    (text,) = (
        ast.get_docstring(node) or ""
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == function
    )
    return text.partition("\n")[0]
