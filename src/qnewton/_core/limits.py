"""Sizes at which the way of computing changes, for modules that must not import the computation."""

EXACT_UP_TO = 3000
"""Rows up to which all eigenvalues of a block are computed for people: some ten seconds on one core."""
