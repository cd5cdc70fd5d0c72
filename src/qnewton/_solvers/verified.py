"""Claim of a solve, and its check by the true residual.

The result of every solver is `RESULTS.successful` only where the true residual `b - A x` of the system that was handed
over is within what the solver claims: in twice the width for a matrix at hand, else by one product, to which an exact
solver adds what that may round, `eps / 2 ||A||_1 ||x||_2` (`_solvers.residual`). An approximate solver claims its
`rtol` or `tolerance`. One that is exact up to rounding claims two things:

- It is backward stable: `||b - A x||_1 <= 30 eps (||A||_1 ||x||_1 + ||b||_1)`, the ratio of LAPACK's test programs
  (`dget02`) and their threshold. LU and Cholesky of 6 to 800 rows stayed below 0.4 and eigendecompositions below 2, at
  every condition number. A matrix that is not what its tag says, or whose unread half differs, misses it: the residual
  is then as large as the difference.
- It explains the right-hand side: `||b - A x||_2 <= eps^(1/3) ||b||_2`, 5e-3 in single and 6e-6 in double precision. A
  stable factorisation of a numerically singular matrix keeps the first bound all the same: its `x` is so large that
  rounding it may leave all of `b` unexplained. No solution in this float type has a relative residual much below
  `eps ||A|| ||x|| / ||b||`, at worst `eps kappa`, so that nothing better is refused up to condition numbers of
  `eps^(-2/3)`, 4e4 and 3e10, whatever the right-hand side, and up to about ten times that for a random one. Beyond,
  less than a third of the digits may mean anything, and the result is `RESULTS.singular`.

An explicit inverse cannot claim the first: its residual may be as large as `30 eps (||A||_1 ||A^-1||_1 + 1) ||b||_1`
(Higham 2002, 14.1; below a fiftieth of that in 1 to 800 rows), where `||A^-1||_1 ||b||_1 >= ||x||_1`. It claims that,
and the second as it is.

Subnormal entries of a matrix count as zero in arithmetic, so what they might contribute is added to the residual: a
system whose largest entry is below about `n tiny / (30 eps)`, n times 3e-33 and 3e-294, is `RESULTS.singular`: scale it
up. A right-hand side of any scale is solved at its own.

A caller that judges the residual himself, as training does by its own tolerance, passes the linear-solve option
`verify=False`, which spares the product: then the result tells only what the solver met on its way. One whose
right-hand side has its largest entry near 1 already, as training's has for all the solves that it may compile, passes
`scale=False`, and it is taken as it is.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float, Inexact, Int

from .._core.powers_of_two import lost_below, norm, normalised, restored, shifted
from .base import Options, Stats
from .residual import Residual

BACKWARD_RATIO = 30


class Care(NamedTuple):
    """Tasks that a solver's caller leaves to it.

    Attributes:
        verify: whether it compares its true residual with what it claims.
        scale: whether it takes the right-hand side to a largest entry near 1 first.
    """

    verify: bool = True
    scale: bool = True

    @classmethod
    def of(cls, options: Options) -> "Care":
        """Return the tasks from the linear-solve options of these names."""
        return cls(*(bool(options.get(name, True)) for name in cls._fields))

    def near_one(self, vector: Inexact[Array, " n"]) -> tuple[Inexact[Array, " n"], Int[Array, ""] | None]:
        """Return a right-hand side with its largest entry near 1, and its unit's exponent; None if not rescaled."""
        return normalised(vector) if self.scale else (vector, None)


class Check(eqx.Module):
    """The original system, for the product that judges a solution.

    Attributes:
        matrix: of the system `[n, n]`; None where it was not formed or need not be kept.
        operator: of a system that was not formed, else None.
        care: what is left to the solver.
    """

    matrix: Inexact[Array, "n n"] | None = None
    operator: lx.AbstractLinearOperator | None = None
    care: Care = eqx.field(static=True, default=Care())

    @classmethod
    def of(cls, matrix: Inexact[Array, "n n"], options: Options) -> "Check":
        """Return the check for a formed matrix, which is dropped if the caller verifies."""
        care = Care.of(options)
        return cls(matrix if care.verify else None, care=care)

    @property
    def residual(self) -> Residual:
        """`b - A x`."""
        operator = self.operator if self.matrix is None else lx.MatrixLinearOperator(self.matrix)
        assert operator is not None
        return Residual.of(operator)

    def __call__(
        self,
        x: Inexact[Array, " n"],
        b: Inexact[Array, " n"],
        result: lx.RESULTS = lx.RESULTS.successful,
        size: Float[Array, ""] | None = None,
        residual: Inexact[Array, " n"] | None = None,
        length: Float[Array, ""] | None = None,
        *,
        off: float = 0.0,
    ) -> tuple[lx.RESULTS, Stats]:
        """Judge a solution that claims to be exact up to rounding.

        Args:
            x: the solution.
            b: the right-hand side, normalised.
            result: what the solver found itself; a failure stays one.
            size: 1-norm of the system, or a bound on it; None: the formed matrix's own.
            residual: what is judged; None: `b - A x`.
            length: bound on the 1-norm of `x` that rounding is relative to; None: its own.
            off: by how much a residual that is given may be, see `judge`.

        Returns:
            The result, and `residual`, `||b - A x||_2 / ||b||_2`; none where nothing is verified.
        """
        if not self.care.verify:
            return result, {}
        residual = self.residual.left(x, b) if residual is None else residual
        if size is None:
            assert self.matrix is not None
            size = one_norm(self.matrix)
        good, relative = judge(residual, x, b, size, length, off=off or self.residual.off)
        return lx.RESULTS.where((result == lx.RESULTS.successful) & ~good, lx.RESULTS.singular, result), {
            "residual": relative
        }

    def transpose(self) -> "Check":
        """Return the check of the transposed system."""
        return self._turned(lambda matrix: matrix.T, lambda operator: operator.transpose())

    def conj(self) -> "Check":
        """Return the check of the conjugate system."""
        return self._turned(jnp.conj, lx.conj)

    def _turned(
        self,
        of_matrix: Callable[[Array], Array],
        of_operator: Callable[[lx.AbstractLinearOperator], lx.AbstractLinearOperator],
    ) -> "Check":
        matrix = None if self.matrix is None else of_matrix(self.matrix)
        return Check(matrix, None if self.operator is None else of_operator(self.operator), self.care)


def one_norm(matrix: Inexact[Array, "n n"]) -> Float[Array, ""]:
    """Largest sum of magnitudes in a column."""
    return jnp.max(jnp.sum(jnp.abs(matrix), axis=0))


def judge(
    residual: Inexact[Array, " n"],
    x: Inexact[Array, " n"],
    b: Inexact[Array, " n"],
    size: Float[Array, ""],
    length: Float[Array, ""] | None = None,
    *,
    off: float = 0.0,
) -> tuple[Bool[Array, ""], Float[Array, ""]]:
    """Return whether rounding explains a residual (see the module), and the relative residual.

    Args:
        residual: `b - A x`.
        x: the solution.
        b: the right-hand side, zero or with its largest entry near 1 (`_core.powers_of_two.normalised`).
        size: `||A||_1`.
        length: what stands for `||x||_1`; None: that itself.
        off: by how many `eps / 2 ||A||_1 ||x||_2` the residual may be off.
    """
    eps, lost = jnp.finfo(x.dtype).eps, lost_below(x)
    # NaN fails both comparisons, and so does an overflow of the residual.
    left, given = _length(residual), _length(b)
    rounding = BACKWARD_RATIO * eps * (size * (_sum(x) if length is None else length) + _sum(b))
    unseen = lost + off * eps / 2 * size * norm(x) if off else lost
    good = (_sum(residual) + lost <= rounding) & (left + unseen <= eps ** (1 / 3) * given)
    # Of an infinite right-hand side any residual would be a small part.
    return good & jnp.isfinite(left) & jnp.isfinite(given), left / jnp.where(given > 0, given, 1)


def as_held(x: Inexact[Array, " n"], exponent: Int[Array, ""] | None) -> Inexact[Array, " n"]:
    """Return a solution without what the float type cannot hold of it at the scale of the original right-hand side.

    An entry that is lost there, as small as it may be, counts in the residual as much as the matrix makes of it.

    Args:
        x: the solution for the right-hand side near 1.
        exponent: of its unit; None where there is none.
    """
    return x if exponent is None else shifted(shifted(x, exponent), -exponent)


def at_scale(
    x: Inexact[Array, " n"], exponent: Int[Array, ""] | None, result: lx.RESULTS
) -> tuple[Inexact[Array, " n"], lx.RESULTS]:
    """Return the solution for the original right-hand side; one that the float type cannot hold is none.

    Args:
        x: the solution for the one near 1.
        exponent: of its unit; None where there is none.
        result: how it went.
    """
    if exponent is None:
        return x, result
    value, held = restored(x, exponent)
    return value, lx.RESULTS.where((result == lx.RESULTS.successful) & ~held, lx.RESULTS.singular, result)


def _length(vector: Inexact[Array, " n"]) -> Float[Array, ""]:
    return jnp.sqrt(jnp.vdot(vector, vector).real)


def _sum(vector: Inexact[Array, " n"]) -> Float[Array, ""]:
    return jnp.sum(jnp.abs(vector))
