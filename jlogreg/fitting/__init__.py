"""Floor 5: one fit.

Imports the floors below: `formulations` and what those import.
"""
