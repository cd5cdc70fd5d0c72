"""Whether examples depend on each other, by numbers: the batch against its examples one at a time.

Outputs alone do not tell: behind a gain that starts at zero a coupled branch is silent, and its curvature is not. So
the parameters are perturbed, and a random product with the Jacobian is compared as well.
"""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree

_SEED = 0xA6EE
_SPREAD = 0.1
"""Perturbation of the parameters, in units of the largest entry of each leaf, or of 1 where all are 0."""
_ROUNDINGS = 256
"""Differences up to so many roundings of the largest entry are no difference."""


def agree(
    together: Callable[[PyTree], PyTree], alone: Callable[[PyTree], PyTree], params: PyTree, forward: bool
) -> Bool[Array, ""]:
    """Whether two ways to compute the same for all examples agree near `params`, with their derivatives.

    Args:
        together: parameters to a pytree of arrays, each with a leading axis of examples, from the whole batch.
        alone: the same from single examples.
        params: pytree of arrays.
        forward: compare products with the Jacobian; False compares products with its transpose, for a model whose
            derivative rules know no other (`jax.custom_vjp`).
    """
    moved, tangent = _random_like(params, 0, around=params), _random_like(params, 1)
    with jax.default_matmul_precision("highest"):
        if forward:
            (a, da), (b, db) = (jax.jvp(f, (moved,), (tangent,)) for f in (together, alone))
        else:
            (a, da), (b, db) = (_products(f, moved) for f in (together, alone))
    pairs = zip(jax.tree.leaves((a, da)), jax.tree.leaves((b, db)), strict=True)
    return jnp.all(jnp.stack([_close(one, other) for one, other in pairs]))


def _products(function: Callable[[PyTree], PyTree], params: PyTree) -> tuple[PyTree, PyTree]:
    values, pullback = jax.vjp(function, params)
    return values, pullback(_random_like(values, 2))[0]


def _close(one: Array, other: Array) -> Bool[Array, ""]:
    if one.shape != other.shape:
        return jnp.zeros((), bool)
    if not jnp.issubdtype(one.dtype, jnp.inexact):
        return jnp.all(one == other)
    tolerance = _ROUNDINGS * jnp.finfo(one.dtype).eps * jnp.max(jnp.where(jnp.isfinite(other), jnp.abs(other), 0))
    # What is not finite is so either way, and is somebody else's to report.
    same = (jnp.abs(one - other) <= tolerance) | ~(jnp.isfinite(one) | jnp.isfinite(other))
    return jnp.all(same)


def _random_like(tree: PyTree, number: int, around: PyTree | None = None) -> PyTree:
    """Normal numbers of the size of each leaf of `around`, added to it; plain ones without."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(_SEED), number), len(leaves))

    def draw(key: Any, leaf: Array) -> Array:
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf if around is not None else cast(Array, np.zeros(leaf.shape, jax.dtypes.float0))
        noise = jax.random.normal(key, leaf.shape, leaf.dtype)
        # Divided by the largest first: squares of very small or large parameters leave the range.
        largest = jnp.max(jnp.abs(leaf), initial=0)
        size = jnp.where(largest > 0, largest, 1)
        return noise * size if around is None else leaf + _SPREAD * size * noise

    return jax.tree.unflatten(structure, [draw(key, leaf) for key, leaf in zip(keys, leaves, strict=True)])


def random_batch(tree: PyTree) -> PyTree:
    """Numbers in the shapes of a batch: normal ones, and 0 or 1 where they are whole, which are classes of any loss."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(_SEED), 3), len(leaves))

    def draw(key: Any, leaf: Any) -> Array:
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            return jax.random.normal(key, leaf.shape, leaf.dtype)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.split(key, leaf.shape)
        return jax.random.randint(key, leaf.shape, 0, 2).astype(leaf.dtype)

    return jax.tree.unflatten(structure, [draw(key, leaf) for key, leaf in zip(keys, leaves, strict=True)])
