"""Preparation of the right-hand side as a state."""

import abc
import math
from typing import TYPE_CHECKING, ClassVar

import equinox as eqx

from ...._core.arrays import Number, floating, quiet
from ...._core.evidence import Evidence
from ...._core.gates import GateCost
from .base import demands
from .frobenius import angles
from .synthesis import T_PER_AND, ceil_log2, power

if TYPE_CHECKING:
    # What pyright takes an abstract class attribute for, which a property may fill as well.
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar


class AbstractPreparation(eqx.Module):
    """A method to prepare a real vector as a state.

    Attributes:
        name: the key under which tables hold this preparation's numbers.
        source: where the formulas stand.
        evidence: as for an encoding.
    """

    name: AbstractClassVar[str]
    source: AbstractClassVar[str]
    evidence: AbstractClassVar[Evidence]

    @abc.abstractmethod
    def cost(self, n: Number, precision: Number) -> GateCost:
        """Gates of one preparation.

        Args:
            n: amplitudes.
            precision: error of the state in the 2-norm, in (0, 1).
        """


class IdealPreparation(AbstractPreparation):
    """Preparation in one layer, whatever the vector (assumed in arXiv 2405.00252)."""

    name: ClassVar[str] = "ideal"
    source: ClassVar[str] = "arXiv 2405.00252 (assumed there)"
    evidence: ClassVar[Evidence] = Evidence.ASSUMPTION

    @quiet
    def cost(self, n: Number, precision: Number) -> GateCost:
        xp, n, precision = floating(n, precision)
        zero = 0 * precision
        return GateCost.under(demands(n, precision), t_count=zero, t_depth=zero + 1, qubits=zero + ceil_log2(xp, n))


class CladerPreparation(AbstractPreparation):
    """State preparation that belongs to `Frobenius`: Clader et al., arXiv 2206.03505 v1.

    With `D = 2^q >= n`, t bits an angle and R T gates a rotation: `8 (t + 1) (D - 1) + 2 t q R - 8 t q` T gates. From
    one third-party transcription. That has neither depth nor qubits: half of the matrix's depth, `4 D + 2 R q t`, and
    all of its qubits are charged, and equation 41 is taken for the error.
    """

    name: ClassVar[str] = "Clader et al."
    source: ClassVar[str] = "arXiv 2206.03505v1 tables 1, 3, 4"
    evidence: ClassVar[Evidence] = Evidence.SECOND_HAND

    @quiet
    def cost(self, n: Number, precision: Number) -> GateCost:
        xp, n, precision = floating(n, precision)
        q = ceil_log2(xp, n)
        bits, rotation = angles(xp, q, precision)
        t_count, t_depth, qubits = clader_gates(power(xp, q), q, bits, rotation)
        return GateCost.under(
            demands(n, precision), t_count=t_count, t_depth=xp.where(q > 0, t_depth, 1.0), qubits=qubits
        )


class LookupPreparation(AbstractPreparation):
    """One rotation per qubit by a looked-up angle, added to a phase gradient (Low, Kliuchnikov and Schaeffer).

    arXiv 1812.00954, from memory, and counted as ours for real amplitudes: the k-th angle is looked up from `2^k`
    entries, added in t - 1 ANDs and erased by a second lookup, and one more pair of lookups sets the signs. With
    `D = 2^q >= n`: `2 (2 D - q - 2) + q (t - 1)` ANDs of 4 T gates, one after another. Measured against it: Qualtran
    0.7.0 (`StatePreparationViaRotations`, 16 amplitudes, t = 10) has 328 T gates, this one 352. The phase gradient is
    made once and not charged.
    """

    name: ClassVar[str] = "lookup"
    source: ClassVar[str] = "arXiv 1812.00954, counted by us"
    evidence: ClassVar[Evidence] = Evidence.DERIVED

    @quiet
    def cost(self, n: Number, precision: Number) -> GateCost:
        """Return the cost with all of the error for the q angles, each rounded to a multiple of `2 pi / 2^t`."""
        xp, n, precision = floating(n, precision)
        q = ceil_log2(xp, n)
        bits = xp.maximum(ceil_log2(xp, math.pi * xp.maximum(q, 1.0) / precision), 2.0)
        ands = lookup_ands(power(xp, q), q, bits)
        # The index, the ancillas of unary iteration, the angle, the phase gradient and the adder's carries.
        return GateCost.under(demands(n, precision), t_count=T_PER_AND * ands, t_depth=ands, qubits=2 * q + 3 * bits)


def clader_gates(size: Number, q: Number, bits: Number, rotation: Number) -> tuple[Number, Number, Number]:
    """Return T gates, T layers and qubits for `size = 2^q` amplitudes.

    Angles have `bits` bits and take `rotation` T gates a rotation.
    """
    t_count = 8 * (bits + 1) * (size - 1) + 2 * bits * q * rotation - 8 * bits * q
    return t_count, 4 * size + 2 * rotation * q * bits, size * (bits + 1) + 3 * q - bits + 1


def lookup_ands(size: Number, q: Number, bits: Number) -> Number:
    """Temporary ANDs for `size = 2^q` amplitudes: `sum_(k <= q) 2 (2^k - 1) + q (bits - 1)`."""
    return 2 * (2 * size - q - 2) + q * (bits - 1)
