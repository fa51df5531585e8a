"""Floor 2: minimize a convex function, knowing nothing of the model.

Imports `base`.
"""
