"""Floor 8: one fit per feature, given covariates.

Imports the floors below: `inference` and what that imports.
"""
