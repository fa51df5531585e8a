"""Measure against other ways of doing the same work, interleaved in one run."""
