"""Quantum linear solver algorithms: published query counts, and solvers that use them."""
