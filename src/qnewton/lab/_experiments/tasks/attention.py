"""Scaled dot-product attention with shared key and value heads, and the rotary embedding."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

_ROTARY_BASE = 10_000.0


def attend(
    queries: Float[Array, "length heads size"],
    keys: Float[Array, "length shared size"],
    values: Float[Array, "length shared size"],
    allowed: Bool[Array, "#length length"],
) -> Float[Array, "length width"]:
    """Each query's mean of the values, the heads side by side.

    Head h of the queries takes head `h // (heads / shared)` of keys and values (Ainslie et al. 2023).

    Args:
        queries: to be answered.
        keys: `shared` heads, a divisor of `heads`.
        values: of the same shape.
        allowed: row i says which positions query i may look at; at least one.
    """
    length, heads, size = queries.shape
    shared = keys.shape[1]
    grouped = queries.reshape(length, shared, heads // shared, size)
    scores = jnp.einsum("qsgd,ksd->sgqk", grouped, keys) / jnp.sqrt(jnp.asarray(size, queries.dtype))
    weights = jax.nn.softmax(jnp.where(allowed, scores, jnp.finfo(scores.dtype).min), axis=-1)
    return jnp.einsum("sgqk,ksd->qsgd", weights, values).reshape(length, heads * size)


def rotate(x: Float[Array, "length heads size"]) -> Float[Array, "length heads size"]:
    """Apply the rotary embedding: pairs (i, i + size/2) turned by position times 10000^(-2i/size) (Su et al. 2021).

    Products of a rotated query and a rotated key depend on the distance of their positions alone.
    """
    length, _, size = x.shape
    frequencies = _ROTARY_BASE ** (-np.arange(0, size, 2) / size)
    angles = np.arange(length)[:, None, None] * frequencies
    cosine, sine = (jnp.asarray(part, x.dtype) for part in (np.cos(angles), np.sin(angles)))
    first, second = x[..., : size // 2], x[..., size // 2 :]
    return jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def sliding_window(length: int, window: int) -> Bool[np.ndarray, "length length"]:
    """Return the mask in which each position sees itself and the `window - 1` before it (Jiang et al. 2023)."""
    distance = np.arange(length)[:, None] - np.arange(length)[None, :]
    return (distance >= 0) & (distance < window)
