"""All public names of the library, and the checks of docs/public_names.py."""

import importlib.util
from pathlib import Path

import jlogreg
import jlogreg.estimators
import jlogreg.plots
import jlogreg.tables
import jlogreg.testing

__all__ = ["PUBLIC", "public_names"]

PATH = Path(__file__).parent.parent / "docs/public_names.py"
spec = importlib.util.spec_from_file_location("public_names", PATH)
public_names = importlib.util.module_from_spec(spec)
spec.loader.exec_module(public_names)

# The things themselves, by their names in full.
PUBLIC = dict(
    pair
    for module in (
        jlogreg,
        jlogreg.estimators,
        jlogreg.plots,
        jlogreg.tables,
        jlogreg.testing,
    )
    for pair in public_names.public(module)
)
