"""Floor 5: the outcome of a solve, where its solver leaves it open.

Imports the floors below, and the options of a fit.
"""
