"""Apart: the computation graph of any scalar function.

Imports `base`; only the edges import it.
"""
