"""Bundled data, a user's own files, PLINK filesets, and simulated studies."""
