"""Edge: rank, separation and the minimum without rounding errors.

Imports python-flint, in one file.
"""
