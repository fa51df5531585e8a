"""Floor 2: features and samples, and the sum over samples.

Imports `base`.
"""
