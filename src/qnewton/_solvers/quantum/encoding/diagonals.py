"""Matrices of few diagonals: bands, stencils on grids, circulants."""

from types import ModuleType
from typing import ClassVar, Self

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ...._core.arrays import Number, NumberArray, floating, quiet
from ...._core.evidence import Evidence
from ...._core.gates import GateCost
from ...._core.records import Encoding
from .base import AbstractEncoding, Numbers, degree_demand, demands, encoded
from .sparse import angle_bits, sparse_gates
from .synthesis import T_PER_AND, ceil_log2, power, rotation_t_count


class Diagonals(AbstractEncoding):
    """Diagonals in superposition, each shifted to its place, `alpha = sum_k max_i |A_(i, i+k)|`.

    A state of the diagonals' weights, a lookup of each one's offset, one addition, and the entries of all diagonals at
    once (alpha: Lapworth and Sünderhauf, arXiv 2502.20908, as Classiq's code has it; circuit: Alonso-Linaje et al.,
    arXiv 2512.05183, as PennyLane's demonstration has it; abstracts read). Entries are looked up, as in `SparseAccess`,
    or come from w Walsh functions per diagonal, which takes `4 d w` rotations and as many controls of 4 ANDs per
    coefficient. Golden: 3e13 T gates for 1e8 queries, d = 3, n = 2^20, w = 512.

    Without a matrix to measure there are d diagonals, all as large as the largest entry.

    Attributes:
        largest: magnitude of each diagonal `[diagonals, ...]`; None where not measured.
        coefficients: w, Walsh functions of a diagonal. Leaving some out has an error of its own, which is not in
            `precision`. None: entries are looked up.
    """

    largest: Float[NumberArray, "diagonals ..."] | None = None
    coefficients: int | None = eqx.field(static=True, default=None)
    name: ClassVar[str] = "diagonals"
    source: ClassVar[str] = "arXiv 2502.20908 (alpha), 2512.05183 (circuit)"
    evidence: ClassVar[Evidence] = Evidence.SECOND_HAND

    def __check_init__(self):
        if self.coefficients is not None and self.coefficients < 1:
            raise ValueError(f"coefficients is {self.coefficients}: a diagonal has at least one Walsh function")

    @classmethod
    def of_entries(
        cls,
        rows: Int[np.ndarray, " z"],
        columns: Int[np.ndarray, " z"],
        sizes: Float[np.ndarray, " z"],
        coefficients: int | None = None,
    ) -> Self:
        """Measure a sparse matrix by its entries, on the host.

        Args:
            rows: of each entry.
            columns: of each entry.
            sizes: magnitude of each entry.
            coefficients: as of the class.
        """
        stored = np.asarray(sizes) > 0
        _, place = np.unique((np.asarray(columns) - np.asarray(rows))[stored], return_inverse=True)
        largest = np.zeros(max(place.max(initial=-1) + 1, 1))
        np.maximum.at(largest, place, np.asarray(sizes, float)[stored])
        return cls(largest, coefficients)

    @property
    def assumed(self) -> tuple[str, ...]:
        measured = () if self.largest is not None else ("as many diagonals as nonzeros in a row, all as large",)
        exact = () if self.coefficients is None else (f"{self.coefficients} Walsh functions resolve a diagonal",)
        return measured + exact

    @quiet
    def encode(self, estimate: Numbers) -> Encoding:
        if self.largest is None:
            _, degree, entry = floating(estimate.degree, estimate.max_entry)
            return encoded(estimate, degree * entry)
        xp, largest, _ = floating(self.largest, estimate.spectral_norm)
        return encoded(estimate, xp.sum(largest, axis=0))

    @quiet
    def cost(self, estimate: Numbers, precision: Number) -> GateCost:
        """Return the cost with half of the error for the entries, half for the two states of the weights."""
        xp, n, degree, precision, _ = floating(estimate.n, self._diagonals(estimate), precision, estimate.spectral_norm)
        weights = power(xp, ceil_log2(xp, degree))
        prepare = 2 * (weights - 1) * rotation_t_count(xp, precision / (4 * xp.maximum(weights - 1, 1.0)))
        if self.coefficients is None:
            bits = angle_bits(xp, precision / 2)
            rotation = rotation_t_count(xp, precision / (4 * bits))
            t_count, t_depth, qubits = sparse_gates(xp, n, degree, bits, rotation, computed_positions=True)
        else:
            rotation = rotation_t_count(xp, precision / (8 * self.coefficients))
            t_count, t_depth, qubits = walsh_gates(xp, n, degree, self.coefficients * xp.ones_like(n), rotation)
        return GateCost.under(
            [*demands(n, precision), degree_demand(n, estimate.degree)],
            t_count=t_count + prepare,
            t_depth=t_depth + prepare,
            qubits=qubits,
        )

    def entries(self, estimate: Numbers) -> NumberArray:
        """Return the entries of all diagonals, or the coefficients that stand for them."""
        _, n, degree = floating(estimate.n, self._diagonals(estimate))
        return degree * (n if self.coefficients is None else self.coefficients + 0 * n)

    def _diagonals(self, estimate: Numbers) -> Number:
        return estimate.degree if self.largest is None else float(self.largest.shape[0])


def walsh_gates(
    xp: ModuleType, n: Number, diagonals: Number, coefficients: Number, rotation: Number
) -> tuple[NumberArray, NumberArray, NumberArray]:
    """T gates, T layers and qubits of one call without the states of the weights.

    Args:
        xp: `numpy` or `jax.numpy`.
        n: rows.
        diagonals: d.
        coefficients: w of each.
        rotation: T gates of one rotation.
    """
    row_bits, label_bits = ceil_log2(xp, n), ceil_log2(xp, diagonals)
    adder = xp.maximum(row_bits - 1, 0.0)
    # The offset is looked up and erased; each diagonal's functions are controlled by its label.
    ands = 3 * xp.maximum(diagonals - 1, 0.0) + adder + 4 * diagonals * coefficients
    turns = 4 * diagonals * coefficients * rotation
    qubits = 2 * row_bits + 2 * label_bits + 1 + xp.maximum(label_bits - 1, 0.0)
    return T_PER_AND * ands + turns, ands + turns, qubits
