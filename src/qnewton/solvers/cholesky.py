"""Cholesky factorisation."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float, PyTree

from ..core.operators import AbstractCurvatureOperator, Shifted
from ..core.records import ClassicalWorkload, Encoding, SystemEstimate
from .base import AbstractSolver
from .direct import dense_workload
from .flat import flatten, split_shift, unflatten, without_tags


class CholeskyState(eqx.Module):
    """A factor, or an operator that is formed, factored and freed where the vector is known.

    Attributes:
        factor: lower triangular `[n, n]`; None where the operator was not formed.
        operator: None where there is a factor that nothing need stand in for.
        like: structure of the solution.
    """

    factor: Float[Array, "n n"] | None
    operator: lx.AbstractLinearOperator | None
    like: PyTree[jax.ShapeDtypeStruct] = eqx.field(static=True)


class Cholesky(AbstractSolver):
    """Cholesky factorisation, for positive definite matrices; half the operations of LU.

    A matrix that is not positive definite gives NaN and `RESULTS.singular`.

    Of a curvature block that was not formed only the upper triangle is, in `compute`; triangle and factor are gone when
    it returns.

    Attributes:
        fallback: whether a matrix on which the factorisation breaks down is solved by LU instead. A scheduler may then
            also hand over one whose condition number is so large that rounding might have made it indefinite. Blocks
            that are not formed have none, since of them only a triangle is.
    """

    fallback: bool = eqx.field(static=True, default=False)

    @property
    def needs_definite(self) -> bool:
        return True

    @property
    def notices_indefinite(self) -> bool:
        return self.fallback

    @property
    def needs_symmetric(self) -> bool:
        return True

    @property
    def fidelity(self) -> None:
        return None

    @property
    def name(self) -> str:
        return "Cholesky"

    @property
    def runs_as(self) -> str:
        return self.name

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> ClassicalWorkload:
        """`1/3 n^3` operations for the factor and `2 n^2` for the two substitutions (Golub and Van Loan, 4.2)."""
        n = estimate.n
        return dense_workload("cholesky", n, 1 / 3 * n**3, estimate.max_entry.dtype.itemsize)

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> CholeskyState:
        """Factor the matrix.

        Raises:
            ValueError: if the operator is not square or not tagged as positive semidefinite.
        """
        if operator.in_size() != operator.out_size():
            raise ValueError(
                f"Cholesky solves square systems, got an operator of shape ({operator.out_size()}, "
                f"{operator.in_size()})"
            )
        if not lx.is_positive_semidefinite(operator):
            raise ValueError(
                "Cholesky may only be used for operators that are known to be positive or negative definite, and takes "
                "the positive ones: tag the operator with lineax.positive_semidefinite_tag, or use LU"
            )
        like = operator.in_structure()
        if _is_block(operator):
            return CholeskyState(None, operator, like)
        return CholeskyState(_factor(operator.as_matrix()), operator if self.fallback else None, like)

    def compute(
        self, state: CholeskyState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        flat = flatten(vector)
        if state.factor is not None:
            value = cho_solve((state.factor, True), flat)
            if state.operator is not None:
                matrix, broke = state.operator.as_matrix(), jnp.isnan(state.factor[-1, -1])
                # Transposed, which a symmetric matrix may be, it lies as LAPACK wants it. Else XLA lays it out anew,
                # and where this is a branch of a scheduler's switch, outside the condition: on every solve.
                value = jax.lax.cond(broke, lambda: jnp.linalg.solve(matrix.T, flat), lambda: value)
        else:
            assert state.operator is not None
            base, shift = split_shift(state.operator)
            assert isinstance(base, AbstractCurvatureOperator)
            value = _solve_shifted(base, shift, flat)
        failed = jnp.any(jnp.isnan(value)) & jnp.all(jnp.isfinite(flat))
        result = lx.RESULTS.where(failed, lx.RESULTS.singular, lx.RESULTS.successful)
        return unflatten(value, state.like), result, {}

    def transpose(self, state: CholeskyState, options: dict[str, Any]) -> tuple[CholeskyState, dict[str, Any]]:
        return state, options

    def conj(self, state: CholeskyState, options: dict[str, Any]) -> tuple[CholeskyState, dict[str, Any]]:
        return state, options

    def assume_full_rank(self) -> bool:
        return True


def _is_block(operator: lx.AbstractLinearOperator) -> bool:
    bare = without_tags(operator)
    return isinstance(bare, Shifted) and isinstance(without_tags(bare.base), AbstractCurvatureOperator)


def _factor(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    # Only the upper triangle is read. Row by row it lies as LAPACK wants a lower one column by column: nothing is
    # moved, where `scipy.linalg.cho_factor` of jax would transpose the matrix and the factor.
    return jax.lax.linalg.cholesky(matrix.T, symmetrize_input=False)


def _solve_shifted(
    base: AbstractCurvatureOperator, shift: Float[Array, ""], vector: Float[Array, " n"]
) -> Float[Array, " n"]:
    matrix = base.upper_triangle()
    rows = jnp.arange(vector.size)
    return cho_solve((_factor(matrix.at[rows, rows].add(shift)), True), vector)
