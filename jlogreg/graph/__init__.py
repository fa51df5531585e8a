"""Apart: the computation graph of any scalar function.

Imports `base`, and is imported by the edges alone.
"""
