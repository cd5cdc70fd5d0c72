"""Blocks of linearly used parameters, as `sum_n x_n x_n^T kron D_n` in matrix products.

For a use `z = x W` with x fixed, the derivative of anything with respect to `W[i, o]` is `x_i` times that with respect
to `z_o`. The curvature block between two uses u and v is therefore

    H[(i, a), (j, b)] = sum_n sum_{t, s} x^u_{n,t,i} x^v_{n,s,j} D^{uv}_{n,(t,a),(s,b)}

with `D^{uv}` the curvature in the two uses' outputs, far smaller than H. Where a weight serves several positions of one
example (t, s), the cross terms between them belong to it (leaving them out is an error, not an approximation).
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._core.layout import Layout, Piece
from .chunks import sum_over_chunks
from .partition import Block
from .structure import Program, Use


@dataclass(frozen=True, eq=False)
class Layer:
    """Uses that share their outputs: a matrix product, and the biases that are added to it.

    Attributes:
        lead: the use whose output stands for that of all.
        biases: the others; each is one more input, the constant 1.
        again: the same parameters, used once more. Kronecker factors take such uses to be independent; blocks, which
            do not, have a layer for each.
    """

    lead: Use
    biases: tuple[Use, ...]
    again: "tuple[Layer, ...]" = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Number of inputs, those of the biases included, and of outputs."""
        inputs, outputs = self.lead.index.shape[-2:]
        return inputs + len(self.biases), outputs

    @property
    def members(self) -> list[tuple[Use, slice]]:
        """Each use, and which of the inputs are its own."""
        inputs = self.lead.index.shape[-2]
        return [(self.lead, slice(0, inputs))] + [
            (bias, slice(inputs + k, inputs + k + 1)) for k, bias in enumerate(self.biases)
        ]

    @property
    def whole(self) -> "list[Layer]":
        """This use and the others of the same parameters."""
        return [self, *self.again]

    def turns(self, other: "Layer") -> bool:
        """Return whether another use takes this one's outputs as inputs, as the head of a tied embedding does."""
        return not np.array_equal(other.lead.index, self.lead.index)

    def extend(self, x: Float[Array, "*c t i"]) -> Float[Array, "*c t j"]:
        """The lead's inputs with a 1 for each bias."""
        return jnp.concatenate([x, jnp.ones((*x.shape[:-1], len(self.biases)), x.dtype)], axis=-1)


# Curvature of one example in the outputs of the layers, `small[u, v]` of shape `[t, a, s, b]` for u <= v, and the
# inputs of each layer's lead.
Small = dict[tuple[int, int], Float[Array, "t a s b"]]
Inner = Callable[[PyTree], tuple[Small, list[Float[Array, "t i"]]]]
Products = dict[tuple[int, int], Float[Array, "i a j b"]]


def find_layers(program: Program, block: Block) -> list[Layer] | None:
    """Return the layers that use the block's parameters, or None if a parameter is not recognised."""
    if any(leaf not in program.uses for leaf in block.leaves):
        return None
    uses = [use for leaf in block.leaves for use in program.uses[leaf]]
    leads = [use for use in uses if use.carrier is None or use.carrier not in uses]
    return [Layer(lead, tuple(use for use in uses if use.carrier is lead)) for lead in leads]


def feed_each_other(layers: Sequence[Layer], block: Block) -> bool:
    """Return whether one layer's inputs depend on a parameter of the block, so that the model is not affine in it."""
    return any(layer.lead.upstream & set(block.leaves) for layer in layers)


def pairs(layers: Sequence[Layer]) -> list[tuple[int, int]]:
    """The pairs of layers u <= v."""
    return [(u, v) for u in range(len(layers)) for v in range(u, len(layers))]


def assemble(
    block: Block, layers: Sequence[Layer], inner: Inner, examples: PyTree, chunk_bytes: int, dtype: jnp.dtype
) -> Float[Array, "n n"]:
    """Return the block's sum over the examples, accumulated in chunks.

    Args:
        block: whose rows and columns the result has.
        layers: that the block's parameters are used in.
        inner: curvature in the outputs of the layers, for one example.
        examples: pytree with a common leading axis.
        chunk_bytes: memory for the largest product over the examples that are handled together.
        dtype: of the parameters, and of the result.
    """

    def add(totals: Products, chunk: PyTree) -> Products:
        small, leads = jax.vmap(inner)(chunk)
        # Data or outputs may be wider than the parameters; the block is not.
        small = {pair: part.astype(dtype) for pair, part in small.items()}
        inputs = [jax.vmap(layer.extend)(x.astype(dtype)) for layer, x in zip(layers, leads, strict=True)]
        return {
            (u, v): total + jnp.einsum("nti,ntasb,nsj->iajb", inputs[u], small[u, v], inputs[v], optimize="optimal")
            for (u, v), total in totals.items()
        }

    zero = {(u, v): jnp.zeros((*layers[u].shape, *layers[v].shape), dtype) for u, v in pairs(layers)}
    widest = max(_intermediate(layers[u], layers[v]) for u, v in pairs(layers))
    return _place(block, layers, sum_over_chunks(add, zero, examples, widest * dtype.itemsize, chunk_bytes))


def _intermediate(u: Layer, v: Layer) -> int:
    # The product over the examples is formed as one matrix product, whose larger operand holds, per example, the
    # smaller of x_u (x) D and D (x) x_v.
    (i, a), (j, b) = u.shape, v.shape
    return max(1, min(i, j) * a * b * max(u.lead.positions, v.lead.positions))


def _place(block: Block, layers: Sequence[Layer], products: Products) -> Float[Array, "n n"]:
    parts: dict[tuple[int, int], Array] = {}

    def add(row: Use, column: Use, part: Array) -> None:
        # A parameter with several uses collects the products of all their pairs.
        key = row.leaf, column.leaf
        parts[key] = parts[key] + part if key in parts else part

    for (u, v), product in products.items():
        for k, (row, rows) in enumerate(layers[u].members):
            for m, (column, columns) in enumerate(layers[v].members):
                if u == v and m < k:
                    continue
                part = _ravelled(row, column, product[rows, :, columns, :])
                add(row, column, part)
                if row is not column:
                    add(column, row, part.T)
    return jnp.block([[parts[row, column] for column in block.leaves] for row in block.leaves])


def _ravelled(u: Use, v: Use, product: Float[Array, "i a j b"]) -> Float[Array, "nu nv"]:
    """Return the product with rows and columns in the order of the raveled parameters."""
    axes = [0, 1, 2, 3]
    orders = []
    for use, (first, second) in ((u, (0, 1)), (v, (2, 3))):
        # Weights lie as [outputs, inputs] or [inputs, outputs] in nearly every model: a transposition, not a gather.
        if _is_range(use.index.T):
            axes[first], axes[second] = second, first
            orders.append(None)
        else:
            orders.append(None if _is_range(use.index) else np.argsort(use.index, axis=None))
    part = product.transpose(axes).reshape(u.index.size, v.index.size)
    rows, columns = orders
    part = part if rows is None else part[rows]
    part = part if columns is None else part[:, columns]
    # Where the model uses a slice of a parameter, the other entries have no part in this product.
    if u.index.size < u.size:
        part = jnp.zeros((u.size, part.shape[1]), part.dtype).at[np.sort(u.index, axis=None)].set(part)
    if v.index.size < v.size:
        part = jnp.zeros((part.shape[0], v.size), part.dtype).at[:, np.sort(v.index, axis=None)].set(part)
    return part


def layout_of(block: Block, layers: Sequence[Layer], sizes: Sequence[int]) -> Layout | None:
    """Return the positions of the layers' matrices in the block; None if a parameter is used more than once.

    Args:
        block: whose layout it is.
        layers: uses of parameters of the block; parameters that none of them uses make up the rest.
        sizes: scalars in each leaf of the block.
    """
    starts = dict(zip(block.leaves, itertools.accumulate(sizes, initial=0), strict=False))
    members = [use for layer in layers for use, _ in layer.members]
    used = [use.leaf for use in members]
    if len(set(used)) < len(used) or any(use.index.size != sizes[block.leaves.index(use.leaf)] for use in members):
        return None
    pieces = tuple(tuple(piece(use, starts[use.leaf]) for use, _ in layer.members) for layer in layers)
    rest = tuple(
        (starts[leaf], size) for leaf, size in zip(block.leaves, sizes, strict=True) if leaf not in used and size
    )
    return Layout(block.n, pieces, rest)


def piece(use: Use, start: int) -> Piece:
    """Return the positions of a use's entries that are one run.

    Args:
        use: of all entries that the run has.
        start: of the run in the block.
    """
    rows, outputs = use.index.shape[-2:]
    if use.copies > 1:
        for axes in itertools.permutations(range(3), 3):
            if _is_range(use.index.transpose(axes)):
                return Piece(start, rows, outputs, copies=use.copies, axes=axes)
        return Piece(start, rows, outputs, order=tuple(use.index.reshape(-1).tolist()), copies=use.copies)
    if _is_range(use.index):
        return Piece(start, rows, outputs)
    if _is_range(use.index.T):
        return Piece(start, rows, outputs, transposed=True)
    return Piece(start, rows, outputs, order=tuple(use.index.reshape(-1).tolist()))


def _is_range(index: np.ndarray) -> bool:
    return bool(np.array_equal(index.reshape(-1), np.arange(index.size)))
