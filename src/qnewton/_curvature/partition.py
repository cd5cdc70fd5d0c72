"""Partition of the parameters into Newton systems."""

import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core.kinds import check_kind
from .._core.trees import check_params, leaf_names, ravel, unravel


class Block(eqx.Module):
    """The parameters of one Newton system: some leaves of the pytree, raveled one after the other.

    Attributes:
        name: path in the pytree, e.g. `layers.0.weight`.
        leaves: positions in the flattened pytree.
        n: number of scalars.
    """

    name: str = eqx.field(static=True)
    leaves: tuple[int, ...] = eqx.field(static=True)
    n: int = eqx.field(static=True)

    def take(self, tree: PyTree) -> Float[Array, " n"]:
        """This block of a pytree as a vector `[n]`."""
        return ravel(self.parts(tree))

    def parts(self, tree: PyTree) -> list[Array]:
        """The leaves of this block."""
        leaves = jax.tree.leaves(tree)
        return [leaves[i] for i in self.leaves]

    def put(self, tree: PyTree, vector: Float[Array, " n"]) -> PyTree:
        """The pytree with this block replaced by `vector` `[n]`."""
        return self.put_parts(tree, unravel(vector, self.parts(tree)))

    def put_parts(self, tree: PyTree, parts: Sequence[Array]) -> PyTree:
        """The pytree with the leaves of this block replaced."""
        leaves, structure = jax.tree.flatten(tree)
        for i, leaf in zip(self.leaves, parts, strict=True):
            leaves[i] = leaf
        return jax.tree.unflatten(structure, leaves)


Partition = Callable[[PyTree], tuple[Block, ...]]
"""Maps parameters to blocks; every leaf must belong to exactly one of them."""


def whole(params: PyTree) -> tuple[Block, ...]:
    """One system for the whole network."""
    return _grouped(params, lambda name: "params")


def per_layer(params: PyTree) -> tuple[Block, ...]:
    """One system per layer: the leaves that differ only in the last part of their path (weight and bias).

    A path of one part names no layer, so a leaf at the top of the pytree stands alone.
    """
    return _grouped(params, lambda name: name.rpartition(".")[0] or name)


def per_tensor(params: PyTree) -> tuple[Block, ...]:
    """One system per parameter tensor, as Q-Newton has it (arXiv 2405.00252)."""
    check_params(params)
    # Not grouped by name: two leaves can share one, as `{"a": {"b": ...}, "a.b": ...}` shows.
    named = zip(leaf_names(params), jax.tree.leaves(params), strict=True)
    return tuple(Block(name, (position,), math.prod(leaf.shape)) for position, (name, leaf) in enumerate(named))


def check_block(block: object, params: PyTree) -> None:
    """Refuse what is not a block of these parameters.

    Raises:
        TypeError: for what is no block.
        ValueError: for a block of other parameters.
    """
    check_kind(block, Block, "form: block", "a block of the parameters, e.g. qnewton.whole(params)[0]")
    assert isinstance(block, Block)
    sizes = [math.prod(jnp.shape(leaf)) for leaf in jax.tree.leaves(params)]
    own = [sizes[i] for i in block.leaves if 0 <= i < len(sizes)]
    if len(own) != len(block.leaves) or sum(own) != block.n:
        raise ValueError(
            f"form: the block {block.name} holds {block.n} numbers of the leaves {list(block.leaves)}, and the "
            f"parameters have {len(sizes)} leaves, of {', '.join(map(str, sizes[:5]))}"
            f"{' and more' if len(sizes) > 5 else ''} numbers: make the blocks of these parameters, e.g. "
            "qnewton.per_layer(params)"
        )


def selected(blocks: tuple[Block, ...], where: Callable[[Block], bool] | None) -> tuple[Block, ...]:
    """Return the blocks that satisfy a condition; all of them without one.

    Raises:
        ValueError: if it holds for none.
    """
    kept = tuple(block for block in blocks if where is None or where(block))
    if not kept:
        sizes = ", ".join(f"{block.name} ({block.n})" for block in blocks[:5])
        more = f" and {len(blocks) - 5} more" if len(blocks) > 5 else ""
        raise ValueError(f"where holds for none of the blocks {sizes}{more}: it must hold for one at least")
    return kept


def _grouped(params: PyTree, key: Callable[[str], str]) -> tuple[Block, ...]:
    check_params(params)
    sizes = [math.prod(leaf.shape) for leaf in jax.tree.leaves(params)]
    groups: dict[str, list[int]] = {}
    for position, name in enumerate(leaf_names(params)):
        groups.setdefault(key(name), []).append(position)
    return tuple(
        Block(name=name, leaves=tuple(members), n=sum(sizes[i] for i in members)) for name, members in groups.items()
    )
