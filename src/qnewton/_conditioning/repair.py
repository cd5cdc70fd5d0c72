"""Repairs that make a sparsified system definite again, by a provable amount."""

import dataclasses
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from .._core.kinds import check_scalars, plain
from .._core.records import System
from .base import AbstractConditioner
from .guarantee import Conditioning, Definiteness, Guarantee
from .spectrum import gershgorin, lowest_eigenvalue


class Compensate(AbstractConditioner):
    """Add to the diagonal what pruning took from each row: `sum_j |R_ij| sqrt(a_ii / a_jj)`.

    The result lies above the matrix before pruning in the Loewner order, so it is definite where that was, and has its
    eigenvalue floor. The price is a short step: the model decrease is only proven to be `1 / (1 + 2 rho / lambda_min)`
    of the best, rho the largest amount added. Comes after pruning, without a change of basis in between.
    """

    @property
    def guarantee(self) -> Guarantee:
        return Guarantee(
            "0 <= A_c - A <= 2 rho, rho the largest amount added, in a diagonal scaling of the matrix",
            Definiteness.REGAINED,
            Conditioning.UNKNOWN,
            "A <= A_c <= (1 + 2 rho / lambda_min(A)) A, as every dropped pair and its compensation are semidefinite; "
            "rho in the unscaled matrix where all diagonal entries are equal",
        )

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Compensate; `scale` is not used.

        Raises:
            ValueError: if nothing was pruned symmetrically since the last change of basis.
        """
        if system.dropped is None:
            raise ValueError(
                "Compensate found nothing to compensate: it comes after Prune, Threshold, Matching, Cliques or "
                "OutputBlocks, and a change of basis or PruneRows may not stand in between"
            )
        matrix = system.matrix + jnp.diag(system.dropped)
        return dataclasses.replace(
            system,
            operator=lx.MatrixLinearOperator(matrix, lx.symmetric_tag),
            eigenvalue_floor=system.unrepaired.eigenvalue_floor,
            dropped=None,
        )


class ShiftTo(AbstractConditioner):
    """Shift `(A + t c I) / (1 + t)`, least `t >= 0` that brings the smallest eigenvalue to `smallest` times `c`.

    `c` is the mean of the diagonal, which stays what it was; in a basis with unit diagonal this shrinks the
    off-diagonal entries towards the diagonal, which is EKFAC in K-FAC's, and the encoded condition number is at most
    `degree / smallest`. A system that is definite enough is left alone.

    Attributes:
        smallest: in (0, 1), relative to the mean of the diagonal.
        bound: how the smallest eigenvalue is bounded from below: `cholesky` (close; Lanczos, confirmed by two or three
            factorisations) or `gershgorin` (one pass; exact after `Matching(2)` in a basis with unit diagonal, far too
            low for matrices with many entries).
    """

    smallest: float = eqx.field(static=True, converter=plain, default=0.05)
    bound: Literal["cholesky", "gershgorin"] = eqx.field(static=True, default="cholesky")

    def __check_init__(self):
        check_scalars(self)
        if not 0 < self.smallest < 1:
            raise ValueError(
                f"smallest is {self.smallest}: it must lie in (0, 1), the smallest eigenvalue relative to the mean of "
                "the diagonal; 1 would leave nothing but the diagonal's mean"
            )
        if self.bound not in ("cholesky", "gershgorin"):
            raise ValueError(f"bound is {self.bound!r}: it must be 'cholesky' or 'gershgorin'")

    @property
    def guarantee(self) -> Guarantee:
        return Guarantee(
            "t (A - c I) / (1 + t), after which it is solved as it stands",
            Definiteness.MADE,
            Conditioning.BOUNDED,
            f"lambda_min >= {self.smallest:g} c, with equality up to how close the bound is, and the trace stays: "
            f"kappa <= n / {self.smallest:g}; d max|a| / lambda_min <= d / {self.smallest:g} on a unit diagonal",
        )

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Shift; `scale` is not used.

        Raises:
            ValueError: if the system is not symmetric.
        """
        if not system.symmetric:
            raise ValueError("ShiftTo needs a symmetric matrix, and this system was pruned row by row: use Prune")
        system = system.formed()
        matrix = system.matrix
        find = lowest_eigenvalue if self.bound == "cholesky" else gershgorin
        # In units of a mean that is positive and inside the floating-point range.
        mean, largest = jnp.mean(jnp.diagonal(matrix)), jnp.max(jnp.abs(matrix))
        unit = jnp.where(mean > 0, mean, jnp.where(largest > 0, largest, 1))
        lowest = find(matrix / unit)
        share = jnp.maximum(0, (self.smallest - lowest) / (1 - self.smallest))
        moved = matrix / (1 + share) + share / (1 + share) * unit * jnp.eye(matrix.shape[0], dtype=matrix.dtype)
        # A zero matrix has no scale to shift by; it stays zero, and the solve says so.
        moved = jnp.where(largest == 0, matrix, moved)
        floor = jnp.where(largest == 0, 0, jnp.maximum(lowest, self.smallest) * unit)
        return dataclasses.replace(
            system,
            operator=lx.MatrixLinearOperator(moved, lx.symmetric_tag),
            eigenvalue_floor=floor.astype(matrix.dtype),
            exact=system.unrepaired,
            dropped=None,
        )
