"""Print every error text that a mistake of an argument gives, to read them in one list.

`python -m tests.errors`; each text once, with how many calls give it, and one of them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import jax
import numpy as np

from tests.mistakes import Mistake
from tests.table import Case, cases, count_cases, host_cases, inference_cases

__all__ = ["wrong"]


def wrong(case: Case, path: str, mistake: Mistake) -> dict[str, Any]:
    """Return the arguments of a case with one mistake, which must be seen at once."""
    valid = jax.tree.map(_as_numpy, case.get(path))
    changes = {path: mistake.bad(valid)}
    if "memory_limit" in case.kinds:
        changes["progress"] = _it_ran
    return case.changed(changes)


def _as_numpy(leaf: Any) -> Any:
    array = isinstance(leaf, jax.Array) and isinstance(leaf.dtype, np.dtype)
    return np.asarray(leaf) if array else leaf


def _it_ran(_: Any) -> None:
    raise AssertionError("it ran")


def main() -> None:
    """Print the texts in the order of letters."""
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", 4)
    calls: dict[str, list[str]] = defaultdict(list)
    tables = (cases(), count_cases(), inference_cases(), host_cases())
    for name, case in [pair for table in tables for pair in table.items()]:
        for path, kind in case.kinds.items():
            for mistake in (*kind.static, *kind.values):
                try:
                    case.function(**wrong(case, path, mistake))
                    text = "(accepted)"
                except Exception as error:
                    text = f"{type(error).__name__}: {error}"
                calls[text].append(f"{name}({path})")
    for text, names in sorted(calls.items()):
        print(f"{text}\n    {len(names)} calls, such as {names[0]}")


if __name__ == "__main__":
    main()
