"""Edge: read a table as it is, and say all that is wrong with it.

Imports nothing of jlogreg, but pyarrow.
"""
