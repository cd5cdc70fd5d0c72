"""Test of whether two batches are the same, without keeping one."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree, UInt32

from .._core.arrays import NumberArray

_PRIMES = (2654435761, 2246822519)
"""Odd, so that multiplying by them loses no bit; of the golden ratio, and of a widely used hash."""


_PLACES = 8
"""Entries of each array that stand for all of them."""


def scattered(tree: PyTree) -> list[Array]:
    """A few entries of each array, which lie all over it: enough to tell batches apart that were drawn.

    Args:
        tree: arrays of any type, or keys.
    """
    return [_few(jnp.asarray(leaf)) for leaf in jax.tree.leaves(tree)]


def _few(leaf: Array) -> Array:
    if leaf.size <= _PLACES:
        return leaf
    # One in each of as many parts of equal length, never in step with rows: their first entry might be the same in all.
    parts = np.arange(_PLACES, dtype=np.uint64) * np.uint64(leaf.size)
    within = np.arange(1, _PLACES + 1, dtype=np.uint64) * np.uint64(_PRIMES[0]) % np.uint64(leaf.size // _PLACES)
    places = np.unravel_index((parts // np.uint64(_PLACES) + within).astype(np.int64), leaf.shape)
    return leaf[places]


def fingerprint(tree: PyTree) -> UInt32[Array, "2"]:
    """Return two sums over all bits, each entry weighted by position: equal for equal arrays, else almost never.

    Entries that differ anywhere leave both sums the same with a chance of about 2^-64.

    Args:
        tree: arrays of any type, or keys.
    """
    total, place = jnp.zeros(2, jnp.uint32), 1
    for leaf in jax.tree.leaves(tree):
        words = _words(jnp.asarray(leaf))
        # Of a few entries the weights are constants, which nobody has to compile.
        xp = np if words.size <= 2 * _PLACES else jnp
        order = xp.arange(place, place + words.size, dtype=np.uint32)
        place += words.size
        # The weights are odd, and mixed: sums with weights that grow by one forget what moves by as much.
        weights = [_mixed(order * np.uint32(prime)) | np.uint32(1) for prime in _PRIMES]
        total = total + jnp.stack([jnp.sum(words * weight, dtype=jnp.uint32) for weight in weights])
    return total


def _mixed(numbers: UInt32[NumberArray, " k"]) -> UInt32[NumberArray, " k"]:
    numbers = (numbers ^ (numbers >> np.uint32(15))) * np.uint32(_PRIMES[1])
    return numbers ^ (numbers >> np.uint32(13))


def _words(leaf: Array) -> UInt32[Array, " k"]:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        leaf = jnp.stack([leaf.real, leaf.imag])
    if leaf.dtype == jnp.bool_ or leaf.dtype.itemsize == 1:
        return leaf.astype(jnp.uint32).ravel()
    wide = jnp.uint16 if leaf.dtype.itemsize == 2 else jnp.uint32
    return jax.lax.bitcast_convert_type(leaf, wide).astype(jnp.uint32).ravel()
