"""The encoding that the published model assumes: none of it is charged."""

from typing import ClassVar

from ...._core.arrays import Number, NumberArray, floating, quiet
from ...._core.evidence import Evidence
from ...._core.gates import GateCost
from ...._core.records import Encoding
from .base import AbstractEncoding, Numbers, demands, encoded
from .synthesis import ceil_log2


class Ideal(AbstractEncoding):
    """`alpha = ||A||` for nothing (Q-Newton, arXiv 2405.00252): no gate, no load. A lower bound on every encoding."""

    name: ClassVar[str] = "ideal"
    source: ClassVar[str] = "arXiv 2405.00252 (assumed there)"
    evidence: ClassVar[Evidence] = Evidence.ASSUMPTION

    def encode(self, estimate: Numbers) -> Encoding:
        return encoded(estimate, estimate.spectral_norm)

    @quiet
    def cost(self, estimate: Numbers, precision: Number) -> GateCost:
        """A layer on the qubits of the index and one ancilla."""
        xp, n, precision = floating(estimate.n, precision)
        zero = 0 * precision
        return GateCost.under(demands(n, precision), t_count=zero, t_depth=zero + 1, qubits=zero + ceil_log2(xp, n) + 1)

    def entries(self, estimate: Numbers) -> NumberArray:
        """Nothing is loaded."""
        _, n = floating(estimate.n)
        return 0 * n
