"""Run experiments and benchmarks: `python -m experiments list`."""
