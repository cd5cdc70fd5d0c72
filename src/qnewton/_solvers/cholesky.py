"""Cholesky factorisation."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float, Inexact, PyTree

from .._core.arrays import Number
from .._core.kinds import check_scalars, plain
from .._core.operators import AbstractCurvatureOperator, Shifted
from .._core.records import ClassicalWorkload, Encoding, SystemEstimate
from .._core.settings import own_promotion
from .base import AbstractSolver
from .capabilities import Capabilities
from .direct import dense_workload
from .flat import Structure, check_dense, flatten, made_positive, split_shift, without_tags
from .verified import Care, Check, as_held, at_scale


class CholeskyState(eqx.Module):
    """A factor, or a block that is formed, factored and freed once the vector is known.

    Attributes:
        factor: lower triangular `[n, n]`; None where the block was not formed.
        check: what judges a solution, and solves the system by LU where the factorisation broke down.
        like: structure of the solution.
        negated: whether both are those of the negated system.
    """

    factor: Inexact[Array, "n n"] | None
    check: Check
    like: Structure = eqx.field(static=True)
    negated: bool = eqx.field(static=True, default=False)


class Cholesky(AbstractSolver):
    """Cholesky factorisation, for definite matrices, real or Hermitian; half the operations of LU.

    Of one that is tagged negative semidefinite the negative is factored.

    A matrix that is not positive definite gives NaN and `RESULTS.singular`. So does, with a value, one that is
    numerically singular, or whose triangles differ, of which only the upper one is factored (see `_solvers.verified`);
    `stats["residual"]` is the relative residual.

    If a curvature block was not formed, `compute` forms only its upper triangle, and frees triangle and factor when it
    returns.

    Attributes:
        fallback: whether a matrix on which the factorisation breaks down is solved by LU instead. A scheduler may then
            also hand over one whose condition number is so large that rounding might have made it indefinite. Blocks
            that are not formed have none, since of them only a triangle is.
    """

    fallback: bool = eqx.field(static=True, converter=plain, default=False)
    name: ClassVar[str] = "Cholesky"
    applied_as: ClassVar[str | None] = "substitution"
    triangle: ClassVar[str | None] = "upper"

    def __check_init__(self):
        check_scalars(self)

    @property
    def capabilities(self) -> Capabilities:
        # Of a single layer's block that is not formed it forms the triangle that it needs itself.
        return Capabilities(
            needs_matrix=False, needs_symmetric=True, needs_definite=True, notices_indefinite=self.fallback
        )

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> ClassicalWorkload:
        """`1/3 n^3` operations for the factor and `2 n^2` for the two substitutions (Golub and Van Loan, 4.2)."""
        return cholesky_workload(estimate.n, estimate.max_entry.dtype.itemsize)

    @own_promotion()
    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> CholeskyState:
        """Factor the matrix.

        Raises:
            ValueError: if the operator is not square, not tagged as positive or negative semidefinite, or of a float
                type without factorisations.
        """
        check_dense(operator, self.name)
        operator, negated = made_positive(operator, self.name, "LU")
        like, care = Structure.of(operator.in_structure()), Care.of(options)
        if _is_block(operator):
            return CholeskyState(None, Check(operator=operator, care=care), like)
        matrix = operator.as_matrix()
        check = Check(matrix if care.verify or self.fallback else None, care=care)
        return CholeskyState(_factor(matrix), check, like, negated)

    @own_promotion()
    def compute(
        self, state: CholeskyState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        given = flatten(vector)
        (b, exponent), size = state.check.care.near_one(-given if state.negated else given), None
        if state.factor is not None:
            x = cho_solve((state.factor, True), b)
            if self.fallback:
                matrix, broke = state.check.matrix, jnp.isnan(state.factor[-1, -1].real)
                assert matrix is not None
                # Transposed, which a symmetric matrix may be, it lies as LAPACK wants it. Else XLA lays it out anew,
                # and where this is a branch of a scheduler's switch, outside the condition: on every solve.
                turned = matrix if jnp.iscomplexobj(matrix) else matrix.T
                x = jax.lax.cond(broke, lambda: jnp.linalg.solve(turned, b), lambda: x)
        else:
            assert state.check.operator is not None
            base, shift = split_shift(state.check.operator)
            assert isinstance(base, AbstractCurvatureOperator)
            x, size = _solve_shifted(base, shift, b, state.check.care.verify)
        x = as_held(x, exponent)
        failed = jnp.any(jnp.isnan(x)) & jnp.all(jnp.isfinite(b))
        result, stats = state.check(x, b, lx.RESULTS.where(failed, lx.RESULTS.singular, lx.RESULTS.successful), size)
        value, result = at_scale(x, exponent, result)
        return state.like.unflatten(value), result, stats

    def transpose(self, state: CholeskyState, options: dict[str, Any]) -> tuple[CholeskyState, dict[str, Any]]:
        # Of a Hermitian matrix that is the conjugate.
        return self.conj(state, options)

    def conj(self, state: CholeskyState, options: dict[str, Any]) -> tuple[CholeskyState, dict[str, Any]]:
        if state.factor is None or not jnp.iscomplexobj(state.factor):
            return state, options
        return CholeskyState(state.factor.conj(), state.check.conj(), state.like, state.negated), options

    def assume_full_rank(self) -> bool:
        return True


def cholesky_workload(n: Number, itemsize: int) -> ClassicalWorkload:
    """`1/3 n^3` operations for the factor, `2 n^2` for the substitutions (Golub and Van Loan, 4.2)."""
    return dense_workload("cholesky", n, 1 / 3 * n**3, itemsize)


def _is_block(operator: lx.AbstractLinearOperator) -> bool:
    bare = without_tags(operator)
    return isinstance(bare, Shifted) and isinstance(without_tags(bare.base), AbstractCurvatureOperator)


def _factor(matrix: Inexact[Array, "n n"]) -> Inexact[Array, "n n"]:
    # Only the upper triangle is read. Row by row it lies as LAPACK wants a lower one column by column: nothing is
    # moved, where `scipy.linalg.cho_factor` of jax would transpose the matrix and the factor.
    return jax.lax.linalg.cholesky(matrix.T.conj(), symmetrize_input=False)


def _solve_shifted(
    base: AbstractCurvatureOperator, shift: Float[Array, ""], vector: Float[Array, " n"], judged: bool
) -> tuple[Float[Array, " n"], Float[Array, ""] | None]:
    """Return the solution, and, to judge it, the 1-norm of the block with its shift."""
    matrix = base.upper_triangle()
    rows = jnp.arange(vector.size)
    matrix = matrix.at[rows, rows].add(shift)
    return cho_solve((_factor(matrix), True), vector), _one_norm(matrix) if judged else None


def _one_norm(triangle: Float[Array, "n n"]) -> Float[Array, ""]:
    """Return the 1-norm of the symmetric matrix with the given upper triangle."""
    upper = jnp.abs(jnp.triu(triangle))
    return jnp.max(jnp.sum(upper, axis=0) + jnp.sum(upper, axis=1) - jnp.diagonal(upper))
