"""Linear combinations of unitaries (Childs, Kothari and Somma, arXiv 1511.02306), with the constants of 2503.21420.

`log_base` is 2 as its author ruled; an earlier version of her code took natural logarithms.
"""

import dataclasses
import math
from types import ModuleType

from ...._core.arrays import Number, NumberArray, ceil, floating, floor, quiet, repeat
from ...._core.records import QuantumWorkload
from .model import CountInputs
from .qsvt import truncated_inverse
from .sparse import KNOWN_FROM, amplified, simulation_queries, sparse_access_model

# Sums of up to this many terms are summed, longer ones by Euler and Maclaurin's formula: from there on good to 1e-9,
# and to 1e-8 with natural logarithms.
_SUMMED = 32
# B_2k / (2k)! times the (2k - 1)-th derivative of z exp(-z^2 / 2) at 0, k = 1, 2, ...
_EULER_MACLAURIN = (1 / 12, 3 / 720, 15 / 30240, 105 / 1209600, 945 / 47900160)


@quiet
def fourier_weight(kappa: Number, precision: Number, log_base: float = 2.0) -> NumberArray:
    """Return the combination's weight `alpha_F`.

    It is `4 sqrt(pi) kappa / (kappa + 1) sum_{l=1}^{L} l h exp(-(l h)^2 / 2)`.

    With `ell = log(1 + 8 kappa / epsilon)`: `h = 2 pi / ((kappa + 1) sqrt(ell))`, `L = floor((kappa + 1) ell / pi)`.
    """
    xp, kappa, precision = floating(kappa, precision)
    kappa, precision = xp.broadcast_arrays(kappa, precision)
    ell = xp.log(1 + 8 * kappa / precision) / math.log(log_base)
    spacing = 2 * math.pi / ((kappa + 1) * xp.sqrt(ell))
    terms = floor(xp, (kappa + 1) * ell / math.pi)
    total = xp.where(terms <= _SUMMED, _sum(xp, spacing, terms), _long_sum(xp, spacing, terms))
    return 4 * math.sqrt(math.pi) * kappa / (kappa + 1) * total


def _sum(xp: ModuleType, spacing: Number, terms: Number) -> NumberArray:
    def add(carried: tuple[NumberArray, NumberArray]) -> tuple[NumberArray, NumberArray]:
        index, total = carried
        z = index * spacing
        return index + 1, total + xp.where(index <= terms, z * xp.exp(-(z**2) / 2), 0.0)

    return repeat(xp, add, (xp.ones_like(spacing), xp.zeros_like(spacing)), _SUMMED)[1]


def _long_sum(xp: ModuleType, spacing: Number, terms: Number) -> NumberArray:
    end = terms * spacing
    last = xp.exp(-(end**2) / 2)
    total = (1 - last) / spacing + end * last / 2 + spacing / 12 * (1 - end**2) * last
    for order, weight in enumerate(_EULER_MACLAURIN):
        total = total - weight * spacing ** (2 * order + 1)
    return total


@dataclasses.dataclass(frozen=True)
class Fourier:
    """Count of a combination of evolutions for many times (Lemma 15)."""

    log_base: float = 2.0

    def __call__(self, problem: CountInputs) -> QuantumWorkload:
        """The count."""
        xp, kappa, precision = problem.xp, problem.kappa, problem.precision
        time = 2 * math.sqrt(2) * kappa * xp.log(1 + 8 * kappa / precision) / math.log(self.log_base)
        queries = simulation_queries(problem.alpha, time, precision)
        return amplified(problem, queries, fourier_weight(kappa, precision, self.log_base))


@dataclasses.dataclass(frozen=True)
class Chebyshev:
    """Count of combined powers of a quantum walk (Lemma 16): `8 j0` queries for the series cut at `j0` terms.

    Its weight is `(4 / d) E[max(X - s, 0)]`, `X` binomial with `2 s` fair trials, about `(2 / d) sqrt(s / pi)`.
    """

    log_base: float = 2.0

    def __call__(self, problem: CountInputs) -> QuantumWorkload:
        """The count."""
        xp = problem.xp
        root, terms = truncated_inverse(problem.encoded, problem.precision, self.log_base)
        # The expectation is s C(2s, s) / 4^s / 2; Stirling's series of it.
        s = root**-2.0
        weight = 2 / problem.alpha * root / math.sqrt(math.pi) * (1 - s / 8 + s**2 / 128 + 5 * s**3 / 1024)
        return amplified(problem, 8 * terms, xp.maximum(weight, 1.0))


@dataclasses.dataclass(frozen=True)
class SparseInversion:
    """Count of singular value transformation in the same access model (Lemma 17): an inverse times a rectangle.

    `log_base` is the rectangle's; the inverse has base 2 in all versions.
    """

    log_base: float = 2.0

    def __call__(self, problem: CountInputs) -> QuantumWorkload:
        """The count: `4 n_rect + 4 n_inv` an application."""
        xp, kappa, encoded, precision = problem.xp, problem.kappa, problem.encoded, problem.precision
        inner = precision / (4 * kappa)
        _, terms = truncated_inverse(encoded, inner, 2.0)
        rectangle = self._rectangle(xp, encoded, xp.minimum(inner, encoded / (2 * terms)))
        _, terms = truncated_inverse(encoded, problem.alpha / (2 * kappa) * inner, 2.0)
        queries = 4 * rectangle + 4 * (2 * terms + 1)
        return amplified(problem, queries, 2 * kappa, (1 - precision / 2) / (2 * kappa))

    def _rectangle(self, xp: ModuleType, encoded: Number, error: Number) -> NumberArray:
        def log(value: Number) -> NumberArray:
            return xp.log(value) / math.log(self.log_base)

        error = math.sqrt(math.pi) * error * encoded / 16
        decay = ceil(xp, xp.maximum(2 * (math.e / encoded) ** 2, log(2 / error)))
        return 2 * ceil(xp, xp.sqrt(2 * log(4 / error) * decay)) + 1


fourier2015 = sparse_access_model(
    "fourier2015", "Lemma 15", Fourier(), f"{KNOWN_FROM}. Logarithms to base 2 as the author ruled; natural before"
)
"""The Fourier approach of Childs, Kothari and Somma."""

chebyshev2015 = sparse_access_model(
    "chebyshev2015",
    "Lemma 16 (Lemma 1 of arXiv 2604.24362)",
    Chebyshev(),
    f"{KNOWN_FROM}. Logarithms to base 2 as the author ruled; natural before",
)
"""Their Chebyshev approach."""

lefterovici2025_qsvt = sparse_access_model(
    "lefterovici2025_qsvt",
    "Lemma 17",
    SparseInversion(),
    f"{KNOWN_FROM}. Logarithms to base 2 as the author ruled; natural before. The precision of the inverse, defined "
    "with three arguments and called with two, is her reading",
)
"""Singular value transformation in queries to sparse access; `sunderhauf2025` is the one in block-encoding queries."""
