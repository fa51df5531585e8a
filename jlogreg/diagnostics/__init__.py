"""Floor 6: how well a fit describes its samples, and how much each of them matters.

Imports `fitting` and the floors below it.
"""
