"""A block's vector as the matrices of its layers and back: nothing lost, nothing twice, all where it was said."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnewton._core.layout import Layout, Piece


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Layers whose pieces lie anywhere in the block, in any of the three orders, with runs of no layer between."""
    position = 0
    parts: list[tuple[int | None, int, int]] = []  # layer (None: rest), rows, outputs
    for layer in range(draw(st.integers(0, 3))):
        outputs = draw(st.integers(1, 3))
        parts += [(layer, draw(st.integers(1, 3)), outputs) for _ in range(draw(st.integers(1, 3)))]
    parts += [(None, draw(st.integers(1, 4)), 1) for _ in range(draw(st.integers(0 if parts else 1, 2)))]
    layers: dict[int, list[Piece]] = {}
    rest = []
    for layer, rows, outputs in draw(st.permutations(parts)):
        size = rows * outputs
        if layer is None:
            rest.append((position, size))
        else:
            kind = draw(st.sampled_from(["rows", "transposed", "order"]))
            order = tuple(draw(st.permutations(range(size)))) if kind == "order" else None
            layers.setdefault(layer, []).append(Piece(position, rows, outputs, kind == "transposed", order))
        position += size
    # Rows of a layer need not come in the order of the block.
    pieces = tuple(tuple(draw(st.permutations(members))) for _, members in sorted(layers.items()))
    return Layout(position, pieces, tuple(rest))


@given(layouts())
def test_split_and_merge_undo_each_other(layout: Layout) -> None:
    vector = jnp.arange(layout.n, dtype=jnp.float32)
    matrices, rest = layout.split(vector)
    assert [matrix.shape for matrix in matrices] == layout.shapes
    assert rest.size == sum(size for _, size in layout.rest)
    # Every entry is somewhere, once.
    entries = np.concatenate([*(np.ravel(matrix) for matrix in matrices), rest])
    np.testing.assert_array_equal(np.sort(entries), vector)
    np.testing.assert_array_equal(layout.merge(matrices, rest), vector)
    again, left = layout.split(layout.merge([matrix + 0.5 for matrix in matrices], rest - 0.5))
    for one, other in zip(again, matrices, strict=True):
        np.testing.assert_array_equal(one, other + 0.5)
    np.testing.assert_array_equal(left, rest - 0.5)


@given(layouts(), st.data())
def test_each_entry_is_where_the_piece_says(layout: Layout, data: st.DataObject) -> None:
    """By the definition, one entry at a time: row, output and the order of the run."""
    vector = np.arange(layout.n, dtype=np.float32)
    matrices, _ = layout.split(jnp.asarray(vector))
    for pieces, matrix in zip(layout.layers, matrices, strict=True):
        first = 0
        for piece in pieces:
            row = data.draw(st.integers(0, piece.rows - 1))
            output = data.draw(st.integers(0, piece.outputs - 1))
            at = row * piece.outputs + output
            if piece.order is not None:
                at = piece.order[at]
            elif piece.transposed:
                at = output * piece.rows + row
            assert matrix[first + row, output] == vector[piece.start + at]
            first += piece.rows


def test_a_layer_by_hand() -> None:
    """Bias first, reversed; a run that belongs to no layer; a weight as [outputs, inputs]."""
    layout = Layout(10, ((Piece(4, 3, 2, transposed=True), Piece(0, 1, 2, order=(1, 0))),), ((2, 2),))
    (matrix,), rest = layout.split(jnp.arange(10.0))
    np.testing.assert_array_equal(matrix, [[4, 7], [5, 8], [6, 9], [1, 0]])
    np.testing.assert_array_equal(rest, [2, 3])
    assert layout.shapes == [(4, 2)]
    np.testing.assert_array_equal(layout.merge([matrix], rest), np.arange(10))


def test_a_block_without_layers_is_all_rest() -> None:
    layout = Layout(3, (), ((0, 3),))
    matrices, rest = layout.split(jnp.arange(3.0))
    assert matrices == layout.shapes == []
    np.testing.assert_array_equal(layout.merge([], rest), np.arange(3))


def test_it_works_mapped_and_compiled() -> None:
    layout = Layout(6, ((Piece(0, 2, 2, transposed=True), Piece(4, 1, 2)),))
    vectors = jnp.arange(18.0).reshape(3, 6)
    back = jax.jit(jax.vmap(lambda v: layout.merge(*layout.split(v))))(vectors)
    np.testing.assert_array_equal(back, vectors)


def test_merge_wants_every_layer() -> None:
    layout = Layout(4, ((Piece(0, 2, 1),), (Piece(2, 2, 1),)))
    with pytest.raises(ValueError, match="shorter"):
        layout.merge([jnp.zeros((2, 1))], jnp.zeros(0))
