"""Slow, independent computations of the same numbers."""

import jax
from jaxtyping import Array, Float, PyTree

from .._curvature import Batch, Block, Objective


def dense_hessian_block(objective: Objective, params: PyTree, batch: Batch, block: Block) -> Float[Array, "n n"]:
    """Return the block by `jax.hessian`, all rows at once, which every exact curvature must equal."""
    return jax.hessian(lambda w: objective(block.put(params, w), batch))(block.take(params))
