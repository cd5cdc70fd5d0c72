"""Sparse access: rows enumerated by label, entries from a lookup table."""

import math
from types import ModuleType
from typing import ClassVar

import equinox as eqx

from ...._core.arrays import Number, NumberArray, floating, quiet
from ...._core.evidence import Evidence
from ...._core.gates import GateCost
from ...._core.records import Encoding
from .base import AbstractEncoding, Numbers, degree_demand, demands, encoded
from .synthesis import T_PER_AND, ceil_log2, lookup_layers, rotation_t_count


class SparseAccess(AbstractEncoding):
    """Sparse encoding, `alpha = d max|A_ij|`: a superposition of d labels, the label's column, a rotation by the entry.

    alpha is that of Gilyén, Su, Low and Wiebe (arXiv 1806.01838, Lemma 48, from memory), with d nonzeros in every row
    and column, and of Qualtran's `SparseMatrix`. The circuit is counted as ours: the pattern of a symmetric matrix is a
    union of d permutations (König), one per label, so that a column replaces its row in place by two lookups of n d
    entries, one forwards and one to erase the row; two more lookups write and erase the angle of the entry, and each
    of its t bits is one rotation. Measured against it: Qualtran 0.7.0 with dense explicit entries of 8 bits, positions
    for free and 11 T gates a rotation, has 576 T gates for n = 8 and 2,104 for n = 16; this one 692 and 2,248.

    Attributes:
        computed_positions: whether columns follow from row and label by one addition (bands, dense blocks, circulant
            patterns) instead of two lookups.
    """

    computed_positions: bool = eqx.field(static=True, default=False)
    name: ClassVar[str] = "sparse access"
    source: ClassVar[str] = "arXiv 1806.01838 Lemma 48 (alpha); lookups of arXiv 1805.03662"
    evidence: ClassVar[Evidence] = Evidence.DERIVED

    @quiet
    def encode(self, estimate: Numbers) -> Encoding:
        _, degree, entry = floating(estimate.degree, estimate.max_entry)
        return encoded(estimate, degree * entry)

    @quiet
    def cost(self, estimate: Numbers, precision: Number) -> GateCost:
        """Return the cost with half of the error for the angle's bits, `pi 2^-t`, and half for the t rotations."""
        xp, n, degree, precision = floating(estimate.n, estimate.degree, precision)
        bits = angle_bits(xp, precision)
        t_count, t_depth, qubits = sparse_gates(
            xp, n, degree, bits, rotation_t_count(xp, precision / (2 * bits)), self.computed_positions
        )
        return GateCost.under(
            [*demands(n, precision), degree_demand(n, degree)],
            t_count=t_count,
            t_depth=t_depth,
            qubits=qubits,
        )

    def entries(self, estimate: Numbers) -> NumberArray:
        """Return `n d`, the entries by label."""
        _, n, degree = floating(estimate.n, estimate.degree)
        return n * degree


def angle_bits(xp: ModuleType, precision: Number) -> NumberArray:
    """Least t with `pi 2^-t <= precision / 2`."""
    return ceil_log2(xp, 2 * math.pi / precision)


def sparse_gates(
    xp: ModuleType,
    n: Number,
    degree: Number,
    bits: Number,
    rotation: Number,
    computed_positions: bool,
) -> tuple[NumberArray, NumberArray, NumberArray]:
    """T gates, T layers and qubits of one controlled call.

    Args:
        xp: `numpy` or `jax.numpy`.
        n: rows.
        degree: d, labels of a row.
        bits: t, of an angle.
        rotation: T gates of one rotation.
        computed_positions: as in `SparseAccess`.
    """
    row_bits, label_bits = ceil_log2(xp, n), ceil_log2(xp, degree)
    table = lookup_layers(xp, n * degree)
    adder = xp.maximum(row_bits - 1, 0.0)
    ands = 2 * table + (adder if computed_positions else 2 * table)
    # Labels that are not a power of two take one round of amplitude amplification: 2 rotations and comparisons of at
    # most 8 log2 d T gates (arXiv 1805.03662, figure 12, from memory). Charged for all d, so that the cost grows with
    # d; once to spread the labels and once to gather them.
    uniform = xp.where(degree > 1, 2 * (8 * label_bits + 2 * rotation), 0.0)
    address = row_bits + label_bits
    # Row, label, the flag of the encoding, the angle, and the ancillas of unary iteration; a column beside its row.
    qubits = address + 1 + bits + xp.maximum(address - 1, 0.0) + (0.0 if computed_positions else row_bits)
    return T_PER_AND * ands + bits * rotation + uniform, ands + bits * rotation + uniform, qubits
