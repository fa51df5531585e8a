"""Time several ways in turns, check their answers, and report: for all benchmarks."""
