"""Random keys for solvers that receive none."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

# Knuth's multiplier; odd multiples of it tell the positions apart.
_MULTIPLIER = 2654435761


def key_for(seed: int, vector: Float[Array, " n"]) -> Key[Array, ""]:
    """A key that depends on every bit of a vector.

    optimistix hands a linear solver no options, so noise that depended on the seed alone would be the same in every
    iteration. Folded with the right-hand side it is another one there, and the same one when a solve is repeated.
    """
    words = jax.lax.bitcast_convert_type(vector, jnp.uint32).ravel()
    places = 2 * jnp.arange(words.size, dtype=jnp.uint32) + 1
    mixed = (words ^ (words >> 15)) * (places * jnp.uint32(_MULTIPLIER))
    return jax.random.fold_in(jax.random.key(seed), jnp.sum(mixed, dtype=jnp.uint32))
