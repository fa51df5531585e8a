"""Floor 6: the quantities of a fit and the separation of its labels, proved.

Imports `objective` and the floors below it.
"""
