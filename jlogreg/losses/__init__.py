"""Floor 2: elementwise mathematics of the Bernoulli likelihood.

Imports `base`.
"""
