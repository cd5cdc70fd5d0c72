"""Conversion between pytrees and a few arrays: a checkpoint's form of parameters and optimizer."""

import jax
import numpy as np
from jaxtyping import PyTree

from ..._core.trees import leaf_names
from .together import fetched


def named(params: PyTree) -> dict[str, np.ndarray]:
    """Return parameters by their names, for use elsewhere."""
    leaves = fetched(jax.tree.leaves(params))
    return {name: np.asarray(leaf) for name, leaf in zip(leaf_names(params), leaves, strict=True)}


def unnamed(arrays: dict[str, np.ndarray], like: PyTree) -> PyTree:
    """Parameters from their names; `like` has their structure.

    Raises:
        ValueError: for other parameters.
    """
    there = {name: (leaf.shape, leaf.dtype) for name, leaf in zip(leaf_names(like), jax.tree.leaves(like), strict=True)}
    found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    if found != there:
        differing = sorted(set(found.items()) ^ set(there.items()))
        raise ValueError(f"the parameters are others: {differing[0][0]} differs")
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in there])


def packed(tree: PyTree) -> dict[str, np.ndarray]:
    """Return all leaves of a tree in sequence, as one array per dtype: an optimizer's state has hundreds."""
    groups: dict[str, list[np.ndarray]] = {}
    for leaf in fetched(jax.tree.leaves(tree)):
        array = np.asarray(leaf)
        groups.setdefault(str(array.dtype), []).append(array.ravel())
    return {dtype: np.concatenate(leaves) for dtype, leaves in groups.items()}


def unpacked(arrays: dict[str, np.ndarray], like: PyTree) -> PyTree:
    """The tree from `packed`; `like` has its structure, shapes and dtypes.

    Raises:
        ValueError: for another tree.
    """
    leaves = jax.tree.leaves(jax.eval_shape(lambda: like))
    needed: dict[str, int] = {}
    for leaf in leaves:
        needed[str(leaf.dtype)] = needed.get(str(leaf.dtype), 0) + leaf.size
    found = {dtype: array.size for dtype, array in arrays.items()}
    if found != {dtype: count for dtype, count in needed.items() if count}:
        raise ValueError(f"the state of the optimizer is another: {found} numbers, and {needed} are needed")
    position = dict.fromkeys(needed, 0)
    made = []
    for leaf in leaves:
        dtype, start = str(leaf.dtype), position[str(leaf.dtype)]
        position[dtype] = start + leaf.size
        flat = arrays[dtype][start : start + leaf.size] if leaf.size else np.empty(0, leaf.dtype)
        made.append(flat.reshape(leaf.shape))
    return jax.tree.unflatten(jax.tree.structure(like), made)
