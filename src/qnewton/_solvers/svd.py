"""Damped least squares by the singular values of the root: nothing is squared."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float, Inexact, PyTree

from .._core.costs import Cost
from .._core.decompositions import SVD as Decomposed
from .._core.decompositions import svd
from .._core.records import ClassicalWorkload, Encoding, SystemEstimate
from .base import AbstractSolver
from .capabilities import Capabilities
from .flat import Structure, check_dense, check_real, flatten
from .verified import Check, as_held, at_scale


class SVDState(eqx.Module):
    """What judges a solution, and the decomposition."""

    check: Check
    parts: Decomposed
    like: Structure = eqx.field(static=True)
    like_transposed: Structure = eqx.field(static=True)


class SVD(AbstractSolver):
    """The solution by singular values (Golub and Van Loan 2013, section 5.5).

    What makes it a candidate are systems `(R^T R + m I) x = R^T u` whose root `R` is at hand: it decomposes `R`, once
    for all dampings `m`, so that neither the square of a condition number nor rounding relative to the damping occurs.
    Handed a square matrix it solves that; a numerically singular one is `RESULTS.singular`.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(least_squares=True)
    name: ClassVar[str] = "SVD"
    applied_as: ClassVar[str | None] = "product"

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> ClassicalWorkload:
        """`6 m n^2 + 20 n^3` operations for both bases, here with `m = n` (Golub and Van Loan, table 8.6.1)."""
        n, itemsize = estimate.n, estimate.max_entry.dtype.itemsize
        set_up = self.decomposing(n, n, itemsize)
        return ClassicalWorkload(
            kernel="svd",
            flops=set_up.flops + 4.0 * n**2,
            bytes=set_up.bytes + 2.0 * n**2 * itemsize,
            setup_flops=set_up.flops,
            setup_bytes=set_up.bytes,
        )

    @staticmethod
    def decomposing(rows: int, n: int, itemsize: int) -> Cost:
        """What the decomposition of a root `[rows, n]` takes, `rows >= n`."""
        return Cost(6.0 * rows * n**2 + 20.0 * n**3, 3.0 * rows * n * itemsize)

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> SVDState:
        """Form and decompose the matrix.

        Raises:
            ValueError: if the operator is not square and real.
        """
        check_dense(operator, self.name)
        check_real(operator, self.name)
        matrix = operator.as_matrix()
        likes = Structure.of(operator.in_structure()), Structure.of(operator.out_structure())
        return SVDState(Check.of(matrix, options), svd(matrix), *likes)

    def compute(
        self, state: SVDState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        b, exponent = state.check.care.near_one(flatten(vector))
        parts = state.parts
        x = as_held(parts.right.T @ ((parts.left.T @ b) / parts.values), exponent)
        failed = ~jnp.all(jnp.isfinite(x)) & jnp.all(jnp.isfinite(b))
        result = lx.RESULTS.where(failed, lx.RESULTS.singular, lx.RESULTS.successful)
        result, stats = state.check(x, b, result)
        value, result = at_scale(x, exponent, result)
        return state.like.unflatten(value), result, stats

    def transpose(self, state: SVDState, options: dict[str, Any]) -> tuple[SVDState, dict[str, Any]]:
        parts = Decomposed(state.parts.right.T, state.parts.values, state.parts.left.T)
        return SVDState(state.check.transpose(), parts, state.like_transposed, state.like), options

    def conj(self, state: SVDState, options: dict[str, Any]) -> tuple[SVDState, dict[str, Any]]:
        return state, options

    def assume_full_rank(self) -> bool:
        return True

    def decomposed(self, root: Inexact[Array, "rows n"], sound: Bool[Array, ""] | None) -> Decomposed:
        """What serves all dampings.

        Args:
            root: `R`.
            sound: whether it is finite, where that is known.
        """
        return svd(root, sound)

    def damped(
        self,
        parts: Decomposed,
        dampings: Float[Array, " k"],
        along: Float[Array, "k rows"],
        slopes: Float[Array, "k n"] | None = None,
    ) -> Float[Array, "k n"]:
        """`(R^T R + m I)^-1 (R^T u + v)` for each of the dampings.

        Args:
            parts: of `R`.
            dampings: `m`, positive.
            along: `u`.
            slopes: `v`; None: nothing.
        """
        squares = parts.values**2 + dampings[:, None]
        coefficients = parts.values / squares * (along @ parts.left)
        if slopes is not None:
            coefficients = coefficients + slopes @ parts.right.T / squares
        return coefficients @ parts.right
