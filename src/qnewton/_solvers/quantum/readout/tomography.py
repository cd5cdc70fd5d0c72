"""Read-outs that measure copies: errors fall with the square root of their number."""

from typing import ClassVar

from ...._core.arrays import Number, floating, quiet
from ...._core.evidence import Evidence
from .base import AbstractReadout, ReadoutCost, demands


class KerenidisPrakash(AbstractReadout):
    """Read-out by `36 n ln n / delta^2` copies for magnitudes and as many controlled runs for signs.

    Source: Kerenidis and Prakash, arXiv 1808.09266.

    The constant and the natural logarithm are those of three public implementations. From memory are that the number is
    spent twice, and that the theorem's error is a small multiple of delta (sqrt 7). The failure probability is one over
    an unnamed polynomial of n, whatever is requested, so that `failure_probability` only has to lie in (0, 1).
    """

    name: ClassVar[str] = "Kerenidis-Prakash"
    source: ClassVar[str] = "arXiv 1808.09266"
    evidence: ClassVar[Evidence] = Evidence.SECOND_HAND

    @quiet
    def copies(self, n: Number, precision: Number, failure_probability: Number) -> ReadoutCost:
        xp, n, precision, failure = floating(n, precision, failure_probability)
        # A vector of one entry needs no copy, and is charged one.
        count = xp.maximum(36 * n * xp.log(n) / precision**2, 1.0) + 0 * failure
        return ReadoutCost.once(
            demands(n, precision, failure), copies=count, controlled_applications=count, precision=precision
        )


class InteriorPoint(AbstractReadout):
    """Read-out by `57.5 n ln(6 n / delta) / (epsilon^2 (1 - epsilon^2 / 4))` copies.

    As many controlled runs are added; epsilon = 0.9 xi.

    Dalzell et al., arXiv 2211.12489 (PRX Quantum 2023), which reads out Newton systems of an interior-point method:
    error xi in the 2-norm with probability at least 1 - delta. Transcribed once, from the paper's pseudocode
    `ApprSolve`; its text was not read.
    """

    name: ClassVar[str] = "interior point"
    source: ClassVar[str] = "arXiv 2211.12489, ApprSolve"
    evidence: ClassVar[Evidence] = Evidence.SECOND_HAND

    @quiet
    def copies(self, n: Number, precision: Number, failure_probability: Number) -> ReadoutCost:
        xp, n, precision, failure = floating(n, precision, failure_probability)
        square = (0.9 * precision) ** 2
        count = 57.5 * n * xp.log(6 * n / failure) / (square * (1 - square / 4))
        return ReadoutCost.once(
            demands(n, precision, failure), copies=count, controlled_applications=count, precision=precision
        )
