"""The exact Hessian, by forward-over-reverse differentiation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..core.records import System
from .base import AbstractCurvature
from .objective import Batch, Objective
from .partition import Block


class Hessian(AbstractCurvature):
    """Exact Hessian block of the objective, indefinite in general.

    The gradient is linearised once and the Hessian-vector product is mapped over the unit vectors (Pearlmutter 1994),
    `chunk` of them at a time, so that the memory for tangents stays bounded.

    Attributes:
        chunk: unit vectors pushed through the network together.
    """

    chunk: int = eqx.field(static=True, default=64)

    @property
    def semidefinite(self) -> bool:
        return False

    def form(self, objective: Objective, params: PyTree, batch: Batch, block: Block) -> System:
        """The block `d^2 loss / d w^2` for the parameters `w` of the block, all others held fixed."""

        def gradient(vector: Float[Array, " n"]) -> Float[Array, " n"]:
            return jax.grad(lambda w: objective(block.put(params, w), batch))(vector)

        vector = block.take(params)
        _, product = jax.linearize(gradient, vector)
        matrix = jax.lax.map(product, jnp.eye(block.n, dtype=vector.dtype), batch_size=min(self.chunk, block.n))
        return self.system(matrix)
