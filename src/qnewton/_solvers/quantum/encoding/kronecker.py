"""Kronecker products: the factors of a K-FAC block, each encoded by itself."""

from typing import ClassVar

import equinox as eqx

from ...._core.arrays import Number, NumberArray, ceil, floating, quiet
from ...._core.evidence import Evidence
from ...._core.gates import GateCost
from ...._core.records import Encoding
from .base import AbstractEncoding, Numbers, OwnNumbers, encoded
from .frobenius import Frobenius


class Kronecker(AbstractEncoding):
    """Encoded product `A (x) G`, `alpha = alpha_A alpha_G`: K-FAC's block of a linear or convolution layer.

    Both unitaries act side by side, each on its own index, so gates, qubits and classical numbers of the factors add
    up, and layers do not (Dalzell et al., arXiv 2310.03011, chapter 10.2, as Qualtran's `TensorProduct` has it). Each
    gets half of the error: corners of norm at most 1 err by `e_A + e_G` together.

    For a damped block the factors are damped (`(A + pi I) (x) (G + I / pi)`, as K-FAC has it), and the estimate is that
    of the product. Norms, entries and nonzeros of a product are products, so those of the whole give alpha where both
    factors are encoded alike. A number of rows that `rows` does not divide is padded.

    Attributes:
        rows: of A, e.g. the inputs of a layer with its bias; channels times kernel entries of a convolution.
        left: encoding of A.
        right: encoding of G.
        degree: nonzeros in a row of A; None: as many as fit.
        spread: `||A||_F / ||A||`. None: where `left` and `right` differ, both factors are at their worst.
        peak: `max|A_ij| / ||A||`; likewise.
    """

    rows: int = eqx.field(static=True)
    left: AbstractEncoding = Frobenius()
    right: AbstractEncoding = Frobenius()
    degree: float | None = eqx.field(static=True, default=None)
    spread: float | None = eqx.field(static=True, default=None)
    peak: float | None = eqx.field(static=True, default=None)
    evidence: ClassVar[Evidence] = Evidence.DERIVED

    def __check_init__(self):
        if self.rows < 1:
            raise ValueError(f"rows is {self.rows}: the left factor of a Kronecker product has at least one row")
        for field in ("left", "right"):
            if getattr(self, field).rectangular:
                raise ValueError(
                    f"{field} is {getattr(self, field).name}: a factor's own root is not that of a product"
                )
        if self.degree is not None and not 1 <= self.degree <= self.rows:
            raise ValueError(f"degree is {self.degree}: a row of the left factor has 1 to {self.rows} nonzeros")
        if self.spread is not None and not 1 <= self.spread <= self.rows**0.5:
            raise ValueError(f"spread is {self.spread}: ||A||_F / ||A|| lies between 1 and the root of the rows")
        if self.peak is not None and not 0 < self.peak <= 1:
            raise ValueError(f"peak is {self.peak}: no entry exceeds the norm, so max|A| / ||A|| lies in (0, 1]")

    @property
    def name(self) -> str:
        return f"{self.left.name} (x) {self.right.name}"

    @property
    def source(self) -> str:
        return f"arXiv 2310.03011 chapter 10.2; {self.left.source}; {self.right.source}"

    @property
    def assumed(self) -> tuple[str, ...]:
        alike = type(self.left) is type(self.right) or None not in (self.spread, self.peak)
        norms = () if alike else ("the norms of the factors: both at their worst",)
        return norms + self.left.assumed + self.right.assumed

    @quiet
    def encode(self, estimate: Numbers) -> Encoding:
        _, norm, left, right = floating(
            estimate.spectral_norm, *(one.encode(numbers).subnormalisation for one, numbers in self._both(estimate))
        )
        return encoded(estimate, left * right * norm)

    @quiet
    def cost(self, estimate: Numbers, precision: Number) -> GateCost:
        """Return the gates of both factors, each with half of the error."""
        xp, precision, _ = floating(precision, estimate.n)
        # Half of a precision that is out of range may fall into it.
        half = xp.where(precision < 1, precision / 2, precision)
        left, right = (one.cost(numbers, half) for one, numbers in self._both(estimate))
        return GateCost(
            t_count=left.t_count + right.t_count,
            t_depth=xp.maximum(left.t_depth, right.t_depth),
            qubits=left.qubits + right.qubits,
            conditions=(*left.conditions, *right.conditions),
        )

    def entries(self, estimate: Numbers) -> NumberArray:
        """Return the classical numbers of both factors."""
        (left, first), (right, second) = self._both(estimate)
        return left.entries(first) + right.entries(second)

    def _both(self, estimate: Numbers) -> tuple[tuple[AbstractEncoding, OwnNumbers], ...]:
        """Both encodings with the numbers of their factors; the left one carries the scale."""
        xp, n, degree, entry, frobenius, norm, log_kappa = floating(
            estimate.n,
            estimate.degree,
            estimate.max_entry,
            estimate.frobenius_norm,
            estimate.spectral_norm,
            estimate.log_condition_number,
        )
        rows = xp.minimum(float(self.rows), n)
        others = ceil(xp, n / rows)
        nonzeros = xp.minimum(rows if self.degree is None else self.degree, degree)
        if type(self.left) is type(self.right):
            # How the product's norms divide among the factors cancels.
            spread, peak, left_spread, left_peak = 1.0, 1.0, frobenius / norm, entry / norm
        else:
            left_spread = xp.minimum(frobenius / norm, xp.sqrt(rows)) if self.spread is None else self.spread
            left_peak = xp.ones_like(entry / norm) if self.peak is None else self.peak
            whole = frobenius / norm
            spread = xp.minimum(whole if self.spread is None else whole / self.spread, xp.sqrt(others))
            peak = 1.0 if self.peak is None else xp.minimum(entry / norm / self.peak, 1.0)
        one = xp.ones_like(norm)
        definite = estimate.definite
        return (
            (self.left, OwnNumbers(rows, nonzeros, left_peak * norm, left_spread * norm, norm, log_kappa, definite)),
            (
                self.right,
                OwnNumbers(others, ceil(xp, degree / nonzeros), peak * one, spread * one, one, log_kappa, definite),
            ),
        )
