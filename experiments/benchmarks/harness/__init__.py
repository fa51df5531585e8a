"""Interleave, measure and report: what every benchmark shares."""
