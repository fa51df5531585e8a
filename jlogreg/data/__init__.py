"""Floor 2: what a fit is given, and the sum over its samples.

Imports `base`.
"""
