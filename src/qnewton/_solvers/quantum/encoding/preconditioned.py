"""A preconditioned matrix: the product with a sparse approximate inverse, multiplied before it is encoded."""

import math
from typing import ClassVar, Self

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ...._core.arrays import Number, NumberArray, floating, quiet
from ...._core.evidence import Evidence
from ...._core.gates import GateCost
from ...._core.records import Encoding
from .base import AbstractEncoding, Numbers, OwnNumbers
from .sparse import SparseAccess


class Preconditioned(AbstractEncoding):
    """Encoded product `P A` in place of A, for a preconditioner P, with `P A x = P b`: its own kappa and its own alpha.

    Lapworth and Sünderhauf, arXiv 2502.20908 (abstract read): P a sparse approximate inverse with infill, multiplied
    on the host, since two encodings that are multiplied as circuits have `alpha_P alpha_A`, which eats the gain (25
    times fewer phase factors for one 1024 x 1024 matrix of theirs). x is the same and is read out as it is. `P A` is
    not definite, nor is its `||x||` known, so counts that need either do not hold for it.

    Without a measured matrix the numbers are at their worst for the condition number and degree that are given.

    Attributes:
        condition_number: of `P A`.
        encoding: of `P A`.
        degree: nonzeros in a row of `P A`; None: as in A.
        peak: `max|P A| / ||P A||`; None: 1.
        spread: `||P A||_F / ||P A||`; None: as large as rows, degree and peak allow.
    """

    condition_number: float = eqx.field(static=True)
    encoding: AbstractEncoding = SparseAccess()
    degree: float | None = eqx.field(static=True, default=None)
    peak: float | None = eqx.field(static=True, default=None)
    spread: float | None = eqx.field(static=True, default=None)
    evidence: ClassVar[Evidence] = Evidence.DERIVED

    def __check_init__(self):
        if not 1 <= self.condition_number < math.inf:
            raise ValueError(f"condition_number is {self.condition_number}: that of P A is finite and at least 1")
        if self.encoding.rectangular:
            raise ValueError(f"encoding is {self.encoding.name}: P A has no such root")
        if self.degree is not None and not self.degree >= 1:
            raise ValueError(f"degree is {self.degree}: a row of P A has at least one nonzero")
        if self.peak is not None and not 0 < self.peak <= 1:
            raise ValueError(f"peak is {self.peak}: no entry exceeds the norm, so max|P A| / ||P A|| lies in (0, 1]")
        if self.spread is not None and not self.spread >= 1:
            raise ValueError(f"spread is {self.spread}: ||P A||_F / ||P A|| is at least 1")

    @classmethod
    def of(cls, product: Float[np.ndarray, "n n"], encoding: AbstractEncoding | None = None) -> Self:
        """Measure a product `P A`, dense, on the host.

        Raises:
            ValueError: if it is singular.
        """
        values = np.linalg.svd(product, compute_uv=False)
        if not values[-1] > 0:
            raise ValueError("P A is singular: the preconditioner has lost a direction")
        sizes = np.abs(product)
        degree = max(np.count_nonzero(sizes, axis=1).max(), np.count_nonzero(sizes, axis=0).max())
        return cls(
            float(values[0] / values[-1]),
            SparseAccess() if encoding is None else encoding,
            degree=float(degree),
            peak=float(sizes.max() / values[0]),
            spread=float(np.linalg.norm(product) / values[0]),
        )

    @property
    def name(self) -> str:
        return f"preconditioned, {self.encoding.name}"

    @property
    def source(self) -> str:
        return f"arXiv 2502.20908; {self.encoding.source}"

    @property
    def assumed(self) -> tuple[str, ...]:
        return ("P and P A are computed before, for nothing", *self.encoding.assumed)

    @quiet
    def encode(self, estimate: Numbers) -> Encoding:
        found = self.encoding.encode(self._product(estimate))
        return eqx.tree_at(lambda one: one.other, found, True)

    @quiet
    def cost(self, estimate: Numbers, precision: Number) -> GateCost:
        """Return the gates of one query of `P A`."""
        return self.encoding.cost(self._product(estimate), precision)

    def entries(self, estimate: Numbers) -> NumberArray:
        """Return those of `P A`."""
        return self.encoding.entries(self._product(estimate))

    def _product(self, estimate: Numbers) -> OwnNumbers:
        """Numbers of `P A` at the norm of A, whose scale cancels."""
        xp, n, degree, norm, own = floating(
            estimate.n, estimate.degree, estimate.spectral_norm, estimate.log_condition_number
        )
        degree = degree if self.degree is None else xp.minimum(self.degree, n)
        peak = 1.0 if self.peak is None else self.peak
        spread = xp.minimum(xp.sqrt(n), xp.maximum(xp.sqrt(n * degree) * peak, 1.0))
        spread = spread if self.spread is None else xp.minimum(self.spread, xp.sqrt(n))
        # Of a singular matrix every product is.
        log_kappa = math.log(self.condition_number) + 0 * own
        return OwnNumbers(n, degree, peak * norm, spread * norm, norm, log_kappa, False)


def sparse_approximate_inverse(matrix: Float[np.ndarray, "n n"], infill: int = 0) -> Float[np.ndarray, "n n"]:
    """Return the P with the least `||P A - I||_F` in a pattern: that of `A^(infill + 1)`. On the host.

    Each row is a small least-squares problem by itself (Grote and Huckle, SIAM J. Sci. Comput. 18, 1997; from memory).

    Args:
        matrix: A, dense, with its sparsity as zeros.
        infill: powers of the pattern beyond A's own.

    Raises:
        ValueError: if infill is negative.
    """
    if infill < 0:
        raise ValueError(f"infill is {infill}: the pattern is that of a power of A")
    pattern = matrix != 0
    allowed = pattern | np.eye(len(matrix), dtype=bool)
    for _ in range(infill):
        allowed = (allowed.astype(float) @ pattern) > 0
    inverse = np.zeros_like(matrix, dtype=float)
    for row, own in enumerate(allowed):
        (kept,) = np.nonzero(own)
        (seen,) = np.nonzero(pattern[kept].any(axis=0))
        wanted = (seen == row).astype(float)
        inverse[row, kept] = np.linalg.lstsq(matrix[np.ix_(kept, seen)].T, wanted, rcond=None)[0]
    return inverse
