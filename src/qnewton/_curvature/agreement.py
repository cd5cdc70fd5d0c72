"""Numerical test of whether examples depend on each other: the batch against its examples one at a time.

Outputs alone do not tell: behind a gain that starts at zero a coupled branch is silent, and its curvature is not. So
the parameters are perturbed, and a random product with the Jacobian is compared as well. All is compared at the
parameters themselves too: what is clipped by a statistic of the batch may not be so a little aside, and at the very
limit of a clip the outputs are those without it, and their derivatives are not.
"""

import functools
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Key, PyTree

from .._core.jaxprs import coarsest_rounding

_SEED = 0xA6EE
_SPREAD = 0.1
"""Perturbation of the parameters relative to each entry; to the largest of its leaf, or 1, where that is 0."""
_ROUNDINGS = 256
"""Differences up to so many roundings of the largest entry are no difference."""
_COARSE_ROUNDINGS = 16
"""The same of a model that computes with 16 bits on the way, where more of them would let everything pass."""


def agree(together: Callable[[PyTree], PyTree], alone: Callable[[PyTree], PyTree], params: PyTree) -> Bool[Array, ""]:
    """Return whether two computations for all examples agree at `params`, and nearby with their derivatives.

    Products with the transposed Jacobian are compared leaf by leaf, each by its own size: behind a leaf of large
    influence a coupled one would not be seen in the outputs, nor in their derivative along all leaves at once.

    Args:
        together: parameters to a pytree of arrays, each with a leading axis of examples, from the whole batch.
        alone: the same from single examples.
        params: pytree of arrays.
    """
    moved = _random_like(params, 0, around=params)
    coarse = coarsest_rounding(jax.make_jaxpr(together)(params).jaxpr)
    # Both points by one program, so that the second costs no compilation.
    points = jax.tree.map(lambda *leaves: jnp.stack(leaves), params, moved)
    with jax.default_matmul_precision("highest"):
        one, other = (
            jax.lax.map(functools.partial(_values_and_products, function), points) for function in (together, alone)
        )
    pairs = zip(one, other, strict=True)
    return jnp.all(jnp.stack([jnp.all(jax.vmap(lambda a, b: _close(a, b, coarse))(*pair)) for pair in pairs]))


def _values_and_products(function: Callable[[PyTree], PyTree], params: PyTree) -> list[Array]:
    """A function's values, and random numbers times its Jacobian, leaf by leaf."""
    values, pullback = jax.vjp(function, params)
    found = jax.tree.leaves((values, pullback(_random_like(values, 2))[0]))
    # The derivative in an integer is no array.
    return [leaf for leaf in found if leaf.dtype != jax.dtypes.float0]


def _close(one: Array, other: Array, coarse: float) -> Bool[Array, ""]:
    if one.shape != other.shape:
        return jnp.zeros((), bool)
    if not jnp.issubdtype(one.dtype, jnp.inexact):
        return jnp.all(one == other)
    roundings = max(_ROUNDINGS * float(jnp.finfo(one.dtype).eps), _COARSE_ROUNDINGS * coarse)
    finite = jnp.isfinite(other)
    tolerance = roundings * jnp.max(jnp.abs(other), initial=0, where=finite)
    # What is not finite says nothing, where it is so in both (logits of minus infinity under a mask); a loss divided by
    # a spread that one example alone does not have is so in one. Where nothing is finite nothing was compared.
    alike = (jnp.isfinite(one) == finite) & (~finite | (jnp.abs(one - other) <= tolerance))
    return jnp.all(alike) & (jnp.any(finite) | (one.size == 0))


def _random_like(tree: PyTree, number: int, around: PyTree | None = None) -> PyTree:
    """Return normal numbers of the size of each leaf of `around`, added to it; standard ones without `around`."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(_SEED), number), len(leaves))

    def draw(key: Key[Array, ""], leaf: Array) -> Array:
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf if around is not None else cast(Array, np.zeros(leaf.shape, jax.dtypes.float0))
        noise = jax.random.normal(key, leaf.shape, leaf.dtype)
        # Divided by the largest first: squares of very small or large parameters leave the range.
        largest = jnp.max(jnp.abs(leaf), initial=0, where=jnp.isfinite(leaf))
        size = jnp.where(largest > 0, largest, 1)
        # Entry by entry, so that signs stay, as a root or a logarithm of a parameter needs them.
        own = jnp.where(leaf == 0, size, leaf)
        return noise * size if around is None else leaf + _SPREAD * own * noise

    return jax.tree.unflatten(structure, [draw(key, leaf) for key, leaf in zip(keys, leaves, strict=True)])


def random_batch(tree: PyTree) -> PyTree:
    """Return random numbers in the shapes of a batch: normal floats, and integers 0 or 1, classes of any loss."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(_SEED), 3), len(leaves))

    def draw(key: Key[Array, ""], leaf: Array) -> Array:
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            return jax.random.normal(key, leaf.shape, leaf.dtype)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.split(key, leaf.shape)
        return jax.random.randint(key, leaf.shape, 0, 2).astype(leaf.dtype)

    return jax.tree.unflatten(structure, [draw(key, leaf) for key, leaf in zip(keys, leaves, strict=True)])
