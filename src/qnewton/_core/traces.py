"""Traces of matrices, and inner products of vectors, that a step has at hand."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .one_kernel import paired


def trace(matrices: Float[Array, "*batch n n"]) -> Float[Array, "*batch"]:
    """Of every matrix, from its diagonal alone.

    A slice and a short sum, one kernel: `jnp.trace` masks the whole matrix, in two kernels or three.
    """
    n = matrices.shape[-1]
    return jnp.sum(matrices.reshape(*matrices.shape[:-2], n * n)[..., :: n + 1], axis=-1)


def diagonal(matrix: Float[Array, "n n"]) -> Float[Array, " n"]:
    """A slice; `jnp.diagonal` masks the whole matrix."""
    n = matrix.shape[0]
    return matrix.reshape(n * n)[:: n + 1]


def inner(first: Float[Array, " n"], second: Float[Array, " n"]) -> Float[Array, ""]:
    """Inner product of two vectors, in full precision: one kernel, where that of `jnp.vdot` are three or four."""
    return gram(paired(first, second))[0, 1]


def lengths(first: Float[Array, " n"], second: Float[Array, " n"]) -> Float[Array, "2"]:
    """2-norms of two vectors whose squares are representable."""
    return jnp.sqrt(diagonal(gram(paired(first, second))))


def gram(vectors: Float[Array, "k n"]) -> Float[Array, "k k"]:
    """Inner products of a few vectors, in full precision.

    One call of a library where sums of squares are kernels of their own, each of which has to be compiled.
    """
    return jnp.matmul(vectors, vectors.T, precision=jax.lax.Precision.HIGHEST)
