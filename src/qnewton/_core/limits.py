"""Sizes at which one way of computing gives way to another, for modules that must not import what computes."""

EXACT_UP_TO = 3000
"""Rows up to which all eigenvalues of a block are computed for people: some ten seconds on one core."""
