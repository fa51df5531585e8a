"""Floor 7: accuracy, uncertainty and influence of a fit.

Imports `batch` and the floors below it.
"""
