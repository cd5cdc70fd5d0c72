"""Names, checks and vectors of pytrees."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnewton.core.trees import check_params, leaf_names, ravel, unravel

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


def test_mixed_dtypes_are_named_with_a_leaf_of_each() -> None:
    params = {"a": FLOAT, "b": {"w": jnp.zeros(3, jnp.bfloat16)}, "c": FLOAT}
    with pytest.raises(TypeError, match=r"mixes the dtypes bfloat16 \(`b\.w`\), float32 \(`a`\): cast all leaves"):
        check_params(params)


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
