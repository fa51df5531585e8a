"""Edge: what the columns of a table become, found, asked for or by a formula.

Imports `tables.reading`, pyarrow, msgspec and formulaic.
"""
