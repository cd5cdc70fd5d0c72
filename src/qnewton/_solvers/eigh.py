"""Solvers by eigendecomposition: the pseudo-inverse, and the saddle-free direction."""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float, Inexact, PyTree

from .._core.kinds import check_scalars, plain
from .._core.powers_of_two import exponent_of
from .._core.records import ClassicalWorkload, Encoding, SystemEstimate
from .._core.settings import own_promotion
from .base import AbstractSolver
from .capabilities import Capabilities
from .flat import Structure, check_dense, check_symmetric, flatten
from .verified import Check, as_held, at_scale


class EighState(eqx.Module):
    """Data for judging a solution, the eigenvalues, and the eigenvectors as columns."""

    check: Check
    values: Float[Array, " n"]
    vectors: Inexact[Array, "n n"]
    like: Structure = eqx.field(static=True)


class AbstractEigh(AbstractSolver):
    """Eigendecomposition without eigenvalues `|lambda| <= cutoff max |lambda|`; subclasses apply the others.

    Attributes:
        cutoff: relative, at least 0 and below 1; None: rows times the rounding unit.
        least_squares: whether a right-hand side may have a part along the eigenvectors that were dropped.
    """

    cutoff: eqx.AbstractVar[float | None]
    least_squares: eqx.AbstractVar[bool]
    capabilities: ClassVar[Capabilities] = Capabilities(needs_symmetric=True)
    # By how much rounding in `preimage` may change the residual, see `verified.judge`.
    off: ClassVar[float] = 0.0

    def __check_init__(self):
        check_scalars(self)
        if self.cutoff is not None and not 0 <= self.cutoff < 1:
            raise ValueError(f"cutoff is {self.cutoff}: it is relative to max |lambda| and must lie in [0, 1)")

    @abc.abstractmethod
    def divisor(self, values: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the divisor of a component, from its eigenvalue."""

    @abc.abstractmethod
    def preimage(self, state: EighState, x: Inexact[Array, " n"]) -> Inexact[Array, " n"]:
        """Return the vector that the matrix maps to the right-hand side if `x` is the claimed solution."""

    @property
    def name(self) -> str:
        return type(self).__name__

    @own_promotion()
    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> EighState:
        """Form the matrix and decompose it.

        Raises:
            ValueError: if the operator is not square, not known to be symmetric (Hermitian, where it is complex), or of
                a float type without factorisations.
        """
        check_dense(operator, self.name)
        check_symmetric(operator, self.name)
        matrix = operator.as_matrix()
        values, vectors = jnp.linalg.eigh(matrix)
        return EighState(Check.of(matrix, options), values, vectors, Structure.of(operator.in_structure()))

    @own_promotion()
    def compute(
        self, state: EighState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        """Solve by three steps in the eigenbasis.

        Returns:
            The value; `RESULTS.singular` where it does not solve the system; and `rank`, how many eigenvalues were
            kept, and `residual`, the relative residual, of the part that is asked for.
        """
        (b, exponent), values = state.check.care.near_one(flatten(vector)), state.values
        cutoff = values.size * jnp.finfo(values.dtype).eps if self.cutoff is None else self.cutoff
        sizes = jnp.abs(values)
        # A matrix that is not finite has NaN eigenvalues, for which no comparison holds: they are kept, and show.
        dropped = sizes <= cutoff * jnp.max(sizes)
        divisor = jnp.where(dropped, 1, self.divisor(values))
        x = as_held(state.vectors @ jnp.where(dropped, 0, _components(state, b) / divisor), exponent)
        result, stats = lx.RESULTS.successful, {"rank": jnp.sum(~dropped)}
        if state.check.care.verify:
            residual = state.check.residual.left(self.preimage(state, x), b)
            if self.least_squares:
                residual = state.vectors @ jnp.where(dropped, 0, _components(state, residual))
                result = lx.RESULTS.where(_vanishes(state.check.matrix), lx.RESULTS.singular, result)
            result, verified = state.check(x, b, result, residual=residual, off=self.off)
            stats |= verified
        value, result = at_scale(x, exponent, result)
        return state.like.unflatten(value), result, stats

    def transpose(self, state: EighState, options: dict[str, Any]) -> tuple[EighState, dict[str, Any]]:
        # Of a Hermitian matrix that is the conjugate.
        return self.conj(state, options)

    def conj(self, state: EighState, options: dict[str, Any]) -> tuple[EighState, dict[str, Any]]:
        if not jnp.iscomplexobj(state.vectors):
            return state, options
        turned = state.check.conj(), state.vectors.conj()
        return eqx.tree_at(lambda s: (s.check, s.vectors), state, turned), options

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
    """The solution of least norm, by the pseudo-inverse of a symmetric or Hermitian matrix.

    A right-hand side with a part along the dropped eigenvectors has no solution. The value then omits that part, and
    the result is `RESULTS.singular` (see `_solvers.verified`), unless `least_squares` requests such a value.

    Attributes:
        cutoff: eigenvalues with `|lambda| <= cutoff max |lambda|` are dropped; None: rows times the rounding unit.
        least_squares: ask for the least-squares solution of a system that has none, to be judged by the rest of the
            right-hand side alone. Derivatives of a solve with a singular matrix need it.
    """

    cutoff: float | None = eqx.field(static=True, converter=plain, default=None)
    least_squares: bool = eqx.field(static=True, converter=plain, default=False)

    def divisor(self, values: Float[Array, " n"]) -> Float[Array, " n"]:
        return values

    def preimage(self, state: EighState, x: Inexact[Array, " n"]) -> Inexact[Array, " n"]:
        return x


class SaddleFree(AbstractEigh):
    """Saddle-free Newton direction `|A|^-1 b`, always a descent direction (Dauphin et al. 2014, algorithm 1).

    It claims to solve `|A| x = b`, and its status is about that; `A x = b` it solves only where `A` is semidefinite.
    Derivatives by the matrix are those of `A^-1 b`: do not differentiate through it.

    Attributes:
        cutoff: eigenvalues with `|lambda| <= cutoff max |lambda|` are dropped; None: rows times the rounding unit.
        least_squares: whether the direction may leave out what the right-hand side has along the dropped eigenvectors;
            else that is `RESULTS.singular`.
    """

    cutoff: float | None = eqx.field(static=True, converter=plain, default=None)
    least_squares: bool = eqx.field(static=True, converter=plain, default=False)
    # 2.4 at most was found, for 5 to 60 rows.
    off: ClassVar[float] = 3.0

    def divisor(self, values: Float[Array, " n"]) -> Float[Array, " n"]:
        return jnp.abs(values)

    def preimage(self, state: EighState, x: Inexact[Array, " n"]) -> Inexact[Array, " n"]:
        # `|A| = A sign(A)`: one product with the matrix itself.
        return state.vectors @ (jnp.sign(state.values) * _components(state, x))


def _vanishes(matrix: Inexact[Array, "n n"] | None) -> Bool[Array, ""]:
    """Return whether arithmetic, to which subnormal numbers are zero, may take a matrix that is not zero for one.

    Everything would be dropped then, and nothing be missed in the rest.
    """
    assert matrix is not None
    info = jnp.finfo(matrix.dtype)
    return exponent_of(matrix) < info.minexp + info.nmant


def _components(state: EighState, vector: Inexact[Array, " n"]) -> Inexact[Array, " n"]:
    return state.vectors.T.conj() @ vector
