"""Formation of a dense block by large matrix products, from layers that are applied once per example."""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._core.layout import Layout, Piece
from .._core.pieces import as_own

_WORTH_TILING = 64
_TILE = 128


def mirrored(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The symmetric matrix with the given upper triangle.

    A large one is mirrored in place and tile by tile, so that neither a second matrix nor the transposition of a whole
    one is needed: 2.5 times as fast with n = 8,192, and no faster below 1,024.
    """
    tiles, left_over = divmod(matrix.shape[0], _TILE)
    if tiles < 8:
        return _mirrored_at_once(matrix)
    rows, columns = (jnp.asarray(_TILE * k, jnp.int32) for k in np.triu_indices(tiles, 1))

    def across(k: Array, matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
        tile = jax.lax.dynamic_slice(matrix, (rows[k], columns[k]), (_TILE, _TILE))
        return jax.lax.dynamic_update_slice(matrix, tile.T, (columns[k], rows[k]))

    def within(k: Array, matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
        tile = jax.lax.dynamic_slice(matrix, (k * _TILE, k * _TILE), (_TILE, _TILE))
        return jax.lax.dynamic_update_slice(matrix, _mirrored_at_once(tile), (k * _TILE, k * _TILE))

    matrix = jax.lax.fori_loop(0, len(rows), across, matrix)
    matrix = jax.lax.fori_loop(0, tiles, within, matrix)
    if left_over:
        end = tiles * _TILE
        matrix = matrix.at[end:, :end].set(matrix[:end, end:].T)
        matrix = matrix.at[end:, end:].set(_mirrored_at_once(matrix[end:, end:]))
    return matrix


def _mirrored_at_once(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    # Two triangles are added, and not chosen by `where(row >= column, matrix, matrix.T)`: jaxlib 0.10.2 crashes on it.
    return jnp.triu(matrix) + jnp.triu(matrix, 1).T


def upper_triangle(
    layout: Layout, inputs: Sequence[Float[Array, "batch i"]], curvature: Float[Array, "batch a b"]
) -> Float[Array, "n n"]:
    """Return `sum_n x_n x_n^T kron D_n` in the order of the block; entries below the diagonal are undefined.

    Where weights lie as [outputs, inputs] with many inputs, as they do in wide layers of most libraries, the block is
    made tile by tile: one matrix product `x^T diag(D_ab) y` per pair of outputs a <= b, whose operands fit the cache.
    """
    ends = list(itertools.accumulate((outputs for _, outputs in layout.shapes), initial=0))
    pieces = sorted(
        (
            (piece, x[:, row : row + piece.rows], curvature[:, :, start : start + piece.outputs], start)
            for members, x, start in zip(layout.layers, inputs, ends[:-1], strict=True)
            for piece, row in zip(members, itertools.accumulate((p.rows for p in members), initial=0), strict=False)
        ),
        key=lambda part: part[0].start,
    )
    matrix = as_own(jnp.zeros((layout.n, layout.n), curvature.dtype))
    for row, (piece, x, _, start) in enumerate(pieces):
        for other, y, curved, _ in pieces[row:]:
            own = curved[:, start : start + piece.outputs, :]
            matrix = _fill(matrix, piece, x, other, y, own, same=other is piece)
    return matrix


def _fill(
    matrix: Float[Array, "n n"],
    row: Piece,
    x: Float[Array, "batch i"],
    column: Piece,
    y: Float[Array, "batch j"],
    curvature: Float[Array, "batch a b"],
    *,
    same: bool,
) -> Float[Array, "n n"]:
    """Write the products of one piece with another into their place; with itself, the upper triangle."""
    wide = row.rows >= _WORTH_TILING and column.rows >= _WORTH_TILING
    if not (wide and row.transposed and column.transposed):
        return _fill_at_once(matrix, row, x, column, y, curvature)
    pairs = [(a, b) for a in range(row.outputs) for b in range(a if same else 0, column.outputs)]
    # Each pair reads one line.
    lines = jnp.moveaxis(curvature, 0, 2)

    def fill(k: Array, matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
        a, b = jnp.asarray(pairs, jnp.int32)[k]
        line = jax.lax.dynamic_index_in_dim(jax.lax.dynamic_index_in_dim(lines, a, 0, False), b, 0, False)
        position = (row.start + a * row.rows, column.start + b * column.rows)
        return jax.lax.dynamic_update_slice(matrix, x.T @ (line[:, None] * y), position)

    return jax.lax.fori_loop(0, len(pairs), fill, matrix)


def _fill_at_once(
    matrix: Float[Array, "n n"],
    row: Piece,
    x: Float[Array, "batch i"],
    column: Piece,
    y: Float[Array, "batch j"],
    curvature: Float[Array, "batch a b"],
) -> Float[Array, "n n"]:
    tiles = jax.lax.map(
        lambda own: x.T @ (own[:, :, None] * y[:, None, :]).reshape(y.shape[0], -1), jnp.moveaxis(curvature, 1, 0)
    )
    product = tiles.reshape(row.outputs, row.rows, column.outputs, column.rows)
    product = jnp.moveaxis(product, (0, 1, 2, 3), _axes(row, 0) + _axes(column, 2))
    product = product.reshape(row.size, column.size)
    if row.order is not None:
        product = product[jnp.argsort(jnp.asarray(row.order))]
    if column.order is not None:
        product = product[:, jnp.argsort(jnp.asarray(column.order))]
    return jax.lax.dynamic_update_slice(matrix, product, (row.start, column.start))


def _axes(piece: Piece, first: int) -> tuple[int, int]:
    """Return the positions of a piece's axes (outputs, inputs)."""
    return (first, first + 1) if piece.transposed else (first + 1, first)
