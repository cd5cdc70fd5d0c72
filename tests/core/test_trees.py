"""Names, checks and vectors of pytrees."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnewton._core.trees import check_params, distinct, freeze, leaf_names, ravel, struct_of, unravel
from qnewton._core.widths import widened, working_type

FLOAT = jnp.zeros(2)


def test_names_are_paths() -> None:
    tree = {"layers": [{"weight": FLOAT, "bias": FLOAT}, {"weight": FLOAT}], "head": (FLOAT,), 3: {"x": FLOAT}}
    tree = {str(key): value for key, value in tree.items()}
    assert leaf_names(tree) == ["3.x", "head.0", "layers.0.bias", "layers.0.weight", "layers.1.weight"]


def test_names_of_an_equinox_model_are_attribute_paths() -> None:
    model = eqx.filter(eqx.nn.MLP(2, 2, 2, 1, key=jax.random.key(0)), eqx.is_inexact_array)
    assert leaf_names(model) == ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]


def test_a_bare_array_is_called_params() -> None:
    assert leaf_names(FLOAT) == ["params"]


def test_an_empty_tree_has_no_names() -> None:
    assert leaf_names({"a": None, "b": ()}) == []


@pytest.mark.parametrize(
    "params",
    [
        FLOAT,
        {"a": FLOAT, "b": jnp.zeros(())},
        [np.zeros(3, np.float32), FLOAT],
        {"a": jnp.zeros(2, jnp.bfloat16)},
        {"a": np.float32(1.0)},
        {"a": FLOAT, "b": None},
    ],
    ids=["array", "scalar-array", "numpy", "bfloat16", "numpy-scalar", "none-is-no-leaf"],
)
def test_real_floating_point_arrays_of_one_dtype_pass(params: Any) -> None:
    check_params(params)


@pytest.mark.parametrize(
    ("leaf", "kind"),
    [
        (jnp.zeros(2, jnp.int32), "int32"),
        (jnp.zeros(2, bool), "bool"),
        (jnp.zeros(2, jnp.complex64), "complex64"),
        (jax.random.key(0), r"key<fry>"),
        (1.5, "float"),
        (3, "int"),
        ("relu", "str"),
        (np.int64(3), "int64"),
    ],
    ids=["int", "bool", "complex", "prng-key", "python-float", "python-int", "string", "numpy-int"],
)
def test_a_leaf_that_is_no_real_array_is_named_with_what_to_do(leaf: Any, kind: str) -> None:
    message = (
        rf"params leaf `layers\.1\.count` is {kind}, not a real floating-point array.*second derivatives"
        r".*jnp\.asarray.*if it is trained.*out of params.*eqx\.partition"
    )
    with pytest.raises(TypeError, match=message):
        check_params({"layers": [{"weight": FLOAT}, {"weight": FLOAT, "count": leaf}]})


def test_an_unfiltered_equinox_model_is_refused_at_its_activation() -> None:
    with pytest.raises(TypeError, match=r"leaf `activation` is .*eqx\.partition"):
        check_params(eqx.nn.MLP(2, 2, 2, 1, key=jax.random.key(0)))


@pytest.mark.parametrize("params", [{}, (), None, {"a": None, "b": [()]}])
def test_an_empty_tree_is_refused_with_what_to_do(params: Any) -> None:
    with pytest.raises(ValueError, match=r"params holds no arrays.*eqx\.filter"):
        check_params(params)


def test_a_leaf_without_entries_is_named() -> None:
    with pytest.raises(ValueError, match=r"params leaf `b\.0` has shape \(3, 0\), no entries.*leave it out"):
        check_params({"a": FLOAT, "b": [jnp.zeros((3, 0))]})


def test_leaves_may_be_of_several_float_types() -> None:
    check_params({"a": FLOAT, "b": {"w": jnp.zeros(3, jnp.bfloat16)}, "c": FLOAT})


def test_the_working_type_is_the_widest_and_at_least_single() -> None:
    half, single = jnp.zeros(2, jnp.float16), jnp.zeros(2)
    assert working_type({"a": half, "b": jnp.zeros(2, jnp.bfloat16)}) == jnp.float32
    assert working_type({"a": half, "b": single}) == jnp.float32
    # What jax makes of numpy's doubles.
    assert working_type([half, np.zeros(2)]) == jnp.float32
    with jax.enable_x64(True):
        assert working_type([half, single, np.zeros(2)]) == jnp.float64


def test_what_is_narrow_is_widened_and_nothing_else() -> None:
    tree = {"a": jnp.ones(2, jnp.float16), "b": np.ones(2, jnp.bfloat16), "c": jnp.arange(2), "d": FLOAT, "e": 1.0}
    wide = widened(tree)
    assert wide["a"].dtype == wide["b"].dtype == jnp.float32
    assert all(wide[name] is tree[name] for name in "cde")


def test_an_array_that_is_there_twice_gets_a_buffer_of_its_own() -> None:
    number, vector = jnp.zeros(()), jnp.arange(3.0)
    tree = distinct({"a": number, "b": number, "c": [vector, vector], "d": None})
    leaves = jax.tree.leaves(tree)
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)
    np.testing.assert_array_equal(tree["c"][1], vector)
    assert tree["a"] is number


@pytest.mark.parametrize("leaf", [np.ones(2), np.arange(2), np.ones(2, "float16"), jax.random.split(jax.random.key(0))])
@pytest.mark.parametrize("double", [False, True])
def test_the_dtype_of_a_shape_is_that_which_jax_gives_an_array(leaf: Any, double: bool) -> None:
    with jax.enable_x64(double):
        found = struct_of([3, 1], leaf)
        assert (found.shape, found.dtype) == ((3, 1), jnp.asarray(leaf).dtype)


@given(st.lists(st.sampled_from([(), (1,), (4,), (2, 3), (1, 2, 2)]), min_size=1, max_size=4))
def test_ravel_concatenates_in_row_major_order_and_unravel_undoes_it(shapes: list[tuple[int, ...]]) -> None:
    sizes = [int(np.prod(shape)) for shape in shapes]
    ends = np.cumsum(sizes)
    leaves = [
        np.arange(end - size, end, dtype=np.float32).reshape(shape)
        for end, size, shape in zip(ends, sizes, shapes, strict=True)
    ]
    vector = ravel([jnp.asarray(leaf) for leaf in leaves])
    np.testing.assert_array_equal(vector, np.arange(ends[-1]))
    back = unravel(vector, [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes])
    for leaf, expected in zip(back, leaves, strict=True):
        np.testing.assert_array_equal(leaf, expected)
        assert leaf.shape == expected.shape


# Parameters that are set aside ---------------------------------------------------------------------------------------

NESTED = {
    "embedding": jnp.arange(6.0).reshape(3, 2),
    "layers": [{"weight": FLOAT + 1, "bias": FLOAT + 2}, {"weight": FLOAT + 3, "bias": FLOAT + 4}],
    "head": FLOAT + 5,
}


@pytest.mark.parametrize(
    ("patterns", "frozen"),
    [
        (["embedding"], {"embedding"}),
        (["layers.0"], {"layers.0.weight", "layers.0.bias"}),
        (["layers.1.bias"], {"layers.1.bias"}),
        (["layers"], {"layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"}),
        (["*.bias"], {"layers.0.bias", "layers.1.bias"}),
        (["layers.*.weight", "head"], {"layers.0.weight", "layers.1.weight", "head"}),
        (["layers.0.*", "*.bias"], {"layers.0.weight", "layers.0.bias", "layers.1.bias"}),
        ([], set()),
    ],
    ids=["leaf", "subtree", "leaf-in-a-list", "list", "star", "star-and-leaf", "overlapping", "nothing"],
)
def test_what_a_pattern_names_is_frozen_and_the_rest_is_trained(patterns: list[str], frozen: set[str]) -> None:
    names = leaf_names(NESTED)
    trained, merge = freeze(NESTED, *patterns)
    assert set(leaf_names(trained)) == set(names) - frozen
    check_params(trained)
    changed = merge(jax.tree.map(lambda leaf: leaf - 100, trained))
    assert jax.tree.structure(changed) == jax.tree.structure(NESTED)
    for name, new, old in zip(names, jax.tree.leaves(changed), jax.tree.leaves(NESTED), strict=True):
        np.testing.assert_array_equal(new, old if name in frozen else old - 100)


def test_a_name_is_not_the_start_of_another() -> None:
    """`layers.1` is not `layers.10`."""
    params = {"layers": [FLOAT] * 11}
    assert len(jax.tree.leaves(freeze(params, "layers.1")[0])) == 10
    assert len(jax.tree.leaves(freeze(params, "layers.1*")[0])) == 9


@pytest.mark.parametrize("pattern", ["layer.0", "bias", "layers.2", "layers.0.weights", ""])
def test_a_pattern_that_names_nothing_is_refused_with_the_names(pattern: str) -> None:
    with pytest.raises(ValueError, match=rf"unknown parameter '{pattern}'.*Valid: embedding, head, layers\.0\.bias"):
        freeze(NESTED, "embedding", pattern)


@pytest.mark.parametrize("patterns", [["*"], ["embedding", "head", "layers"]])
def test_nothing_to_train_is_refused(patterns: list[str]) -> None:
    with pytest.raises(ValueError, match=r"freeze all 6 parameters: nothing is left to train"):
        freeze(NESTED, *patterns)


def test_freezing_passes_by_what_was_none_before() -> None:
    """As equinox leaves it in the place of activations and absent biases."""
    model = eqx.nn.MLP(2, 2, 2, 1, use_final_bias=False, key=jax.random.key(0))
    params, static = eqx.partition(model, eqx.is_inexact_array)
    trained, merge = freeze(params, "layers.0")
    assert leaf_names(trained) == ["layers.1.weight"]
    merged = merge(jax.tree.map(jnp.zeros_like, trained))
    assert jax.tree.structure(merged) == jax.tree.structure(params)
    np.testing.assert_array_equal(merged.layers[0].weight, model.layers[0].weight)
    np.testing.assert_array_equal(eqx.combine(merged, static)(jnp.ones(2)), np.zeros(2))


def test_merging_is_differentiable_in_what_is_trained() -> None:
    trained, merge = freeze(NESTED, "embedding", "layers")
    slopes = jax.jit(jax.grad(lambda p: jnp.sum(merge(p)["embedding"]) * jnp.sum(merge(p)["head"] ** 2)))(trained)
    np.testing.assert_array_equal(slopes["head"], 15 * 2 * NESTED["head"])
    assert slopes["embedding"] is None
