"""The empirical Fisher matrix by units: one block per output of a layer and per token of a table."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core.pieces import piece
from .._curvature.chunks import sum_over_chunks
from .._curvature.point import Point

CHUNK_BYTES = 2**26
"""Memory for the gradients of the examples that are handled together."""


def units_of(shape: tuple[int, ...], largest: int) -> tuple[int, int]:
    """Return the number of blocks of a tensor, and their size.

    A matrix has one per row (what feeds one output; one token's embedding), so has a convolution kernel; a vector is
    one block. What would exceed `largest` falls into blocks of one.
    """
    count, size = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))
    return (count, size) if size <= largest else (count * size, 1)


def second_moments(point: Point, units: Sequence[tuple[int, int]]) -> list[Float[Array, "units d d"]]:
    """Return `sum_n w_n g_n g_n^T / sum_n w_n` within each unit of each tensor.

    The gradient of example n's mean loss is `g_n`.

    Args:
        point: where the gradients are taken.
        units: of each leaf of the parameters, as `units_of` has them.
    """
    pieces = point.pieces
    if pieces is not None:
        with piece(pieces):
            return pieces.total(second_moments(point.piece(pieces), units))
    scored, params = point.scored().examples, point.params

    def rows(example: PyTree) -> list[Array]:
        return jax.tree.leaves(jax.grad(lambda p: scored.outputs(p, example)[0])(params))

    def add(total: list[Array], chunk: PyTree) -> list[Array]:
        found = [row.reshape(-1, *unit) for row, unit in zip(jax.vmap(rows)(chunk), units, strict=True)]
        return [old + jnp.einsum("mka,mkb->kab", row, row) for old, row in zip(total, found, strict=True)]

    leaves = jax.tree.leaves(params)
    zero = [jnp.zeros((count, size, size), leaf.dtype) for leaf, (count, size) in zip(leaves, units, strict=True)]
    each = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    return [total / scored.total for total in sum_over_chunks(add, zero, scored.batch[0], each, CHUNK_BYTES)]
