"""Kronecker factors with corrected eigenvalues."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from ..._core.layout import Layout
from ..._core.status import Refusal
from .base import AbstractPreconditioner, usable
from .kfac import KFAC
from .layers import layered, without_layers


class EKFACState(eqx.Module):
    """Eigenbases `(U_A, U_G)` per layer, and reciprocals of the damped diagonals in and outside of them."""

    layout: Layout
    bases: tuple[tuple[Float[Array, "i i"], Float[Array, "a a"]], ...]
    scales: tuple[Float[Array, "i a"], ...]
    rest: Float[Array, " rest"]


class EKFAC(AbstractPreconditioner):
    """Preconditioner that divides by the block's true diagonal in K-FAC's eigenbasis, plus the shift.

    Source: George et al. 2018, eq. 9.

    Entries of the rotated diagonal that are not positive after the shift are replaced by the mean magnitude. `flops`
    assumes one layer with as many inputs as outputs, and leaves the block's own pass for the diagonal out.

    Attributes:
        prior: that of `KFAC`, whose eigenvalues it corrects; not measured.
    """

    name: ClassVar[str] = "EKFAC"
    prior: ClassVar[float] = KFAC().prior
    needs_layers: ClassVar[bool] = True

    def refuses(self, operator: lx.AbstractLinearOperator) -> Refusal:
        return without_layers(operator)

    def init(self, operator: lx.AbstractLinearOperator) -> EKFACState:
        """Find the eigenbases, and the diagonal in them.

        Raises:
            ValueError: if the operator has no Kronecker factors.
        """
        base, factors, shift = layered(operator, self.name)
        assert factors.rest is not None
        bases = tuple((_basis(a), _basis(g)) for a, g in zip(factors.inputs, factors.outputs, strict=True))
        return EKFACState(
            layout=factors.layout,
            bases=bases,
            scales=tuple(1 / usable(d + shift) for d in base.rotated_diagonal(bases)),
            rest=1 / usable(factors.rest + shift),
        )

    def apply(self, state: EKFACState, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        matrices, rest = state.layout.split(vector)
        solved = [
            u_a @ (scale * (u_a.T @ v @ u_g)) @ u_g.T
            for (u_a, u_g), scale, v in zip(state.bases, state.scales, matrices, strict=True)
        ]
        return state.layout.merge(solved, state.rest * rest)

    def flops(self, n: int) -> tuple[float, float]:
        # An eigendecomposition takes about 9 n^3 (Golub and Van Loan, 8.3), for two factors with sqrt(n) rows.
        return 18 * n**1.5, 8 * n**1.5


def _basis(factor: Float[Array, "i i"]) -> Float[Array, "i i"]:
    return jnp.linalg.eigh(factor)[1]
