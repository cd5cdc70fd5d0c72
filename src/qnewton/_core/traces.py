"""Traces, sums and inner products that a step has at hand, by few kernels: each is compiled on its own."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .one_kernel import LARGE, paired

WRITTEN_OUT = 3
"""Entries up to which a sum is written out."""
SPLIT = 32
"""Entries up to which XLA's CPU compiler makes one kernel of a reduction."""


def trace(matrices: Float[Array, "*batch n n"]) -> Float[Array, "*batch"]:
    """Return the trace of every matrix, from its diagonal alone.

    A slice and a short sum, one kernel: `jnp.trace` masks the whole matrix, in two kernels or three.
    """
    n = matrices.shape[-1]
    return over_last(matrices.reshape(*matrices.shape[:-2], n * n)[..., :: n + 1])


def diagonal(matrix: Float[Array, "n n"]) -> Float[Array, " n"]:
    """Return the diagonal as a slice; `jnp.diagonal` masks the whole matrix."""
    n = matrix.shape[0]
    return matrix.reshape(n * n)[:: n + 1]


def over_last(array: Float[Array, "*shape n"], largest: bool = False) -> Float[Array, "*shape"]:
    """The sum of all entries along the last axis, or the largest one.

    Of a few entries written out: then it is part of what else is computed from them.
    """
    if 0 < array.shape[-1] <= WRITTEN_OUT:
        return functools.reduce(jnp.maximum if largest else jnp.add, [array[..., k] for k in range(array.shape[-1])])
    return jnp.max(array, axis=-1) if largest else jnp.sum(array, axis=-1)


def begun(array: Float[Array, "*shape n"], largest: bool = False) -> Float[Array, "*shape k"]:
    """Partial results along the last axis, at most 32 of them, which `in_one_kernel` can combine.

    XLA splits a longer reduction in the same way, into kernels that are not part of what computes the entries.

    Args:
        array: at least one entry long.
        largest: whether the largest entry is wanted, of numbers that are not negative, and not the sum.
    """
    *shape, n = array.shape
    parts = -(-n // SPLIT)
    if parts > SPLIT:
        return over_last(array, largest)[..., None]
    padded = jnp.pad(array, [(0, 0)] * len(shape) + [(0, parts * SPLIT - n)])
    return over_last(padded.reshape(*shape, parts, SPLIT), largest)


def inner(first: Float[Array, " n"], second: Float[Array, " n"]) -> Float[Array, ""]:
    """Inner product of two vectors, in full precision: one kernel, where that of `jnp.vdot` are three or four.

    Large ones are not copied into one array for it.
    """
    return jnp.sum(first * second) if first.size >= LARGE else gram(paired(first, second))[0, 1]


def lengths(first: Float[Array, " n"], second: Float[Array, " n"]) -> Float[Array, "2"]:
    """2-norms of two vectors whose squares are representable."""
    if first.size >= LARGE:
        return jnp.sqrt(jnp.stack([inner(first, first), inner(second, second)]))
    return jnp.sqrt(diagonal(gram(paired(first, second))))


def gram(vectors: Float[Array, "k n"]) -> Float[Array, "k k"]:
    """Inner products of a few vectors, in full precision.

    One call of a library where sums of squares are kernels of their own, each of which has to be compiled.
    """
    return jnp.matmul(vectors, vectors.T, precision=jax.lax.Precision.HIGHEST)
