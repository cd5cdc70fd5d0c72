"""Lower bounds: queries below which no quantum linear solver gets, whoever invents it.

A bound is about the worst matrix of its class. It holds for solvers that know the matrix by queries alone and work for
every matrix with that condition number; what is known of one matrix beside may beat it.
"""

import dataclasses
import math
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import numpy as np

from ...._core.arrays import Number, NumberArray, floating, quiet, repeat
from ...._core.conditions import Condition, Demand, met
from ...._core.evidence import Evidence
from ...._core.records import Encoding, QuantumWorkload
from ..precision import ErrorConvention, convert
from .model import Matrices, Unit

_STEPS = tuple(10.0 ** (-k / 4) for k in range(13))
"""Logarithms of the quotient of the two smallest singular values. Each gives a bound, and the largest is taken; 1 to
1e-3 holds the best for errors down to 1e-7, below which it is flat."""
_BOXES = tuple(10.0 ** (k / 4) for k in range(-4, 21))
"""Entries of the search over the square of kappa, likewise."""
_CUT = 1.5
"""Multiple of its expected queries at which a run is cut off. `sqrt(1 - 1/c) / c` is largest there."""


class BoundInputs(NamedTuple):
    """Inputs of a bound: arrays of one namespace `xp`, inside its range.

    Attributes:
        xp: numpy or `jax.numpy`.
        kappa: condition number of the matrix.
        encoded: condition number of the encoded matrix, `kappa alpha`.
        error: trace distance to the solution's state.
        n: rows.
        degree: nonzeros in a row at most.
    """

    xp: ModuleType
    kappa: NumberArray
    encoded: NumberArray
    error: NumberArray
    n: NumberArray
    degree: NumberArray


@dataclasses.dataclass(frozen=True)
class QueryBound:
    """A lower bound on queries with known facts about it. Calling it gives the least workload of a system.

    Attributes:
        name: of the bound; records use it.
        source: paper and theorem, or ours.
        version: of the paper.
        evidence: `derived` if the proof stands in this module, `second-hand` if the constant is known from somebody's
            summary, `asymptotic` if no constant is known, and 1 stands for it.
        known_from: how it came to us, and what is open about it.
        count: the formula.
        unit: what a query is.
        matrices: the smallest class of matrices for which it is stated.
        depth: whether layers of parallel queries are counted, and not queries.
        smallest_n: rows that its hard matrix has at least.
    """

    name: str
    source: str
    version: str | None
    evidence: Evidence
    known_from: str
    count: Callable[[BoundInputs], NumberArray]
    unit: Unit
    matrices: Matrices
    depth: bool = False
    smallest_n: float = 1.0

    @property
    def sure(self) -> bool:
        """Whether its constant is proven, so that it may exclude a solver."""
        return self.evidence in (Evidence.PROVEN, Evidence.DERIVED)

    @quiet
    def __call__(
        self,
        encoding: Encoding,
        precision: Number,
        n: Number,
        degree: Number = 1.0,
        *,
        convention: ErrorConvention = ErrorConvention.STATE,
    ) -> QuantumWorkload:
        """Return the queries that one solve expects at least: never below one.

        Args:
            encoding: condition number and subnormalisation; scalars or arrays that broadcast.
            precision: error that the solver may make, in (0, 1).
            n: rows.
            degree: nonzeros in a row at most.
            convention: what `precision` is: of a state, not absolute.

        Returns:
            The workload, without preparations of the right-hand side. Infinite where the bound says nothing, with the
            reason.
        """
        xp, kappa, alpha, error, n, degree = floating(
            encoding.condition_number, encoding.subnormalisation, precision, n, degree
        )
        demands: list[Demand] = [
            (xp.isfinite(kappa) & (kappa >= 1 - 1e-4), "a finite condition number that is at least 1"),
            (xp.isfinite(alpha) & (alpha >= 1 - 1e-4), "a finite subnormalisation that is at least 1"),
            ((error > 0) & (error < 1), "0 < precision < 1"),
            (n >= self.smallest_n, f"n >= {self.smallest_n:g}"),
            ((degree >= 1) & (degree <= n), "a degree in [1, n]"),
        ]
        shape = np.broadcast_shapes(*(v.shape for v in (kappa, alpha, error, n, degree)))
        conditions = tuple(Condition(xp.broadcast_to(xp.asarray(holds), shape), words) for holds, words in demands)
        kappa, alpha = (xp.maximum(xp.where(xp.isfinite(v), v, 1.0), 1.0) for v in (kappa, alpha))
        distance = convert(xp.where((error > 0) & (error < 1), error, 0.1), convention, ErrorConvention.TRACE)
        count = self.count(BoundInputs(xp, kappa, kappa * alpha, distance, xp.maximum(n, 3.0), xp.maximum(degree, 1.0)))
        queries = xp.where(met(conditions), xp.maximum(count, 1.0), math.inf)
        queries = xp.broadcast_to(queries, shape)
        return QuantumWorkload(queries, xp.zeros_like(queries), xp.ones_like(queries), conditions)


def _failing(xp: ModuleType, error: NumberArray) -> NumberArray:
    """Angle between the solution and what a run that was not cut off leaves of it.

    A run is cut off with probability `1 / _CUT` at most, so its error concentrates in the rest at worst.
    """
    return xp.arcsin(xp.minimum(error / math.sqrt(1 - 1 / _CUT), 1.0))


def _block(inputs: BoundInputs) -> NumberArray:
    xp, kappa = inputs.xp, inputs.encoded
    best = xp.zeros_like(kappa * inputs.error)
    for step in _STEPS:
        log_quotient = xp.minimum(step, xp.log(kappa) / 2)
        apart = xp.maximum(xp.arctan(xp.sinh(log_quotient)) - 2 * _failing(xp, inputs.error), 0.0)
        flagged = 2 * xp.arcsin(xp.sin(apart / 2) * math.sqrt(1 - 1 / _CUT))
        # The arcsine is steepest at the larger of the two values.
        turn = xp.expm1(log_quotient) / xp.sqrt(1 - xp.exp(2 * log_quotient) / kappa**2)
        best = xp.maximum(best, xp.where(log_quotient > 0, flagged * kappa / (_CUT * turn), 0.0))
    return best


block_queries = QueryBound(
    name="block_queries",
    source="ours: two matrices that few queries cannot tell apart",
    version=None,
    evidence=Evidence.DERIVED,
    known_from="the proof stands at the record; arXiv 2101.11868, whose abstract was read, proves the growth",
    count=_block,
    unit=Unit.BLOCK_ENCODING,
    matrices=Matrices.DEFINITE,
    smallest_n=3.0,
)
"""Expected calls of a block encoding of `A / alpha`: at least `0.385 kappa alpha` for a small error.

With `K = kappa alpha`, take `A / alpha = diag(1 / alpha, t / K, 1 / K)` and the same with the last two exchanged, with
`1 < t <= sqrt(K)` and the identity in all other rows; b is `(0, 1, 1) / sqrt(2)`. The solutions are `(0, 1 / t, 1)` and
`(0, 1, 1 / t)`, at the angle `Phi = arctan(sinh(ln t))`. The encodings `[[s, sqrt(1 - s^2)], [sqrt(1 - s^2), -s]]` of
each entry s differ by rotations by `delta = arcsin(t / K) - arcsin(1 / K) <= (t - 1) / sqrt(K^2 - t^2)`. A call of
the encoding, its inverse or a controlled version therefore increases the angle between both runs by delta at most
(triangle inequality), preparations of b by nothing. A run with E expected calls is cut off at `c E` calls, which
happens with probability `1 / c` at most and is seen. What it then leaves is an angle of at least `2 arcsin(sin(a / 2)
sqrt(1 - 1 / c))` apart, with `a = Phi - 2 arcsin(epsilon / sqrt(1 - 1 / c))` and epsilon the trace distance. So

    E >= 2 arcsin(sin(a / 2) sqrt(1 - 1 / c)) / (c delta),    c = 1.5

for every t. For a small epsilon the best t tends to 1, and the bound to `K / (1.5 sqrt(3))`.
"""


def _search(inputs: BoundInputs) -> NumberArray:
    xp, kappa = inputs.xp, inputs.kappa
    best = xp.zeros_like(kappa * inputs.error * inputs.n)
    for box in _BOXES:
        entries = xp.clip(box * kappa**2, 2.0, inputs.n)
        angle = xp.arctan(kappa / xp.sqrt(entries - 1)) - _failing(xp, inputs.error)
        found = xp.arcsin(math.sqrt(1 - 1 / _CUT) * xp.sin(xp.maximum(angle, 0.0)))
        best = xp.maximum(best, (found / xp.arcsin(1 / xp.sqrt(entries)) - 1) / (2 * _CUT))
    return best


search_queries = QueryBound(
    name="search_queries",
    source="ours, by Zalka, arXiv quant-ph/9711070: a search as a linear system",
    version=None,
    evidence=Evidence.DERIVED,
    known_from="the reduction stands at the record; that Grover's search is optimal, from memory",
    count=_search,
    unit=Unit.SPARSE_ACCESS,
    matrices=Matrices.DEFINITE,
    smallest_n=2.0,
)
"""Expected calls of the oracle of entries: at least `0.19 min(kappa, 2 sqrt(n))` or so for a small error.

A diagonal matrix is 1 but for one entry `1 / kappa` among N, and b is uniform: the hidden entry has the probability
`kappa^2 / (kappa^2 + N - 1) = sin^2 phi` in the solution. No search with q calls finds it with a larger probability
than `sin^2((2 q + 1) theta)`, `sin theta = 1 / sqrt(N)`. Cut off as in `block_queries`,

    2 c E + 1 >= arcsin(sqrt(1 - 1 / c) sin(phi - arcsin(epsilon / sqrt(1 - 1 / c)))) / theta,    c = 1.5

for every N from 2 to n.
"""


def _chain(inputs: BoundInputs) -> NumberArray:
    """Largest kappa up to that of the matrix whose hard instance, of `3 kappa 2^(kappa / 2)` rows, fits."""
    xp = inputs.xp
    rows = xp.log2(inputs.n)

    def better(fits: NumberArray) -> NumberArray:
        # Newton from the left on a concave function: it never passes the root.
        return fits - (xp.log2(3 * fits) + fits / 2 - rows) / (1 / (fits * math.log(2)) + 0.5)

    return xp.minimum(xp.maximum(repeat(xp, better, xp.ones_like(rows), 6), 0.0), inputs.kappa)


_SUMMARY = (
    "the abstract was read; the constant is from a machine's summary of the text. For solvers whose time is polynomial "
    "in log n and kappa. The hard matrix has 3 kappa 2^(kappa/2) rows, so that n caps kappa"
)

wang2024_sparse_depth = QueryBound(
    name="wang2024_sparse_depth",
    source="Wang and Zhang, arXiv 2407.06012, Theorem 1",
    version="v2",
    evidence=Evidence.SECOND_HAND,
    known_from=_SUMMARY,
    count=lambda inputs: 0.249 * _chain(inputs),
    unit=Unit.SPARSE_ACCESS,
    matrices=Matrices.HERMITIAN,
    depth=True,
)
"""Layers of parallel calls, at least `0.249 kappa`: parallel machines do not shorten one solve."""

wang2024_block_depth = dataclasses.replace(
    wang2024_sparse_depth,
    name="wang2024_block_depth",
    source="Wang and Zhang, arXiv 2407.06012, the corollary for block encodings",
    count=lambda inputs: 0.031 * _chain(inputs),
    unit=Unit.BLOCK_ENCODING,
)
"""Layers of parallel calls, at least `0.031 kappa`."""

mori2026_sparsity = QueryBound(
    name="mori2026_sparsity",
    source="Mori, Kikuchi, Benedetti and Rosenkranz, arXiv 2601.16697, Theorem 2",
    version="v2",
    evidence=Evidence.ASYMPTOTIC,
    known_from="the abstract was read, Omega(kappa sqrt(s)) at a constant error: no constant is in it, so 1 is taken",
    count=lambda inputs: inputs.kappa * inputs.xp.sqrt(inputs.degree),
    unit=Unit.SPARSE_ACCESS,
    matrices=Matrices.GENERAL,
)
"""`kappa sqrt(s)` with s nonzeros in a row; the constant is not known."""

mori2026_precision = dataclasses.replace(
    mori2026_sparsity,
    name="mori2026_precision",
    source="Mori, Kikuchi, Benedetti and Rosenkranz, arXiv 2601.16697, Theorem 1",
    known_from="quoted by others, Omega(kappa log(1/epsilon)) at a constant sparsity; the first version's abstract "
    "calls it unpublished. No constant is known, so 1 is taken",
    count=lambda inputs: -inputs.kappa * inputs.xp.log(inputs.error),
)
"""`kappa ln(1 / epsilon)`; the constant is not known."""

QUERY_BOUNDS: dict[str, QueryBound] = {
    bound.name: bound
    for bound in (
        block_queries,
        search_queries,
        wang2024_sparse_depth,
        wang2024_block_depth,
        mori2026_sparsity,
        mori2026_precision,
    )
}
"""All of them, by name."""
