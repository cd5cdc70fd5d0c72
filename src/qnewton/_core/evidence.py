"""Certainty of published numbers."""

import enum


class Evidence(enum.StrEnum):
    """Kind of evidence for a formula."""

    PROVEN = "proven"
    """An upper bound that its source proves."""
    EMPIRICAL = "empirical"
    """Measured on small matrices and extrapolated."""
    DERIVED = "derived"
    """Put together here from published parts; the derivation stands in the docstring."""
    ASYMPTOTIC = "asymptotic"
    """Its growth is published and its constant is not: the constant is a parameter."""
    SECOND_HAND = "second-hand"
    """Known from one transcription, or from several that disagree with the source's own words."""
    ASSUMPTION = "assumption"
    """Set, not found: nobody claims that a machine does it."""
