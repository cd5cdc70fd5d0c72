"""A linear combination of the diagonal and of the off-diagonal entries by order of magnitude."""

from typing import ClassVar, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...._core.arrays import Number, NumberArray, floating, quiet
from ...._core.evidence import Evidence
from ...._core.gates import GateCost
from ...._core.records import Encoding
from .base import AbstractEncoding, Numbers, degree_demand, demands, encoded
from .sparse import angle_bits, sparse_gates
from .synthesis import T_PER_AND, ceil_log2, lookup_layers, power, rotation_t_count


class DyadicLevels(AbstractEncoding):
    """Dyadic encoding, `alpha = max|A_ii| + sum_l d_l m_l`: the diagonal, and one sparse oracle per level of magnitude.

    Level l holds the off-diagonal entries above half of its bound, each level's bound half of the one before, the last
    level all that are left; `d_l` is the largest number of them in a row and `m_l` the largest magnitude. Where that
    exceeds `(largest number of off-diagonal entries in a row) x (largest magnitude)`, one level holds all. Never below
    the largest row sum, which is the floor for everything that reads rows. Ours; the circuit is that of `SparseAccess`
    per level, with the linear combination's weights prepared by plain rotations.

    Without a matrix to measure there is one level with `d - 1` entries a row, all as large as the largest: `alpha` is
    then that of `SparseAccess`.

    Attributes:
        diagonal: largest absolute diagonal entry; None where not measured.
        degrees: `d_l` `[levels, ...]`; None where not measured.
        magnitudes: `m_l` `[levels, ...]`; None where not measured.
    """

    diagonal: Number | None = None
    degrees: Float[NumberArray, "levels ..."] | None = None
    magnitudes: Float[NumberArray, "levels ..."] | None = None
    name: ClassVar[str] = "dyadic levels"
    source: ClassVar[str] = "ours; lookups of arXiv 1805.03662"
    evidence: ClassVar[Evidence] = Evidence.DERIVED

    def __check_init__(self):
        if len({self.diagonal is None, self.degrees is None, self.magnitudes is None}) > 1:
            raise ValueError(
                "give diagonal, degrees and magnitudes together or not at all: DyadicLevels.of measures them"
            )

    @classmethod
    def of(cls, matrix: Float[Array, "n n"], levels: int = 8) -> Self:
        """Measure a matrix; jittable.

        Raises:
            ValueError: if there is no level.
        """
        if levels < 1:
            raise ValueError(f"levels is {levels}: entries need at least one level")
        size = jnp.abs(matrix)
        off = jnp.where(jnp.eye(matrix.shape[0], dtype=bool), 0, size)
        largest = jnp.max(off)
        # Level 0 holds (largest / 2, largest]; the exponent is exact where a quotient of logarithms is not.
        mantissa, exponent = jnp.frexp(largest)
        mantissas, exponents = jnp.frexp(off)
        level = jnp.clip(exponent - exponents - (mantissas > mantissa), 0, levels - 1)
        members = (level == jnp.arange(levels)[:, None, None]) & (off > 0)
        degrees = jnp.max(jnp.sum(members, axis=2), axis=1).astype(size.dtype)
        magnitudes = jnp.max(jnp.where(members, off, 0), axis=(1, 2))
        degree = jnp.max(jnp.sum(off > 0, axis=1)).astype(size.dtype)
        single = jnp.arange(levels) == 0
        merge = degree * largest < jnp.sum(degrees * magnitudes)
        return cls(
            diagonal=jnp.max(jnp.diagonal(size)),
            degrees=jnp.where(merge, jnp.where(single, degree, 0), degrees),
            magnitudes=jnp.where(merge, jnp.where(single, largest, 0), magnitudes),
        )

    @classmethod
    def of_rows(
        cls,
        starts: Int[np.ndarray, " n+1"],
        columns: Int[np.ndarray, " z"],
        sizes: Float[np.ndarray, " z"],
        levels: int = 8,
    ) -> Self:
        """Measure a sparse matrix by its rows, on the host; as `of` does for a dense one.

        Args:
            starts: where each row begins among the entries, and where the last one ends.
            columns: of each entry.
            sizes: magnitude of each entry, without stored zeros.
            levels: that entries are sorted into.
        """
        rows = len(starts) - 1
        row = np.repeat(np.arange(rows), np.diff(starts))
        on = row == columns
        diagonal = float(sizes[on].max(initial=0.0))
        row, off = row[~on], sizes[~on]
        largest = float(off.max(initial=0.0))
        mantissas, exponents = np.frexp(off)
        mantissa, exponent = np.frexp(largest)
        level = np.clip(exponent - exponents - (mantissas > mantissa), 0, levels - 1)
        degrees, magnitudes = np.zeros(levels), np.zeros(levels)
        for place in range(levels):
            own = level == place
            if own.any():
                degrees[place] = np.bincount(row[own], minlength=rows).max()
                magnitudes[place] = off[own].max()
        degree = float(np.bincount(row, minlength=rows).max(initial=0))
        if degree * largest < np.sum(degrees * magnitudes):
            degrees, magnitudes = np.zeros(levels), np.zeros(levels)
            degrees[0], magnitudes[0] = degree, largest
        return cls(diagonal=np.float64(diagonal), degrees=degrees, magnitudes=magnitudes)

    @property
    def assumed(self) -> tuple[str, ...]:
        return () if self.degrees is not None else ("the magnitudes of the entries: all as large as the largest",)

    @quiet
    def encode(self, estimate: Numbers) -> Encoding:
        diagonal, degrees, magnitudes = self._measured(estimate)
        xp, diagonal, degrees, magnitudes, _ = floating(diagonal, degrees, magnitudes, estimate.spectral_norm)
        return encoded(estimate, diagonal + xp.sum(degrees * magnitudes, axis=0))

    @quiet
    def cost(self, estimate: Numbers, precision: Number) -> GateCost:
        """Return the cost with half of the error for the oracles, half for the two preparations of the weights."""
        _, degrees, _ = self._measured(estimate)
        xp, n, degree, degrees, precision = floating(estimate.n, estimate.degree, degrees, precision)
        # The levels' axis before all others, so that it meets none of them.
        missing = max(np.ndim(n), np.ndim(degree), np.ndim(precision)) - (degrees.ndim - 1)
        degrees = degrees.reshape(degrees.shape[:1] + (1,) * missing + degrees.shape[1:])
        bits = angle_bits(xp, precision / 2)
        rotation = rotation_t_count(xp, precision / (4 * bits))
        t_count, t_depth, qubits = sparse_gates(xp, n, degrees, bits, rotation, computed_positions=False)
        used = degrees > 0
        # The diagonal needs no label and no column: its angles are written, turned by and erased.
        table = 2 * lookup_layers(xp, n)
        weights = power(xp, ceil_log2(xp, (degrees.shape[0] + 1.0) * xp.ones_like(n)))
        prepare = 2 * (weights - 1) * rotation_t_count(xp, precision / (4 * (weights - 1)))
        return GateCost.under(
            [
                *demands(n, precision),
                degree_demand(n, degree),
                (xp.all((degrees >= 0) & (degrees <= n), axis=0), "a count of entries per level in [0, n]"),
            ],
            t_count=xp.sum(xp.where(used, t_count, 0.0), axis=0) + T_PER_AND * table + bits * rotation + prepare,
            t_depth=xp.sum(xp.where(used, t_depth, 0.0), axis=0) + table + bits * rotation + prepare,
            qubits=xp.max(xp.maximum(qubits, 2 * ceil_log2(xp, n) + 1 + bits), axis=0) + xp.log2(weights),
        )

    def entries(self, estimate: Numbers) -> NumberArray:
        """Return the entries of the diagonal and of every level's rows."""
        _, degrees, _ = self._measured(estimate)
        xp, n, degrees = floating(estimate.n, degrees)
        return n * (1 + xp.sum(degrees, axis=0))

    def _measured(self, estimate: Numbers) -> tuple[Number, Number, Number]:
        if self.diagonal is not None and self.degrees is not None and self.magnitudes is not None:
            return self.diagonal, self.degrees, self.magnitudes
        _, degree, entry = floating(estimate.degree, estimate.max_entry)
        return entry, (degree - 1)[None], entry[None]
