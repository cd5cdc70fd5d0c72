"""The float types that Newton's method works in: at least single precision, whatever numbers are stored in."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import PyTree

Tree = TypeVar("Tree", bound=PyTree)

COARSE = 1e-6
"""Rounding unit from which on a program computes with 16 bits, some of which hold no number below 6e-8."""
SINGLE = 32
"""Bits of the narrowest type in which a factorisation exists, and a loss can be compared with the next one."""


def at_least_single(dtype: DTypeLike) -> jnp.dtype:
    """The type itself, as jax has it; single precision for a narrower float."""
    own = jnp.dtype(jax.dtypes.canonicalize_dtype(dtype))
    return jnp.dtype(jnp.float32) if is_narrow(own) else own


def is_narrow(dtype: DTypeLike) -> bool:
    """Return whether the type is a float of fewer than 32 bits."""
    return bool(jnp.issubdtype(dtype, jnp.floating)) and jnp.finfo(dtype).bits < SINGLE


def working_type(params: PyTree) -> jnp.dtype:
    """Return the one type in which a training computes: the widest of the parameters, at least single precision."""
    own = {at_least_single(leaf.dtype) for leaf in jax.tree.leaves(params)}
    return max(own, key=lambda dtype: jnp.finfo(dtype).bits)


def widened(tree: Tree) -> Tree:
    """Return the tree with every float of fewer than 32 bits in single precision; other leaves are unchanged."""

    def wide(leaf: PyTree) -> PyTree:
        dtype = getattr(leaf, "dtype", None)
        return leaf.astype(jnp.float32) if dtype is not None and is_narrow(dtype) else leaf

    return jax.tree.map(wide, tree)
