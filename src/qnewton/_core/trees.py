"""Conversion between pytrees and vectors, with names for the leaves."""

import math
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from .kinds import check_kind
from .placement import in_context
from .suggest import unknown
from .widths import is_narrow

Tree = TypeVar("Tree", bound=PyTree)


def leaf_names(tree: PyTree) -> list[str]:
    """The path of every leaf, in flattening order, in the form `layers.0.weight`."""
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]
    return [jax.tree_util.keystr(path, simple=True, separator=".") or "params" for path in paths]


def struct_of(shape: Sequence[int], leaf: Array | jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """Return a shape with jax's dtype for a leaf: float32 for numpy's float64, unless `jax_enable_x64` is set.

    Newer versions of jax warn if a float64 is requested that they do not have.
    """
    return jax.ShapeDtypeStruct(tuple(shape), jax.dtypes.canonicalize_dtype(leaf.dtype, allow_extended_dtype=True))


def check_params(params: PyTree) -> None:
    """Refuse parameters that Newton's method cannot differentiate twice.

    Raises:
        ValueError: if `params` holds no array, or an array without entries.
        TypeError: if a leaf is not a real floating-point array.
    """
    leaves = jax.tree.leaves(params)
    if not leaves:
        raise ValueError(
            f"params holds no arrays (got {params!r}): pass the pytree of trainable arrays, for an equinox model "
            "`eqx.filter(model, eqx.is_inexact_array)`"
        )
    for name, leaf in zip(leaf_names(params), leaves, strict=True):
        dtype = getattr(leaf, "dtype", None)
        if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"params leaf `{name}` is {dtype or type(leaf).__name__}, not a real floating-point array: Newton's "
                "method needs second derivatives. Make it one (`jnp.asarray(value, float)`) if it is trained; keep "
                "counters and other constants out of params (for an equinox model: `eqx.partition(model, "
                "eqx.is_inexact_array)`)"
            )
        if leaf.size == 0:
            raise ValueError(
                f"params leaf `{name}` has shape {leaf.shape}, no entries to train: leave it out of params"
            )


def check_gradients(gradients: PyTree, params: PyTree) -> None:
    """Refuse gradients that do not have the structure of the parameters.

    Raises:
        ValueError: for another structure or a leaf of another shape.
        TypeError: for a leaf of another dtype; those of a 16-bit parameter may be summed in a wider one.
    """
    given, wanted = jax.tree.structure(gradients), jax.tree.structure(params)
    if given != wanted:
        names, expected = leaf_names(gradients), leaf_names(params)
        missing = [name for name in expected if name not in names]
        extra = [name for name in names if name not in expected]
        raise ValueError(
            f"the gradients are {given}, and the parameters {wanted} (missing: {missing or 'none'}; not among the "
            f"parameters: {extra or 'none'}): pass jax.grad(objective)(params, batch) of the same params"
        )
    for name, leaf, param in zip(leaf_names(params), jax.tree.leaves(gradients), jax.tree.leaves(params), strict=True):
        if jnp.shape(leaf) != jnp.shape(param):
            raise ValueError(
                f"the gradient of `{name}` has shape {jnp.shape(leaf)}, and the parameter {jnp.shape(param)}: pass "
                "jax.grad(objective)(params, batch) of the same params"
            )
        given, wanted = jnp.result_type(leaf), jnp.result_type(param)
        summed = is_narrow(wanted) and jnp.issubdtype(given, jnp.floating) and not is_narrow(given)
        if given != wanted and not summed:
            raise TypeError(
                f"the gradient of `{name}` is {given}, and the parameter {wanted}: cast one to the other's dtype"
            )


def freeze(params: PyTree, *patterns: str) -> tuple[PyTree, Callable[[PyTree], PyTree]]:
    """Exclude parameters from training.

    Args:
        params: pytree of arrays.
        patterns: names of leaves or subtrees as `layers.0.weight` or `layers.0`, with `*` for any text.

    Returns:
        The trained rest, with None in the place of what is frozen, and the function that puts both together again:
        `Objective(lambda p, x: predict(merge(p), x), loss)`.

    Raises:
        ValueError: if a pattern matches nothing, or nothing is left to train.
    """
    names = leaf_names(params)
    frozen = set()
    for pattern in patterns:
        check_kind(pattern, str, "freeze: a pattern", "the name of a parameter, as `layers.0.weight`")
        matched = {name for name in names if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")}
        if not matched:
            raise ValueError(unknown("parameter", pattern, names))
        frozen |= matched
    if len(frozen) == len(names):
        raise ValueError(
            f"the patterns {', '.join(patterns)} freeze all {len(names)} parameters: nothing is left to train"
        )
    leaves, structure = jax.tree.flatten(params)
    trained = [None if name in frozen else leaf for name, leaf in zip(names, leaves, strict=True)]

    def merge(tree: PyTree) -> PyTree:
        # Not the leaves where None counts as one: params may hold None themselves, as equinox leaves it.
        given = structure.flatten_up_to(tree)
        both = [in_context(kept) if new is None else new for new, kept in zip(given, leaves, strict=True)]
        return jax.tree.unflatten(structure, both)

    return jax.tree.unflatten(structure, trained), merge


def distinct(tree: Tree) -> Tree:
    """Return the tree with every array in a buffer of its own, so that a jitted step may be donated all of them.

    Args:
        tree: pytree of arrays; what is traced gets its buffers where the program is run.
    """
    seen: set[int] = set()

    def own(leaf: PyTree) -> PyTree:
        if not isinstance(leaf, jax.Array) or isinstance(leaf, Tracer):
            return leaf
        if id(leaf) in seen:
            # Where it lies, bound to no device that it was not bound to, and without a program to compile.
            if leaf.is_fully_addressable:
                return jax.device_put(leaf, may_alias=False)
            # Of an array that several processes hold, each copies what it has.
            parts = [jax.device_put(shard.data, may_alias=False) for shard in leaf.addressable_shards]
            return jax.make_array_from_single_device_arrays(leaf.shape, leaf.sharding, parts)
        seen.add(id(leaf))
        return leaf

    return jax.tree.map(own, tree)


def ravel(leaves: Sequence[Float[Array, "..."]]) -> Float[Array, " n"]:
    """Concatenate the raveled leaves."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])


def unravel(vector: Float[Array, " n"], like: Sequence[Array | jax.ShapeDtypeStruct]) -> list[Float[Array, "..."]]:
    """Undo `ravel`, for leaves of the shapes of `like` (arrays or `jax.ShapeDtypeStruct`)."""
    leaves, start = [], 0
    for leaf in like:
        size = math.prod(leaf.shape)
        leaves.append(vector[start : start + size].reshape(leaf.shape))
        start += size
    return leaves
