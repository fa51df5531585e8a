"""Floor 3: the cost J of one model, and its derivatives.

Imports `base`, `losses` and `data`.
"""
