"""Floor 4: the cost with an L1 penalty, as a solver sees it.

Imports `objective`, `data`, `solvers` and `base`.
"""
