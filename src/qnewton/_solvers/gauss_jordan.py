"""The explicit inverse of definite matrices by Gauss-Jordan sweeps, many of them at once."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Inexact, Int, PyTree

from .._core.arrays import Number
from .._core.records import ClassicalWorkload, Encoding, SystemEstimate
from .base import AbstractSolver
from .capabilities import Capabilities
from .direct import dense_workload
from .flat import Structure, check_definite, check_dense
from .inverse import InverseState, conjugate, multiplied
from .verified import Care, Check


class GaussJordan(AbstractSolver):
    """The inverse of positive definite matrices by sweeps, real or Hermitian; for many small ones set up at once.

    A sweep is the same few operations whatever the numbers, so `init_many` makes it for all matrices at once, where
    factorisations go one by one. One matrix alone is inverted faster by `Inverse`. There is no pivoting, which definite
    matrices do not need (Higham 2002, 14.4).

    A matrix that is not positive definite gives NaN and `RESULTS.singular`; so does, with a value, one that is
    numerically singular. It claims of its residual what `Inverse` claims. `stats["residual"]` is the relative residual.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(needs_symmetric=True, needs_definite=True)
    name: ClassVar[str] = "GaussJordan"
    applied_as: ClassVar[str | None] = "product"
    many: ClassVar[bool] = True

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> ClassicalWorkload:
        """`2 n^3` operations for the inverse, see `sweeps_workload`, and `2 n^2` for the product."""
        return sweeps_workload(estimate.n, estimate.max_entry.dtype.itemsize)

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> InverseState:
        """Form the matrix and invert it.

        Raises:
            ValueError: if the operator is not square, not tagged as positive semidefinite, or of a float type without
                factorisations.
        """
        check_dense(operator, self.name)
        check_definite(operator, self.name)
        matrix = operator.as_matrix()
        inverse = swept(matrix[None])[0]
        return InverseState(Check.of(matrix, options), inverse, Structure.of(operator.in_structure()))

    def init_many(self, matrices: Inexact[Array, "count n n"], options: dict[str, Any]) -> InverseState:
        like = Structure.of(jax.ShapeDtypeStruct(matrices.shape[1:2], matrices.dtype))
        care = Care.of(options)
        return InverseState(Check(matrices if care.verify else None, care=care), swept(matrices), like)

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


def swept(matrices: Inexact[Array, "count n n"]) -> Inexact[Array, "count n n"]:
    """Return the inverses of positive definite matrices, in one program; NaN if a pivot is not positive.

    Gauss-Jordan elimination in place, without pivoting (Higham 2002, 14.4): after sweep `k` the first `k` variables
    have changed sides.

    Args:
        matrices: real or Hermitian, both triangles filled.
    """
    size = matrices.shape[1]
    if size == 1:
        return jnp.where(matrices.real > 0, 1 / matrices, jnp.nan)

    def sweep(k: Int[Array, ""], carry: tuple[Array, Array]) -> tuple[Array, Array]:
        m, definite = carry
        pivot = m[k, k]
        row, column = m[k] / pivot[None], m[:, k]
        m = m - column[:, None] * row[None]
        m = m.at[k].set(row).at[:, k].set(-column / pivot[None]).at[k, k].set(1 / pivot)
        return m, definite & (pivot.real > 0)

    # Matrices last, so that every operation runs along them.
    first: tuple[Array, Bool[Array, " count"]] = jnp.moveaxis(matrices, 0, -1), jnp.ones(matrices.shape[0], bool)
    found, definite = jax.lax.fori_loop(0, size, sweep, first)
    return jnp.where(definite[:, None, None], jnp.moveaxis(found, -1, 0), jnp.nan)


def sweeps_workload(n: Number, itemsize: int) -> ClassicalWorkload:
    """`2 n^3` operations for the inverse (Higham 2002, 14.4) and `2 n^2` for one product with it.

    A sweep updates every entry of the matrix by an outer product, so that `n` of them read and write it `n` times.
    """
    return dense_workload("gauss-jordan", n, 2.0 * n**3, itemsize, arrays=2.0 * n)
