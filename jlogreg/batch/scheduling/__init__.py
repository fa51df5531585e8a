"""Floor 6: which of many problems are solved side by side, and when.

Imports the floors below, the chunks of problems, and how a batch is set up.
"""
