"""The encoding that the published model assumes, with no charge at all."""

from typing import ClassVar

from ...._core.arrays import Number, NumberArray, floating, quiet
from ...._core.evidence import Evidence
from ...._core.gates import GateCost
from ...._core.records import Encoding
from .base import AbstractEncoding, Numbers, demands, encoded
from .synthesis import ceil_log2


class Ideal(AbstractEncoding):
    """Free encoding with `alpha = ||A||` (Q-Newton, arXiv 2405.00252): no gate, no load.

    It is a lower bound on every encoding.
    """

    name: ClassVar[str] = "ideal"
    source: ClassVar[str] = "arXiv 2405.00252 (assumed there)"
    evidence: ClassVar[Evidence] = Evidence.ASSUMPTION

    def encode(self, estimate: Numbers) -> Encoding:
        return encoded(estimate, estimate.spectral_norm)

    @quiet
    def cost(self, estimate: Numbers, precision: Number) -> GateCost:
        """Return one layer on the qubits of the index and one ancilla."""
        xp, n, precision = floating(estimate.n, precision)
        zero = 0 * precision
        return GateCost.under(demands(n, precision), t_count=zero, t_depth=zero + 1, qubits=zero + ceil_log2(xp, n) + 1)

    def entries(self, estimate: Numbers) -> NumberArray:
        """Return 0: nothing is loaded."""
        _, n = floating(estimate.n)
        return 0 * n
