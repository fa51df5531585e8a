"""Minimise functions: solvers know value and gradient, nothing of the model."""
