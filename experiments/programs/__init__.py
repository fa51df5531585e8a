"""Name the programs that a configuration can ask for."""

from collections.abc import Mapping
from typing import Any

from experiments.programs import classify, learning_rates, surface, tic_toc

PROGRAMS: Mapping[str, Any] = {
    "classify": classify,
    "learning_rates": learning_rates,
    "surface": surface,
    "tic_toc": tic_toc,
}
