"""Square roots of the curvature in the outputs, for all examples at once."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .examples import Examples


def batched_root(
    matrices: Float[Array, "batch c c"], elsewhere: Callable[[], Float[Array, ""]] | None = None
) -> Float[Array, "batch c c"]:
    """Lower triangular `L` with `L L^T = D + delta I`, `delta` of the order of rounding, for semidefinite `D`.

    The curvature of cross-entropy is singular, so a plain Cholesky factorisation would fail on rounding. That is as
    large for an example whose softmax has saturated as for the others, although its `D` is small: `delta` goes with the
    largest of the batch. An indefinite `D` (a loss that is not convex in the outputs) gives NaN.

    Args:
        matrices: `D`, in any unit.
        elsewhere: the largest trace that `D` has at other outputs, as of `curvature_elsewhere`. Where the softmax of
            the whole batch has saturated none of its own is as large as the rounding, and a root that fails is tried
            again with a `delta` of that. It is asked for only then; None leaves NaN.
    """
    size = matrices.shape[-1]
    limits, identity = jnp.finfo(matrices.dtype), jnp.eye(size, dtype=matrices.dtype)
    rounding = 8 * size * limits.eps
    if size == 1:
        root = jnp.sqrt(matrices)
    else:
        root = factors(matrices + (rounding * _largest_trace(matrices) + limits.tiny) * identity)
    if elsewhere is None:
        return root

    def repaired() -> Float[Array, "batch c c"]:
        shifted = matrices + rounding * elsewhere() * identity
        again = jnp.sqrt(shifted) if size == 1 else factors(shifted)
        return jnp.where(jnp.isfinite(jnp.sum(root, axis=(1, 2), keepdims=True)), root, again)

    return jax.lax.cond(jnp.all(jnp.isfinite(root)), lambda: root, repaired)


def curvature_elsewhere(examples: Examples, outputs: Float[Array, "batch c"]) -> Float[Array, ""]:
    """How large the terms are that make up the loss's curvature, however little their difference leaves of it here.

    The largest trace where the outputs are zero and no softmax has saturated, or the slope there over the size of the
    outputs, whichever is more: far out on a loss with tails (`sqrt(1 + r^2)`) there is no curvature at zero, either.
    Zero where the loss is not defined there.
    """

    def slopes(z: Float[Array, " c"], y: PyTree) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
        slope = jax.grad(examples.loss)(z, y)
        return slope, slope

    curvature, slope = jax.vmap(jax.jacfwd(slopes, has_aux=True))(jnp.zeros_like(outputs), examples.batch[1])
    curvature, slope = (jnp.where(jnp.isfinite(value), value, 0) for value in (curvature, slope))
    size = jnp.max(jnp.abs(outputs))
    return jnp.maximum(_largest_trace(curvature), jnp.max(jnp.abs(slope)) / jnp.where(size > 0, size, 1))


def _largest_trace(matrices: Float[Array, "batch c c"]) -> Float[Array, ""]:
    return jnp.max(jnp.trace(matrices, axis1=-2, axis2=-1))


def factors(matrices: Float[Array, "batch c c"]) -> Float[Array, "batch c c"]:
    """Cholesky factors, one matrix after the other; NaN where a matrix is not definite.

    Not `jnp.linalg.cholesky` of the batch: that shares its work among threads, and where two of them run at once on
    fewer threads than they ask for, jaxlib 0.10.2 waits for ever. One by one costs a third more at worst.
    """
    return jax.lax.map(jnp.linalg.cholesky, matrices)
