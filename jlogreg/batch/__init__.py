"""Floor 6: many fits on one X.

Imports the floors below: `fitting` and what that imports.
"""
