"""The empirical Fisher matrix."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.kinds import check_scalars, plain
from .base import AbstractCurvature
from .gram_operator import GramOperator
from .layer_operator import LayerOperator
from .partition import Block
from .point import Point


class EmpiricalFisher(AbstractCurvature):
    """Empirical Fisher matrix, the uncentred second moment `sum_n w_n g_n g_n^T / sum_n w_n + floor I`.

    It is not the Fisher matrix, whose labels are the model's own, and not an approximation of the Hessian away from a
    good fit (Kunstner, Balles and Hennig 2019, section 3). As gradients vanish it vanishes quadratically, so that
    damping in proportion to its entries lets steps grow without bound. An absolute floor keeps them finite.

    `g_n` is the gradient of example n's mean loss, `w_n` its weight; a sequence is one example.

    Attributes:
        damping_floor: least damping, in units of the squared gradient; 0 is the published setting of Q-Newton's
            language models, at your own risk.
        chunk_bytes: memory for the gradients of the examples that are handled together.
    """

    damping_floor: float = eqx.field(static=True, converter=plain, default=1e-3)
    chunk_bytes: int = eqx.field(static=True, converter=plain, default=2**26)

    def __check_init__(self):
        check_scalars(self)
        if not 0 <= self.damping_floor < float("inf"):
            raise ValueError(
                f"damping_floor is {self.damping_floor}: it must be finite and at least 0. Without a floor, steps grow "
                "like 1/|g| as gradients vanish"
            )

    @property
    def semidefinite(self) -> bool:
        return True

    def operator(self, point: Point, block: Block) -> GramOperator | LayerOperator:
        return GramOperator.of(point.scored(), block, None, self.chunk_bytes)

    @property
    def shift(self) -> float:
        return self.damping_floor

    def floor(self, point: Point, block: Block) -> Float[Array, ""]:
        return jnp.zeros((), point.like(block).dtype)
