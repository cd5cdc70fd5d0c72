"""Arrays that a traced function closes over, protected from constant folding."""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

Tree = TypeVar("Tree")


def unfolded(tree: Tree) -> Tree:
    """Return the same values; the compiler does not see those that are constants of a function being traced.

    XLA folds what depends on constants alone, in an interpreter that takes seconds for the products of a batch with
    itself that curvature consists of: 16 s of 20 to compile a step on 1,438 closed-over examples. The barrier hides
    the values from that; it is gone before code is made, so the step runs as with the batch as an argument.

    Arguments of the traced function pass through as they are, and so does everything outside of a trace. One barrier a
    leaf: XLA recognises two barriers of one constant as the same value, and computes only once what depends on either.

    Args:
        tree: pytree of arrays, traced or not; other leaves are handed back.
    """
    leaves, structure = jax.tree.flatten(tree)
    constant = [_is_constant(leaf) for leaf in leaves]
    # A new array is traced exactly where computing with constants would be.
    if not any(constant) or not isinstance(jnp.zeros(()), Tracer):
        return tree
    hidden = [jax.lax.optimization_barrier(leaf) if own else leaf for leaf, own in zip(leaves, constant, strict=True)]
    return jax.tree.unflatten(structure, hidden)


def _is_constant(leaf: object) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray)) and not isinstance(leaf, Tracer)
