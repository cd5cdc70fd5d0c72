"""Batches of examples: the axis that counts them, the parts they share, and the model's outputs as rows of numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core.pieces import Pieces

Batch = tuple[PyTree[Array], PyTree[Array]]
"""Inputs and targets, the leading axis of whose arrays counts the examples."""


class Shared(eqx.Module):
    """Part of a batch's inputs or targets that all examples share, such as running means or a table of features.

    Without it every array's leading axis counts the examples; scalars, and single keys of `jax.random.key`, are shared
    anyway.

    Attributes:
        value: any pytree of arrays; the model finds it as `inputs.value`, or wherever it stands in the inputs.
    """

    value: PyTree


def leads(tree: PyTree) -> list[bool]:
    """Return for each leaf whether its leading axis counts the examples."""
    flat: list[bool] = []
    for node in jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, Shared)):
        if isinstance(node, Shared):
            flat += [False] * len(jax.tree.leaves(node))
        else:
            flat.append(jnp.ndim(node) > 0)
    return flat


def own_examples(pieces: Pieces, tree: PyTree) -> PyTree:
    """One replica's examples of a batch's inputs or targets, and what all share."""
    leaves, structure = jax.tree.flatten(tree)
    parts = [pieces.own(leaf) if counts else leaf for leaf, counts in zip(leaves, leads(tree), strict=True)]
    return jax.tree.unflatten(structure, pieces.varying(parts))


def example_count(inputs: PyTree) -> int:
    """Return the number of examples in a batch, from its inputs.

    Raises:
        ValueError: if no array has an axis for them.
    """
    for leaf, counts in zip(jax.tree.leaves(inputs), leads(inputs), strict=True):
        if counts:
            return jnp.shape(leaf)[0]
    raise ValueError(
        "the inputs hold no array with an axis that counts the examples: batch = (inputs, targets) needs at least one, "
        "with the examples along its first axis"
    )


def mapped(tree: PyTree, count: int) -> PyTree:
    """Return the tree with a leading axis of examples on every leaf; shared parts are repeated, at no memory cost."""
    leaves, structure = jax.tree.flatten(tree)
    repeated = [
        leaf if counts else jnp.broadcast_to(leaf, (count, *jnp.shape(leaf)))
        for leaf, counts in zip(leaves, leads(tree), strict=True)
    ]
    return jax.tree.unflatten(structure, repeated)


def batch_of(leaves_lead: Sequence[bool], tree: PyTree) -> PyTree:
    """Return the batch that the user's functions see, from leaves that all have a leading axis (see `mapped`)."""
    leaves, structure = jax.tree.flatten(tree)
    return jax.tree.unflatten(
        structure, [leaf if counts else leaf[0] for leaf, counts in zip(leaves, leaves_lead, strict=True)]
    )


@dataclass(frozen=True)
class OutputRows:
    """Conversion of a model's outputs, any pytree with a leading axis of examples, to one row of numbers per example.

    Attributes:
        structure: of the pytree.
        shapes, dtypes: of one example's part of each leaf.
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[jnp.dtype, ...]

    @classmethod
    def of(cls, outputs: PyTree) -> "OutputRows":
        """Return the conversion for a batch's outputs, arrays or shapes."""
        leaves, structure = jax.tree.flatten(outputs)
        return cls(structure, tuple(leaf.shape[1:] for leaf in leaves), tuple(leaf.dtype for leaf in leaves))

    def like(self, count: int) -> PyTree:
        """Return shapes and dtypes of the outputs of a batch of `count` examples."""
        leaves = [
            jax.ShapeDtypeStruct((count, *shape), dtype) for shape, dtype in zip(self.shapes, self.dtypes, strict=True)
        ]
        return jax.tree.unflatten(self.structure, leaves)

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return sum(math.prod(shape) * _parts(dtype) for shape, dtype in zip(self.shapes, self.dtypes, strict=True))

    @property
    def channels(self) -> int:
        """Numbers on the last axis of outputs that are one array with positions; otherwise all."""
        return self.shapes[0][-1] if self._plain and len(self.shapes[0]) > 1 else self.width

    @property
    def _plain(self) -> bool:
        """Whether the outputs are one array, whose entries are the numbers of a row as they are."""
        return len(self.shapes) == 1 and not _is_complex(self.dtypes[0])

    def ravel(self, outputs: PyTree) -> Float[Array, "batch c"]:
        """One row per example, in the widest floating dtype among the leaves; complex numbers by their two parts."""
        leaves = jax.tree.leaves(outputs)
        if self._plain:
            return leaves[0].reshape(leaves[0].shape[0], -1)
        floating = [jnp.finfo(dtype).dtype for dtype in self.dtypes if jnp.issubdtype(dtype, jnp.inexact)]
        dtype = jnp.result_type(*(floating or self.dtypes))
        flat = [leaf.reshape(leaf.shape[0], -1) for leaf in leaves]
        columns = [part.astype(dtype) for leaf in flat for part in _split(leaf)]
        return jnp.concatenate(columns, axis=1)

    def unravel(self, rows: Float[Array, "batch c"]) -> PyTree:
        """Return the outputs from their rows; leaves that are not of a floating dtype are constants."""
        count = rows.shape[0]
        if self._plain:
            return jax.tree.unflatten(self.structure, [rows.reshape(count, *self.shapes[0])])
        leaves, start = [], 0
        for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
            size, parts = math.prod(shape), []
            for _ in range(_parts(dtype)):
                parts.append(rows[:, start : start + size])
                start += size
            leaves.append(_joined(parts, dtype).reshape(count, *shape))
        return jax.tree.unflatten(self.structure, leaves)


def real_parts(tree: PyTree) -> PyTree:
    """The tree with real and imaginary part, a pair, for each complex leaf, since derivatives are taken of reals."""
    return jax.tree.map(lambda leaf: (leaf.real, leaf.imag) if jnp.iscomplexobj(leaf) else leaf, tree)


def from_real_parts(like: PyTree, parts: PyTree) -> PyTree:
    """Return the tree whose `real_parts` these are.

    Args:
        like: arrays or shapes that say which leaves are complex.
        parts: as `real_parts` returns them.
    """
    return jax.tree.map(lambda leaf, part: jax.lax.complex(*part) if _is_complex(leaf.dtype) else part, like, parts)


def _is_complex(dtype: jnp.dtype) -> bool:
    return jnp.issubdtype(dtype, jnp.complexfloating)


_HALF_WORD = 16
"""Bits of an integer that every floating dtype of 32 bits or more holds exactly."""


def _parts(dtype: jnp.dtype) -> int:
    """Return the floats per entry: integers are split into half words, since a float does not hold all of them."""
    if _is_complex(dtype):
        return 2
    if jnp.issubdtype(dtype, jnp.inexact) or dtype == jnp.bool_:
        return 1
    if not jnp.issubdtype(dtype, jnp.integer):
        raise ValueError(f"predict returns an array of {dtype} among its outputs: outputs are numbers, keep it inside")
    return max(1, jnp.iinfo(dtype).bits // _HALF_WORD)


def _split(leaf: Array) -> list[Array]:
    if jnp.iscomplexobj(leaf):
        return [leaf.real, leaf.imag]
    if _parts(leaf.dtype) == 1:
        return [leaf]
    words = [jnp.right_shift(leaf, _HALF_WORD * k) for k in range(_parts(leaf.dtype))]
    return [jnp.bitwise_and(word, 2**_HALF_WORD - 1) for word in words]


def _joined(parts: list[Array], dtype: jnp.dtype) -> Array:
    if _is_complex(dtype):
        return jax.lax.complex(*parts).astype(dtype)
    if jnp.issubdtype(dtype, jnp.inexact):
        return parts[0].astype(dtype)
    whole = [jnp.round(jax.lax.stop_gradient(part)).astype(dtype) for part in parts]
    total = whole[0]
    for k, word in enumerate(whole[1:], 1):
        total = total + jnp.left_shift(word, _HALF_WORD * k)
    return total
