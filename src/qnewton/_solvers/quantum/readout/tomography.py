"""Read-outs that measure copies: errors fall with the square root of their number."""

import math
from typing import ClassVar

import equinox as eqx

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


class HadamardForest(AbstractReadout):
    """Read-out of a real vector by `C n / delta^2` copies in each of `log2(n) + 1` settings: no controlled run.

    Song et al., arXiv 2505.06455 (abstract read): magnitudes from copies as they are, and the signs of neighbours,
    whose labels differ in one bit, from copies with a Hadamard gate on that bit, by a vote of spanning trees. The work
    on the host grows like n log n, and is not charged. C = 1 is ours, measured: of 40 Gaussian vectors with 16 to 256
    entries 19 in 20 were read within delta, for delta from 0.03 to 0.5 (two cases are a test). It is no bound: with 64
    entries that spread over two orders of magnitude signs failed at delta 0.3 in more than one of 20. The failure
    probability is not known.

    Attributes:
        constant: C.
    """

    constant: float = eqx.field(static=True, default=1.0)
    name: ClassVar[str] = "Hadamard forest"
    source: ClassVar[str] = "arXiv 2505.06455; constant measured by us"
    evidence: ClassVar[Evidence] = Evidence.EMPIRICAL

    def __check_init__(self):
        if not 0 < self.constant < math.inf:
            raise ValueError(f"constant is {self.constant}: it multiplies a number of copies and must be positive")

    @quiet
    def copies(self, n: Number, precision: Number, failure_probability: Number) -> ReadoutCost:
        xp, n, precision, failure = floating(n, precision, failure_probability)
        settings = xp.ceil(xp.log2(xp.maximum(n, 1.0))) + 1
        count = xp.maximum(self.constant * n / precision**2, 1.0) * settings + 0 * failure
        return ReadoutCost.once(
            demands(n, precision, failure),
            copies=count,
            controlled_applications=xp.zeros_like(count),
            precision=precision,
        )
