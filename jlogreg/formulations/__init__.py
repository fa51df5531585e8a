"""Floor 4: the cost as a solver sees it, one file per set of unknowns.

Imports `base`, `losses`, `data`, `solvers` and `objective`.
"""
