"""Floor 1: arrays, arguments, parameters and statuses; no mathematics.

Imports nothing of jlogreg.
"""
