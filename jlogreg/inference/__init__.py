"""Floor 7: the uncertainty of a fit.

Imports `certification`, `diagnostics`, `batch` and the floors below them.
"""
