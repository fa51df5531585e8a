"""Edge: the command line, which reads tables and fits, uses and shows their models.

Imports `tables`, `plots` and the floors, and rich; nothing but `jlogreg.__main__`
imports it. What it computes are calls of `jlogreg.tables`.
"""
