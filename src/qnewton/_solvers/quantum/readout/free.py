"""The read-out that the published model assumes."""

from typing import ClassVar

from ...._core.arrays import Number, floating, quiet
from ...._core.evidence import Evidence
from .base import AbstractReadout, ReadoutCost, demands


class FreeReadout(AbstractReadout):
    """Read-out from one copy (assumed in Q-Newton, arXiv 2405.00252). A lower bound on every read-out."""

    name: ClassVar[str] = "free"
    source: ClassVar[str] = "arXiv 2405.00252 (assumed there)"
    evidence: ClassVar[Evidence] = Evidence.ASSUMPTION

    @quiet
    def copies(self, n: Number, precision: Number, failure_probability: Number) -> ReadoutCost:
        xp, n, precision, failure = floating(n, precision, failure_probability)
        one = xp.ones_like(n * precision * failure)
        return ReadoutCost.once(
            demands(n, precision, failure),
            copies=one,
            controlled_applications=0 * one,
            precision=precision,
        )
