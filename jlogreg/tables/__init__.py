"""Edge: tables from files and data frames, and the models that are fitted to them.

Imports the floors, and pyarrow, msgspec, and formulaic for formulas; nothing above
imports it but the command. Here a row is a sample until `Schema.samples` transposes.
"""

from jlogreg.base.errors import extra

with extra("tables"):
    from jlogreg.tables.columns.kinds import Boolean, Category, Date, LeftOut, Number
    from jlogreg.tables.files import load, save
    from jlogreg.tables.model import Model, Validation
    from jlogreg.tables.reading.faults import Fault, TableError
    from jlogreg.tables.reading.parquet import ParquetColumns
    from jlogreg.tables.reading.read import Table, read
    from jlogreg.tables.samples import Samples
    from jlogreg.tables.schema import Schema
    from jlogreg.tables.scores import Score, score
    from jlogreg.tables.training import fit

__all__ = [
    "Boolean",
    "Category",
    "Date",
    "Fault",
    "LeftOut",
    "Model",
    "Number",
    "ParquetColumns",
    "Samples",
    "Schema",
    "Score",
    "Table",
    "TableError",
    "Validation",
    "fit",
    "load",
    "read",
    "save",
    "score",
]
