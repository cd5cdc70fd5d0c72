"""Square roots of the curvature in the outputs, for all examples at once."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def batched_root(matrices: Float[Array, "batch c c"]) -> Float[Array, "batch c c"]:
    """Lower triangular `L` with `L L^T = D + delta I`, `delta` of the order of rounding, for semidefinite `D`.

    The curvature of cross-entropy is singular, so a plain Cholesky factorisation would fail on rounding. That is as
    large for an example whose softmax has saturated as for the others, although its `D` is small: `delta` goes with the
    largest of the batch. An indefinite `D` (a loss that is not convex in the outputs) gives NaN.
    """
    size = matrices.shape[-1]
    if size == 1:
        return jnp.sqrt(matrices)
    limits = jnp.finfo(matrices.dtype)
    delta = 8 * size * limits.eps * jnp.max(jnp.trace(matrices, axis1=-2, axis2=-1)) + limits.tiny
    return factors(matrices + delta * jnp.eye(size, dtype=matrices.dtype))


def factors(matrices: Float[Array, "batch c c"]) -> Float[Array, "batch c c"]:
    """Cholesky factors, one matrix after the other; NaN where a matrix is not definite.

    Not `jnp.linalg.cholesky` of the batch: that shares its work among threads, and where two of them run at once on
    fewer threads than they ask for, jaxlib 0.10.2 waits for ever. One by one costs a third more at worst.
    """
    return jax.lax.map(jnp.linalg.cholesky, matrices)
