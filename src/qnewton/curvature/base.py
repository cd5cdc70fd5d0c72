"""The interface of curvature: one symmetric block per Newton system."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..core.records import System
from .objective import Batch, Objective
from .partition import Block


class AbstractCurvature(eqx.Module):
    """A symmetric curvature matrix of the objective, formed block by block."""

    @property
    @abc.abstractmethod
    def semidefinite(self) -> bool:
        """Whether blocks carry an eigenvalue floor: 0 where semidefiniteness is known, minus infinity where not."""

    @abc.abstractmethod
    def form(self, objective: Objective, params: PyTree, batch: Batch, block: Block) -> System:
        """The dense block `[n, n]` at `params`, in the dtype of the parameters."""

    def system(self, matrix: Float[Array, "n n"], floor: Float[Array, ""] | None = None) -> System:
        """A formed block as the record that conditioning takes.

        Args:
            matrix: `[n, n]`, symmetric but for rounding.
            floor: lower bound on its eigenvalues; None takes 0 where `semidefinite`, and claims nothing otherwise.
        """
        # Rounding leaves an asymmetry of a few ulp; everything downstream may rely on exact symmetry. One triangle is
        # copied: the mean of both, once XLA has contracted it to fma(a, 1/B, b * 1/B), does not commute. Two triangles
        # are added, and not chosen by `where(row >= column, matrix, matrix.T)`: jaxlib 0.10.2 crashes on that.
        symmetric = jnp.tril(matrix) + jnp.tril(matrix, -1).T
        if floor is None and self.semidefinite:
            floor = jnp.zeros((), matrix.dtype)
        return System.of(symmetric, symmetric=True, eigenvalue_floor=floor)
