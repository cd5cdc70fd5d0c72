"""The explicit inverse of a definite matrix, formed once and applied as a matrix product."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Inexact, PyTree

from .._core.arrays import Number
from .._core.records import ClassicalWorkload, Encoding, SystemEstimate
from .base import AbstractSolver
from .capabilities import Capabilities
from .direct import dense_workload
from .flat import Structure, check_definite, check_dense, flatten
from .verified import Check, as_held, at_scale, one_norm


class InverseState(eqx.Module):
    """Data for judging a solution, the inverse, and the structure of the solution."""

    check: Check
    inverse: Inexact[Array, "n n"]
    like: Structure = eqx.field(static=True)


class Inverse(AbstractSolver):
    """The inverse of a positive definite matrix, real or Hermitian, for many right-hand sides or solves per set-up.

    Forming it takes ten times the operations of Cholesky's factor, most of them in matrix products. A solve is then one
    product with a matrix, which many right-hand sides share (`jax.vmap`), where two substitutions go row by row.

    A matrix that is not positive definite gives NaN and `RESULTS.singular`. So does, with a value, one that is
    numerically singular, or whose triangles differ, of which only the lower one is read. The residual of an explicit
    inverse may be as large as rounding times `||A||_1 ||A^-1||_1 ||b||_1`, and that is what it claims, where a
    factorisation has `||A||_1 ||x||_1` (Higham 2002, 14.1); the second claim of `_solvers.verified` is unchanged.
    `stats["residual"]` is the relative residual.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(needs_symmetric=True, needs_definite=True)
    name: ClassVar[str] = "Inverse"
    applied_as: ClassVar[str | None] = "product"
    triangle: ClassVar[str | None] = "lower"

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> ClassicalWorkload:
        """`10/3 n^3` operations for the inverse, see `inverse_workload`, and `2 n^2` for the product."""
        return inverse_workload(estimate.n, estimate.max_entry.dtype.itemsize)

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> InverseState:
        """Form the matrix and invert it.

        Raises:
            ValueError: if the operator is not square, not tagged as positive semidefinite, or of a float type without
                factorisations.
        """
        check_dense(operator, self.name)
        check_definite(operator, self.name)
        matrix = operator.as_matrix()
        return InverseState(Check.of(matrix, options), inverted(matrix), Structure.of(operator.in_structure()))

    def compute(
        self, state: InverseState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        return multiplied(state, vector)

    def transpose(self, state: InverseState, options: dict[str, Any]) -> tuple[InverseState, dict[str, Any]]:
        # Of a Hermitian matrix that is the conjugate.
        return self.conj(state, options)

    def conj(self, state: InverseState, options: dict[str, Any]) -> tuple[InverseState, dict[str, Any]]:
        return conjugate(state), options

    def assume_full_rank(self) -> bool:
        return True


def multiplied(state: InverseState, vector: PyTree[Array]) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
    """Return a solver's result for a right-hand side from a known inverse, its residual judged accordingly."""
    b, exponent = state.check.care.near_one(flatten(vector))
    x = as_held(jnp.matmul(state.inverse, b, precision=jax.lax.Precision.HIGHEST), exponent)
    failed = jnp.any(jnp.isnan(x)) & jnp.all(jnp.isfinite(b))
    result = lx.RESULTS.where(failed, lx.RESULTS.singular, lx.RESULTS.successful)
    length = one_norm(state.inverse) * jnp.sum(jnp.abs(b)) if state.check.care.verify else None
    result, stats = state.check(x, b, result, length=length)
    value, result = at_scale(x, exponent, result)
    return state.like.unflatten(value), result, stats


def conjugate(state: InverseState) -> InverseState:
    """Return the state of the conjugate matrix, which for a real matrix is the same."""
    if not jnp.iscomplexobj(state.inverse):
        return state
    return InverseState(state.check.conj(), state.inverse.conj(), state.like)


def inverted(matrix: Inexact[Array, "n n"]) -> Inexact[Array, "n n"]:
    """The inverse of a positive definite matrix, real or Hermitian; NaN where it is not definite.

    `A^-1 = L^-H L^-1` with `A = L L^H`, as LAPACK's `potri` has it. Only the lower triangle is read.

    Args:
        matrix: `[n, n]`.
    """
    # Not `cho_solve` with the identity: one triangular solve and a product are less.
    factor = jax.lax.linalg.cholesky(matrix, symmetrize_input=False)
    eye = jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    root = jax.lax.linalg.triangular_solve(factor, eye, left_side=True, lower=True)
    return jnp.matmul(root.T.conj(), root, precision=jax.lax.Precision.HIGHEST)


def inverse_workload(n: Number, itemsize: int) -> ClassicalWorkload:
    """Return the `10/3 n^3` operations executed for the inverse, and `2 n^2` for one product with it.

    `1/3 n^3` for the factor, `n^3` for a triangular solve with the whole identity, and `2 n^3` for a product of
    matrices whose zeros are multiplied like other entries (Golub and Van Loan, 1.1, 3.1 and 4.2).
    """
    # The matrix becomes the factor; factor and identity become its inverse; and that becomes the product.
    return dense_workload("inverse", n, 10 / 3 * n**3, itemsize, arrays=7)
