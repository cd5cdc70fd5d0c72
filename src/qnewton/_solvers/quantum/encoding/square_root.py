"""The square root of a Gauss-Newton matrix, encoded in place of the matrix."""

from typing import ClassVar

import equinox as eqx

from ...._core.arrays import Number, NumberArray, floating, quiet
from ...._core.evidence import Evidence
from ...._core.gates import GateCost
from ...._core.records import Encoding
from .base import AbstractEncoding, Numbers, demands
from .frobenius import min_count

SMALLEST_MEASURED_OVERLAP = 0.036
"""Least overlap over 28 Gauss-Newton blocks of small networks on the digits (0.13 to 0.94 for perceptrons, 0.036 to
0.29 for an autoencoder). A measurement, not a bound."""


class SquareRoot(AbstractEncoding):
    """Encoded root `L = [M^(1/2) J / sqrt(B); sqrt(lambda) I]`, `L^T L = H + lambda I`, so that the step is `L^+ b`.

    `alpha = ||L||_F = sqrt(tr H + n lambda)` and `sigma_min = sqrt(lambda_min)`: the condition number is the root of
    the matrix's, and `alpha / sigma_min >= sqrt(n)`. With p the predictions, y the targets and B the batch, the
    right-hand side is `b = [M^(+1/2) (p - y) / sqrt(B); 0]`, not the gradient `L^T b`.

    L is rectangular and its Hermitian dilation singular, so that only methods which apply a pseudo-inverse (QSVT, LCU)
    hold. Only the part of b in the range of L counts: `overlap = ||L L^+ b|| / ||b||`. It is charged once, as part of
    the solution's norm (`factor_solution_norm`, or its worst case `smallest_solution_norm`), which those methods
    amplify; never beside it.

    The estimate is that of `H + lambda I`. The gates are those of `Frobenius` for a square matrix that L fits into, an
    upper bound.

    Attributes:
        rows: of `M^(1/2) J`: examples times outputs.
        trace: of `H + lambda I`; None: the least of `n ||A||`, `sqrt(n) ||A||_F` and `n max|A_ij|`, which bound it.
        overlap: in (0, 1]; None: `SMALLEST_MEASURED_OVERLAP`.
        row_entries: classical numbers per row, e.g. inputs plus outputs of the layers; None: n.
    """

    rows: int = eqx.field(static=True)
    trace: Number | None = None
    overlap: Number | None = None
    row_entries: int | None = eqx.field(static=True, default=None)
    name: ClassVar[str] = "square root"
    source: ClassVar[str] = "ours; gates: arXiv 2206.03505v1 tables 1, 3, 4"
    evidence: ClassVar[Evidence] = Evidence.DERIVED
    rectangular: ClassVar[bool] = True

    def __check_init__(self):
        if self.rows < 1:
            raise ValueError(f"rows is {self.rows}: a factor has at least one row, examples times outputs")
        if self.row_entries is not None and self.row_entries < 1:
            raise ValueError(f"row_entries is {self.row_entries}: a row has at least one entry")

    @property
    def smallest_solution_norm(self) -> Number:
        """The overlap, with `||L^+ b|| >= overlap ||b|| / ||L||`."""
        return SMALLEST_MEASURED_OVERLAP if self.overlap is None else self.overlap

    @property
    def assumed(self) -> tuple[str, ...]:
        trace = () if self.trace is not None else ("the trace: its bound from the norms",)
        overlap = () if self.overlap is not None else (f"the overlap: {SMALLEST_MEASURED_OVERLAP}, the least measured",)
        return trace + overlap

    @quiet
    def encode(self, estimate: Numbers) -> Encoding:
        """The factor's condition number; infinite where the matrix is not known to be definite."""
        xp, trace, n, entry, frobenius, spectral, log_kappa = floating(
            0.0 if self.trace is None else self.trace,
            estimate.n,
            estimate.max_entry,
            estimate.frobenius_norm,
            estimate.spectral_norm,
            estimate.log_condition_number,
        )
        if self.trace is None:
            trace = xp.minimum(xp.minimum(n * entry, n**0.5 * frobenius), n * spectral)
        return Encoding(
            condition_number=xp.where(xp.asarray(estimate.definite), xp.exp(log_kappa / 2), xp.inf),
            # Each root apart: the quotient of subnormal numbers loses digits.
            subnormalisation=xp.maximum(xp.sqrt(trace) / xp.sqrt(spectral), 1.0),
            smallest_solution_norm=self.smallest_solution_norm,
            rectangular=True,
        )

    @quiet
    def cost(self, estimate: Numbers, precision: Number) -> GateCost:
        """The minimum-count encoding of `rows + n` rows and columns."""
        xp, n, precision, overlap = floating(estimate.n, precision, self.smallest_solution_norm)
        gates = min_count(xp, n + self.rows, precision)
        return GateCost.under(
            [
                *demands(n, precision),
                (estimate.definite, "a definite matrix"),
                ((overlap > 0) & (overlap <= 1), "an overlap in (0, 1]"),
            ],
            t_count=gates.t_count,
            t_depth=gates.t_depth,
            qubits=gates.qubits,
        )

    def entries(self, estimate: Numbers) -> NumberArray:
        """`rows` times the entries of a row; the identity below them is not loaded."""
        _, n = floating(estimate.n)
        return self.rows * (n if self.row_entries is None else self.row_entries + 0 * n)

    def amplitudes(self, estimate: Numbers) -> NumberArray:
        """Return the entries of b, one per row of `M^(1/2) J`; the rest of it is zero."""
        _, n = floating(estimate.n)
        return self.rows + 0 * n


@quiet
def factor_overlap(descent: Number, right_hand_side_norm: Number) -> NumberArray:
    """Return `||L L^+ b|| / ||b|| = sqrt(g.x) / ||b||`.

    At the solution x, `||L x||^2 = x.(H + lambda I) x = g.x`.

    Args:
        descent: `g.x`, gradient times solution.
        right_hand_side_norm: `||b||`.
    """
    xp, descent, norm = floating(descent, right_hand_side_norm)
    return xp.sqrt(descent) / norm


@quiet
def factor_solution_norm(spectral_norm: Number, step_norm: Number, right_hand_side_norm: Number) -> NumberArray:
    """Return `||L^+ b||` for `||L|| = ||b|| = 1`, overlap included: `sqrt(||H + lambda I||) ||x|| / ||b||`.

    Args:
        spectral_norm: of `H + lambda I`.
        step_norm: `||x||`.
        right_hand_side_norm: `||b||`.
    """
    xp, spectral, step, norm = floating(spectral_norm, step_norm, right_hand_side_norm)
    return xp.sqrt(spectral) * step / norm
