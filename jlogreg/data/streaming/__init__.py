"""Floor 2: features that are read from files, block by block.

Imports `base`, and the design of an array.
"""
