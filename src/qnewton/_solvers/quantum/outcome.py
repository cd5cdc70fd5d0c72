"""Outcomes of a quantum solve, emulated or by a circuit, and their remedies."""

import lineax as lx
from jaxtyping import Array, Int

from ..._core.status import Code


class Outcome(Code):
    """Outcome among a solution's stats; lineax's `RESULTS` have no room for the remedy."""

    SOLVED = 0
    NOT_FINITE = 1
    NO_BOUND = 2
    TOO_LONG = 3
    NOT_DEFINITE = 4
    RESIDUAL = 5
    TOO_LARGE = 6
    NO_SUCCESS = 7
    NO_PHASES = 8

    @property
    def remedy(self) -> str:
        """Cause and the remedy in words."""
        return _REMEDIES[self]


_REMEDIES = {
    Outcome.SOLVED: "solved",
    Outcome.NOT_FINITE: "the matrix or the right-hand side holds NaN or infinity",
    Outcome.NO_BOUND: "the condition number is infinite, as of a singular matrix, or not known: damp the system, or "
    "give a bound, kappa=...",
    Outcome.TOO_LONG: "the circuit would take more queries than max_queries: damp the system, ask for less precision, "
    "or raise max_queries",
    Outcome.NOT_DEFINITE: "the matrix is not positive definite, though it is tagged so: x.Ax <= 0, or a shift that is "
    "not positive. Damp it more, or take off the tag",
    Outcome.RESIDUAL: "the residual is larger than precision and read-out explain, so the condition number or the norm "
    "lies above the bound that the circuit was built for: give a larger kappa or norm, or a certified estimate; or "
    "precision is finer than rounding allows: use float64",
    Outcome.TOO_LARGE: "the matrix is larger than the norm that it was to be encoded for, and no unitary has a block "
    "above 1: give a larger norm, or leave it out",
    Outcome.NO_SUCCESS: "no run succeeded, so there is nothing to read: take more shots",
    Outcome.NO_PHASES: "the phases miss the polynomial by more than 1e-10: ask for less precision",
}


class CannotBuildError(ValueError):
    """Error for a system without a circuit; the message is the outcome's remedy."""

    def __init__(self, outcome: Outcome):
        super().__init__(outcome.remedy)
        self.outcome = outcome


def result_of(outcome: Int[Array, ""]) -> lx.RESULTS:
    """Return the closest lineax result."""
    result = lx.RESULTS.where(outcome == Outcome.SOLVED, lx.RESULTS.successful, lx.RESULTS.singular)
    result = lx.RESULTS.where(outcome == Outcome.TOO_LONG, lx.RESULTS.max_steps_reached, result)
    result = lx.RESULTS.where(outcome == Outcome.NOT_DEFINITE, lx.RESULTS.breakdown, result)
    return lx.RESULTS.where(outcome == Outcome.RESIDUAL, lx.RESULTS.conlim, result)
