"""Frobenius encodings: two state preparations from data that a lookup reaches in superposition (QRAM-like)."""

import math
from types import ModuleType
from typing import ClassVar

from ...._core.arrays import Number, NumberArray, floating, quiet
from ...._core.evidence import Evidence
from ...._core.gates import GateCost
from ...._core.records import Encoding
from .base import AbstractEncoding, Numbers, demands, encoded
from .synthesis import ceil_log2, power, rotation_t_count


class Frobenius(AbstractEncoding):
    """Encoding with `alpha = ||A||_F` and few T gates: Clader et al., arXiv 2206.03505 v1, minimum count.

    With `D = 2^q >= n` rows, t bits an angle and R T gates a rotation, tables 1, 3 and 4 have

        T gates  8 (2 t + 3) D - 16 t (q + 1) + 4 R q t - 24,      qubits  D (t + 1) + 3 q - t + 1
        error    pi q 2^-t + 4 t q delta   (equation 41), delta that of a rotation

    Evidence: one third-party transcription, whose leading terms agree with the survey arXiv 2310.03011. The T depth is
    the survey's leading terms alone, with its logarithms put back as t and R: `8 D + 4 R q t`.
    """

    name: ClassVar[str] = "Frobenius, fewest T"
    source: ClassVar[str] = "arXiv 2206.03505v1 tables 1, 3, 4, equation 41; depth: arXiv 2310.03011"
    evidence: ClassVar[Evidence] = Evidence.SECOND_HAND

    def encode(self, estimate: Numbers) -> Encoding:
        return encoded(estimate, estimate.frobenius_norm)

    @quiet
    def cost(self, estimate: Numbers, precision: Number) -> GateCost:
        """Return the cost with half of the error for the bits of the angles, half for the rotations."""
        xp, n, precision = floating(estimate.n, precision)
        return min_count(xp, n, precision)

    def entries(self, estimate: Numbers) -> NumberArray:
        """`n^2`."""
        _, n = floating(estimate.n)
        return n**2


class FrobeniusShallow(AbstractEncoding):
    """Encoding with `alpha = ||A||_F` and few T layers: Clader et al., arXiv 2206.03505, minimum depth.

    Leading terms as the survey arXiv 2310.03011 has them (its table was read; the paper's exact forms were not), with
    `D = 2^q >= n` and logarithms to base 2: `12 D^2 log(1 / epsilon)` T gates in `10 q + 24 log(1 / epsilon)` layers on
    `4 D^2` qubits.
    """

    name: ClassVar[str] = "Frobenius, least depth"
    source: ClassVar[str] = "arXiv 2206.03505, leading terms as in arXiv 2310.03011"
    evidence: ClassVar[Evidence] = Evidence.SECOND_HAND

    def encode(self, estimate: Numbers) -> Encoding:
        return encoded(estimate, estimate.frobenius_norm)

    @quiet
    def cost(self, estimate: Numbers, precision: Number) -> GateCost:
        """Return the gates of one query, by the formula of the class."""
        xp, n, precision = floating(estimate.n, precision)
        q, log_inverse = ceil_log2(xp, n), -xp.log2(precision)
        # The square as a product of powers of two, which no width rounds.
        entries = power(xp, 2 * q)
        t_count = 12 * entries * log_inverse
        return GateCost.under(
            demands(n, precision),
            t_count=t_count,
            # Leading terms cross at n = 1; a layer has at least a gate.
            t_depth=xp.minimum(10 * q + 24 * log_inverse, t_count),
            qubits=4 * entries + 0 * precision,
        )

    def entries(self, estimate: Numbers) -> NumberArray:
        """`n^2`."""
        _, n = floating(estimate.n)
        return n**2


def min_count(xp: ModuleType, n: Number, precision: Number) -> GateCost:
    """The minimum-count encoding of an `[n, n]` matrix to a precision."""
    q = ceil_log2(xp, n)
    bits, rotation = angles(xp, q, precision)
    t_count, t_depth, qubits = min_count_gates(xp, q, bits, rotation)
    return GateCost.under(demands(n, precision), t_count=t_count, t_depth=t_depth, qubits=qubits)


def angles(xp: ModuleType, q: Number, precision: Number) -> tuple[NumberArray, NumberArray]:
    """Bits t of an angle and T gates R of a rotation, with `pi q 2^-t + 4 t q delta <= precision` (equation 41)."""
    levels = xp.maximum(q, 1.0)
    bits = xp.maximum(ceil_log2(xp, 2 * math.pi * levels / precision), 1.0)
    return bits, rotation_t_count(xp, precision / (8 * bits * levels))


def min_count_gates(xp: ModuleType, q: Number, bits: Number, rotation: Number) -> tuple[Number, Number, Number]:
    """T gates, T layers and qubits as functions of q, t and R; a 1 x 1 matrix is a scalar and takes none."""
    size = power(xp, q)
    t_count = 8 * (2 * bits + 3) * size - 16 * bits * (q + 1) + 4 * rotation * q * bits - 24
    t_depth = 8 * size + 4 * rotation * q * bits
    return t_count, xp.where(q > 0, t_depth, 0.0 * t_depth), size * (bits + 1) + 3 * q - bits + 1
