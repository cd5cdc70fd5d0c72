"""A saved decision in numbers and words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate of one system.

    Attributes:
        name: e.g. `LU`.
        predicted_seconds: None where it cannot take the system.
        evidence: what the seconds are: `calibrated` on the run's machine, `predicted` for one like it, or `modelled`
            from a published count.
        outcome: `chosen`, `slower`, `passed over` by the policy, `refused`, or `open` where bounds leave it so.
        why: in words.
    """

    name: str
    predicted_seconds: float | None
    evidence: str
    outcome: str
    why: str


@dataclass(frozen=True, slots=True)
class Bought:
    """Effect of a candidate's own conditioning; each pair is before and after it.

    Attributes:
        name: of the candidate.
        log10_condition_number: None where it is infinite or not known.
        degree: largest number of nonzeros in a row.
        queries: of one run; None where the formula does not hold, 0 of a classical solver.
        predicted_seconds: what its solver would ask without, and what the candidate asks; None: it cannot take it.
        predicted_conditioning_seconds, predicted_estimation_seconds: paid for it, within the latter.
        bare: the candidate that is its solver without conditioning, where that is one too.
    """

    name: str
    log10_condition_number: tuple[float | None, float | None]
    degree: tuple[int, int]
    queries: tuple[float | None, float | None]
    predicted_seconds: tuple[float | None, float | None]
    predicted_conditioning_seconds: float
    predicted_estimation_seconds: float
    bare: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision on one system, or on a group of equal ones, under one assumption set.

    Attributes:
        step, block, name, n: of the system; the number of a group is its place among the optimizer's.
        assumptions: the set.
        acting: whether its choice was carried out.
        condition_number: in words, with how sure it is.
        choice: None where nobody could take it, and where bounds leave it open.
        ran, execution, executed_outcome, status: as in `blocks.jsonl`; empty of a group.
        why: of the winner, in words.
        candidates: the fastest first, those without a number last.
        bought: by candidates with conditioning of their own.
    """

    step: int
    block: int
    name: str
    n: int
    assumptions: str
    acting: bool
    condition_number: str
    choice: str | None
    ran: str
    execution: str | None
    executed_outcome: str | None
    status: str
    why: str
    candidates: tuple[Candidate, ...]
    bought: tuple[Bought, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the record for JSON."""
        return asdict(self)
