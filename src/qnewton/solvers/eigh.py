"""Solvers by eigendecomposition: the pseudo-inverse, and the saddle-free direction."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from ..core.records import ClassicalWorkload, Encoding, SystemEstimate
from .base import AbstractSolver
from .flat import check_square_and_real, check_symmetric, flatten, unflatten


class EighState(eqx.Module):
    """Eigenvectors as columns, and what each component is multiplied by: 0 for those that were dropped."""

    vectors: Float[Array, "n n"]
    gains: Float[Array, " n"]
    structure: Any = eqx.field(static=True)


class AbstractEigh(AbstractSolver):
    """Eigenvalues with `|lambda| <= cutoff max |lambda|` are dropped; the rest is up to the subclass.

    Attributes:
        cutoff: relative, at least 0 and below 1; None: rows times the rounding unit.
    """

    cutoff: eqx.AbstractVar[float | None]

    def __check_init__(self):
        if self.cutoff is not None and not 0 <= self.cutoff < 1:
            raise ValueError(f"cutoff is {self.cutoff}: it is relative to max |lambda| and must lie in [0, 1)")

    @abc.abstractmethod
    def divisor(self, values: Float[Array, " n"]) -> Float[Array, " n"]:
        """What a component is divided by, from its eigenvalue."""

    @property
    def needs_definite(self) -> bool:
        return False

    @property
    def needs_symmetric(self) -> bool:
        return True

    @property
    def fidelity(self) -> None:
        return None

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def runs_as(self) -> str:
        return self.name

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> EighState:
        """Form the matrix and decompose it.

        Raises:
            ValueError: if the operator is not square, real and known to be symmetric.
        """
        check_square_and_real(operator, self.name)
        check_symmetric(operator, self.name)
        values, vectors = jnp.linalg.eigh(operator.as_matrix())
        cutoff = values.size * jnp.finfo(values.dtype).eps if self.cutoff is None else self.cutoff
        sizes = jnp.abs(values)
        dropped = sizes <= cutoff * jnp.max(sizes)
        # A matrix that is not finite has NaN eigenvalues, for which no comparison holds: they are kept, and show.
        gains = jnp.where(dropped, 0, 1 / jnp.where(dropped, 1, self.divisor(values)))
        return EighState(vectors, gains, operator.in_structure())

    def compute(
        self, state: EighState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        """Three steps in the eigenbasis; `stats["rank"]` counts the eigenvalues that were kept."""
        flat = state.vectors @ (state.gains * (state.vectors.T @ flatten(vector)))
        return unflatten(flat, state.structure), lx.RESULTS.successful, {"rank": jnp.sum(state.gains != 0)}

    def transpose(self, state: EighState, options: dict[str, Any]) -> tuple[EighState, dict[str, Any]]:
        return state, options

    def conj(self, state: EighState, options: dict[str, Any]) -> tuple[EighState, dict[str, Any]]:
        return state, options

    def assume_full_rank(self) -> bool:
        return False

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> ClassicalWorkload:
        """`9 n^3` operations for values and vectors (Golub and Van Loan, 8.3), and `4 n^2` for the solve."""
        n, itemsize = estimate.n, estimate.max_entry.dtype.itemsize
        matrix = n**2 * itemsize
        return ClassicalWorkload(
            kernel="eigh",
            flops=9.0 * n**3 + 4.0 * n**2,
            bytes=4.0 * matrix,
            setup_flops=9.0 * n**3,
            setup_bytes=2.0 * matrix,
        )


class Eigh(AbstractEigh):
    """The solution of least norm, by the pseudo-inverse of a symmetric matrix.

    Attributes:
        cutoff: eigenvalues with `|lambda| <= cutoff max |lambda|` are dropped; None: rows times the rounding unit.
    """

    cutoff: float | None = eqx.field(static=True, default=None)

    def divisor(self, values: Float[Array, " n"]) -> Float[Array, " n"]:
        return values


class SaddleFree(AbstractEigh):
    """`|A|^-1 b`, the saddle-free Newton direction (Dauphin et al. 2014, algorithm 1): a descent direction always.

    It solves `A x = b` only where `A` is semidefinite, so a residual says nothing about it elsewhere, and derivatives
    by the matrix are those of `A^-1 b`: do not differentiate through it.

    Attributes:
        cutoff: eigenvalues with `|lambda| <= cutoff max |lambda|` are dropped; None: rows times the rounding unit.
    """

    cutoff: float | None = eqx.field(static=True, default=None)

    def divisor(self, values: Float[Array, " n"]) -> Float[Array, " n"]:
        return jnp.abs(values)
