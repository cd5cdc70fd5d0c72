"""Conditioners that make an indefinite system definite."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from .._core.kinds import check_scalars, plain
from .._core.records import System
from .._core.ritz import ritz_values
from .base import AbstractConditioner
from .damping import raised
from .guarantee import Conditioning, Definiteness, Guarantee

_DOUBLINGS = 60


class ShiftLowest(AbstractConditioner):
    """Shift `H + (1 + margin) |lambda_min| I` where the smallest eigenvalue is negative; no change elsewhere.

    One policy for indefinite Hessians; the others are `SaddleFree()` among the solvers (absolute eigenvalues) and
    `GaussNewton()` in the Hessian's place. The eigenvalue is the smallest Ritz value of a few Lanczos steps, which lies
    above the truth. So the shift of a formed matrix is confirmed by a Cholesky factorisation and doubled until that
    succeeds (Nocedal and Wright 2006, algorithm 3.3); of a block that was not formed it is not, and CG says if it meets
    negative curvature all the same. Put it before `Damp`.

    Attributes:
        margin: relative, at least 0.
        steps: products for the Ritz value.
        seed: of the start vector.
    """

    margin: float = eqx.field(static=True, converter=plain, default=0.1)
    steps: int = eqx.field(static=True, converter=plain, default=32)
    seed: int = eqx.field(static=True, converter=plain, default=0)

    def __check_init__(self):
        check_scalars(self)
        if not (0 <= self.margin < float("inf") and self.steps >= 1):
            raise ValueError(f"margin is {self.margin} and steps {self.steps}: they must be at least 0 and 1")

    @property
    def guarantee(self) -> Guarantee:
        return Guarantee(
            "the multiple of the identity added: (1 + margin) |lambda_min| where that is negative",
            Definiteness.MADE,
            Conditioning.UNKNOWN,
            "of a formed matrix definite beyond rounding, by a factorisation; of one that was not, likely so",
        )

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Shift the diagonal; `scale` is not used.

        Raises:
            ValueError: if the system is not symmetric.
        """
        if not system.symmetric:
            raise ValueError("ShiftLowest needs a symmetric matrix, and this system was pruned row by row: use Prune")
        like = system.operator.in_structure()
        start = jax.random.normal(jax.random.key(self.seed), like.shape, like.dtype)
        lowest = ritz_values(system.operator.mv, start, self.steps)[0]
        shift = (1 + self.margin) * jnp.maximum(0, -lowest)
        if isinstance(system.operator, lx.MatrixLinearOperator):
            shift = _confirmed(system.operator.matrix, shift)
        # A pruned block is mended; an indefinite Hessian becomes another model, whose steps are judged by it.
        return raised(system, shift, repair=system.exact is not None)


def _confirmed(matrix: Float[Array, "n n"], shift: Float[Array, ""]) -> Float[Array, ""]:
    """The shift, doubled until the factorisation succeeds."""
    eye = jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    least = jnp.finfo(matrix.dtype).eps * jnp.max(jnp.abs(matrix)) * matrix.shape[0]

    def indefinite(carry: tuple[Array, Array]) -> Array:
        count, amount = carry
        factor = jax.lax.linalg.cholesky(matrix + amount * eye, symmetrize_input=False)
        # A matrix that is not finite cannot be mended; the solve will say so.
        return (count < _DOUBLINGS) & ~jnp.all(jnp.isfinite(factor)) & jnp.isfinite(least)

    def double(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        count, amount = carry
        return count + 1, jnp.maximum(2 * amount, least)

    return jax.lax.while_loop(indefinite, double, (jnp.int32(0), shift))[1]
