"""Blocks cover every leaf once, and a vector finds its way back."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import PyTree

from qnewton._curvature import Block, Partition, per_layer, per_tensor, whole

PARTITIONS = {"whole": whole, "per_layer": per_layer, "per_tensor": per_tensor}
partitions = pytest.mark.parametrize("partition", PARTITIONS.values(), ids=PARTITIONS)

# Few shapes, so that the handful of operations on them compiles once for all examples.
shapes = st.sampled_from([(), (1,), (3,), (2, 2)])
names = st.sampled_from(["weight", "bias", "a", "layers", ""])
shape_trees = st.recursive(
    shapes.map(np.empty),
    lambda children: (
        st.dictionaries(names, children, min_size=1, max_size=3)
        | st.lists(children, min_size=1, max_size=3)
        | st.tuples(children, st.none())
    ),
    max_leaves=6,
)


def numbered(tree: PyTree, start: int = 0) -> PyTree:
    """The tree with the numbers start, start + 1, ... in its entries, in flattening order."""
    leaves, structure = jax.tree.flatten(tree)
    ends = start + np.cumsum([leaf.size for leaf in leaves])
    return jax.tree.unflatten(
        structure,
        [
            jnp.arange(end - leaf.size, end, dtype=jnp.float32).reshape(leaf.shape)
            for leaf, end in zip(leaves, ends, strict=True)
        ],
    )


def entries(tree: PyTree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@partitions
@given(tree=shape_trees)
@settings(max_examples=15)
def test_the_blocks_cover_every_entry_exactly_once(partition: Partition, tree: PyTree) -> None:
    params = numbered(tree)
    blocks = partition(params)
    assert sorted(i for block in blocks for i in block.leaves) == list(range(len(jax.tree.leaves(params))))
    vectors = [np.asarray(block.take(params)) for block in blocks]
    assert [vector.shape for vector in vectors] == [(block.n,) for block in blocks]
    np.testing.assert_array_equal(np.sort(np.concatenate(vectors)), entries(params))


@partitions
@given(tree=shape_trees)
@settings(max_examples=15)
def test_put_undoes_take_and_touches_only_its_block(partition: Partition, tree: PyTree) -> None:
    params, other = numbered(tree), numbered(tree, start=1000)
    for block in partition(params):
        unchanged = block.put(params, block.take(params))
        assert jax.tree.structure(unchanged) == jax.tree.structure(params)
        np.testing.assert_array_equal(entries(unchanged), entries(params))

        changed = block.put(params, block.take(other))
        for i, (new, old, source) in enumerate(zip(*map(jax.tree.leaves, (changed, params, other)), strict=True)):
            np.testing.assert_array_equal(new, source if i in block.leaves else old)
            assert new.shape == old.shape
    np.testing.assert_array_equal(entries(params), np.arange(len(entries(params))))  # put wrote to a copy


def test_take_follows_the_order_of_the_block_s_leaves() -> None:
    params = {"a": jnp.array([1.0, 2.0]), "b": jnp.array([[3.0], [4.0]]), "c": jnp.array(5.0)}
    block = Block("custom", (2, 0), 3)
    np.testing.assert_array_equal(block.take(params), [5, 1, 2])
    changed = block.put(params, jnp.array([7.0, 8.0, 9.0]))
    np.testing.assert_array_equal(changed["c"], 7)
    np.testing.assert_array_equal(changed["a"], [8, 9])
    np.testing.assert_array_equal(changed["b"], [[3], [4]])


def describe(blocks: tuple[Block, ...]) -> list[tuple[str, tuple[int, ...], int]]:
    return [(block.name, block.leaves, block.n) for block in blocks]


MLP = eqx.filter(eqx.nn.MLP(3, 2, width_size=4, depth=1, key=jax.random.key(0)), eqx.is_inexact_array)


def test_whole_is_one_block_of_all_leaves() -> None:
    assert describe(whole(MLP)) == [("params", (0, 1, 2, 3), 26)]


def test_per_layer_joins_weight_and_bias() -> None:
    assert describe(per_layer(MLP)) == [("layers.0", (0, 1), 16), ("layers.1", (2, 3), 10)]


def test_per_tensor_separates_them() -> None:
    assert describe(per_tensor(MLP)) == [
        ("layers.0.weight", (0,), 12),
        ("layers.0.bias", (1,), 4),
        ("layers.1.weight", (2,), 8),
        ("layers.1.bias", (3,), 2),
    ]


def test_a_layer_s_leaves_need_not_be_neighbours_or_at_one_depth() -> None:
    params = {"block": [{"w": jnp.ones(1), "inner": {"w": jnp.ones(2)}, "x": jnp.ones(3)}], "scale": jnp.ones(())}
    assert describe(per_layer(params)) == [
        ("block.0.inner", (0,), 2),
        ("block.0", (1, 2), 4),
        ("scale", (3,), 1),
    ]


def test_leaves_at_the_top_stand_alone_per_layer() -> None:
    params = {"w1": jnp.ones(2), "b1": jnp.ones(1), "w2": jnp.ones(3)}
    assert describe(per_layer(params)) == [("b1", (0,), 1), ("w1", (1,), 2), ("w2", (2,), 3)]


@partitions
def test_a_bare_array_is_one_block(partition: Partition) -> None:
    assert describe(partition(jnp.ones((2, 3)))) == [("params", (0,), 6)]


def test_per_tensor_keeps_apart_two_leaves_of_one_name() -> None:
    params = {"a": {"b": jnp.ones(2)}, "a.b": jnp.ones(3)}
    assert describe(per_tensor(params)) == [("a.b", (0,), 2), ("a.b", (1,), 3)]


@partitions
def test_shapes_are_enough(partition: Partition) -> None:
    """So that a run can be planned before anything is allocated."""
    shapes = jax.eval_shape(lambda: MLP)
    assert describe(partition(shapes)) == describe(partition(MLP))


def test_take_and_put_are_differentiable_through_jit() -> None:
    params = {"a": jnp.array([1.0, 2.0]), "b": jnp.array([3.0])}
    block = per_tensor(params)[0]

    @jax.jit
    def gradient(params: Any) -> jax.Array:
        return jax.grad(lambda w: math.pi * jnp.sum(entries_of(block.put(params, w)) ** 2))(block.take(params))

    def entries_of(tree: Any) -> jax.Array:
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])

    np.testing.assert_allclose(gradient(params), 2 * math.pi * np.array([1, 2]), rtol=1e-6)
