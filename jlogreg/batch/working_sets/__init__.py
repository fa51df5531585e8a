"""Floor 6: many fits with an L1 penalty, each on some of many features.

Imports the floors below, and the chunks of problems.
"""
