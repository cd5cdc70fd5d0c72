"""Conversion between blocks and parameters: every leaf in one block, and the blocks' vectors reassembled."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._curvature import Block


def joined(params: PyTree, blocks: Sequence[Block], vectors: Sequence[Float[Array, " n"]]) -> PyTree:
    """The blocks' vectors in the structure of the parameters."""
    tree = params
    for block, vector in zip(blocks, vectors, strict=True):
        tree = block.put(tree, vector)
    return tree


def plain(gradient: Array, param: Array, weight_decay: float) -> Array:
    """Return the direction of a tensor without a system; zero if its gradient is not finite."""
    return jnp.where(jnp.all(jnp.isfinite(gradient)), gradient + weight_decay * param, 0)


def check_partition(blocks: Sequence[Block], params: PyTree) -> None:
    """Refuse blocks that miss or repeat a leaf.

    Raises:
        ValueError: with the leaves.
    """
    covered = sorted(i for block in blocks for i in block.leaves)
    expected = list(range(len(jax.tree.leaves(params))))
    if covered != expected:
        missing = sorted(set(expected) - set(covered))
        repeated = sorted({i for i in covered if covered.count(i) > 1})
        raise ValueError(
            f"the partition misses the parameter leaves {missing} and repeats {repeated} (positions in "
            "jax.tree.leaves(params)): every leaf must belong to exactly one block"
        )
