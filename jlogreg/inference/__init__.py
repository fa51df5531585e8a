"""Floor 7: what a fit means.

Imports the floors below: `batch` and what that imports.
"""
