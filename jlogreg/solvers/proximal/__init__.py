"""Floor 2: minimize a convex function plus a separable penalty with kinks.

Imports `base`.
"""
