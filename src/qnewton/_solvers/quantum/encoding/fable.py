"""FABLE: one rotation per entry, without a lookup table."""

from typing import ClassVar

import equinox as eqx

from ...._core.arrays import Number, NumberArray, floating, quiet
from ...._core.evidence import Evidence
from ...._core.gates import GateCost
from ...._core.records import Encoding
from .base import AbstractEncoding, Numbers, demands, encoded
from .synthesis import ceil_log2, power, rotation_t_count


class FABLE(AbstractEncoding):
    """FABLE with `alpha = 2^q max|A_ij|`, `2^q >= n`, on `2 q + 1` qubits (Camps and Van Beeumen, arXiv 2205.00081).

    Uncompressed it has `4^q` rotations (that many CNOTs besides; the numbers from memory, linear growth with the number
    of entries as the project's page has it). Errors of rotations add up, so each is synthesised to
    `precision / (kept 4^q)`.

    Attributes:
        kept: fraction of the rotations that compression left, in (0, 1]. It depends on the matrix and on an error of
            its own, which is not in `precision`.
    """

    kept: float = eqx.field(static=True, default=1.0)
    name: ClassVar[str] = "FABLE"
    source: ClassVar[str] = "arXiv 2205.00081"
    evidence: ClassVar[Evidence] = Evidence.SECOND_HAND

    def __check_init__(self):
        if not 0 < self.kept <= 1:
            raise ValueError(f"kept is {self.kept}: it is the fraction of rotations left and must lie in (0, 1]")

    @quiet
    def encode(self, estimate: Numbers) -> Encoding:
        xp, n, entry = floating(estimate.n, estimate.max_entry)
        return encoded(estimate, power(xp, ceil_log2(xp, n)) * entry)

    @quiet
    def cost(self, estimate: Numbers, precision: Number) -> GateCost:
        """Return the cost of rotations of one qubit, in sequence."""
        xp, n, precision = floating(estimate.n, precision)
        q = ceil_log2(xp, n)
        rotations = xp.maximum(self.kept * power(xp, 2 * q), 1.0)
        t_count = rotations * rotation_t_count(xp, precision / rotations)
        return GateCost.under(demands(n, precision), t_count=t_count, t_depth=t_count, qubits=2 * q + 1 + 0 * precision)

    def entries(self, estimate: Numbers) -> NumberArray:
        """`n^2`."""
        _, n = floating(estimate.n)
        return n**2
