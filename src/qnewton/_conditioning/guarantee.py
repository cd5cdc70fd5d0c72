"""Effects of a conditioner on perturbation, definiteness and condition number, in a form that can be tested."""

import enum
from dataclasses import dataclass


class Definiteness(enum.StrEnum):
    """Effect of a conditioner on definiteness."""

    KEPT = "kept"
    """A positive definite matrix stays one."""
    REGAINED = "regained"
    """Definite where the matrix was before anything was left out of it."""
    MADE = "made"
    """Definite whatever came in, if it was finite and symmetric."""
    LOST = "lost"
    """Nothing can be said."""


class Conditioning(enum.StrEnum):
    """Effect of a conditioner on the 2-norm condition number of a positive definite matrix."""

    SAME = "same"
    """Not changed."""
    NOT_RAISED = "not raised"
    """At most what it was."""
    BOUNDED = "bounded"
    """Below the bound that the statement gives."""
    UNKNOWN = "unknown"
    """Nothing can be said."""


@dataclass(frozen=True)
class Guarantee:
    """Provable statements about a conditioner; every statement is a property test.

    Attributes:
        perturbation: how far the matrix moves, as a formula; `none` where the change is undone for the step.
        definiteness: what becomes of it.
        condition_number: what becomes of it.
        statement: what is proven, and by whom.
    """

    perturbation: str
    definiteness: Definiteness
    condition_number: Conditioning
    statement: str
