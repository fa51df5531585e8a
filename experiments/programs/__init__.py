"""The programs that a configuration can name."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

NAMES = (
    "bootstrap",
    "classify",
    "coverage",
    "learning_rates",
    "probes",
    "scan",
    "sparse_probes",
    "surface",
    "tic_toc",
    "vectorising",
)
# Those whose work is dealt to several processes.
DEALT = ("bootstrap", "classify", "probes", "scan", "sparse_probes")


class _Programs(Mapping[str, Any]):
    """Programs by name; each is imported when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        if name not in NAMES:
            raise KeyError(name)
        return import_module(f"experiments.programs.{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


PROGRAMS: Mapping[str, Any] = _Programs()
