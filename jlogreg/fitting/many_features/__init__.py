"""Floor 5: a fit with an L1 penalty of many features.

Imports the floors below: `formulations` and what those import.
"""
