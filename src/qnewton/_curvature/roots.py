"""Square roots of the curvature in the outputs, for all examples at once."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._core.traces import trace
from .examples import Examples


def batched_root(
    matrices: Float[Array, "batch c c"], elsewhere: Float[Array, ""] | None = None
) -> Float[Array, "batch c c"]:
    """Lower triangular `L` with `L L^T = D + delta I`, `delta` of the order of rounding, for semidefinite `D`.

    The curvature of cross-entropy is singular, so a plain Cholesky factorisation would fail on rounding. That is as
    large for an example whose softmax has saturated as for the others, although its `D` is small: `delta` goes with the
    largest of the batch. An indefinite `D` (a loss that is not convex in the outputs) gives NaN.

    Args:
        matrices: `D`, in any unit.
        elsewhere: the largest trace that `D` has at other outputs, as of `curvature_and_terms`. Where the softmax of
            the whole batch has saturated none of its own is as large as the rounding, and a root that fails is tried
            again with a `delta` of that; None leaves NaN.
    """
    size = matrices.shape[-1]
    limits, identity = jnp.finfo(matrices.dtype), jnp.eye(size, dtype=matrices.dtype)
    rounding = 8 * size * limits.eps
    own = jnp.zeros((), matrices.dtype) if size == 1 else rounding * jnp.max(trace(matrices)) + limits.tiny

    def root_with(delta: Float[Array, ""]) -> Float[Array, "batch c c"]:
        shifted = matrices + delta * identity
        return jnp.sqrt(shifted) if size == 1 else factors(shifted)

    if elsewhere is None:
        return root_with(own)
    wider = rounding * elsewhere.astype(own.dtype)

    def proceed(state: tuple[Float[Array, "batch c c"], Int[Array, ""]]) -> Bool[Array, ""]:
        root, tried = state
        return (tried == 0) | (tried == 1) & ~jnp.all(jnp.isfinite(root))

    def attempt(state: tuple[Float[Array, "batch c c"], Int[Array, ""]]) -> tuple[Array, Array]:
        root, tried = state
        again = root_with(jnp.where(tried == 0, own, wider))
        return jnp.where(jnp.isfinite(jnp.sum(root, axis=(1, 2), keepdims=True)), root, again), tried + 1

    # A loop, so that the factorisation is compiled once.
    start = jnp.full_like(matrices, jnp.nan), jnp.zeros((), jnp.int32)
    return jax.lax.while_loop(proceed, attempt, start)[0]


def curvature_and_terms(
    examples: Examples, outputs: Float[Array, "batch c"]
) -> tuple[Float[Array, "batch c c"], Float[Array, "batch c"], Float[Array, ""]]:
    """Hessian and slope of every example's loss in its outputs, and how large the terms are that make up the former.

    They may be large however little their difference leaves of them here. The largest trace where the outputs are zero
    and no softmax has saturated, or the slope there over the size of the outputs, whichever is more: far out on a loss
    with tails (`sqrt(1 + r^2)`) there is no curvature at zero, either. Zero where the loss is not defined there.
    """

    def slopes(z: Float[Array, " c"], y: PyTree) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
        slope = jax.grad(examples.loss)(z, y)
        return slope, slope

    # At both outputs by one program: two would compile the same twice.
    both = jax.vmap(jax.vmap(jax.jacfwd(slopes, has_aux=True)), in_axes=(0, None))
    (curvature, at_zero), (slope, slope_at_zero) = both(
        jnp.stack([outputs, jnp.zeros_like(outputs)]), examples.batch[1]
    )
    size = jnp.max(jnp.abs(outputs))
    steepness = jnp.max(jnp.abs(slope_at_zero), axis=1) / jnp.where(size > 0, size, 1)
    terms = jnp.stack([trace(at_zero), steepness])
    return curvature, slope, jnp.max(jnp.where(jnp.isfinite(terms), terms, 0))


def factors(matrices: Float[Array, "batch c c"]) -> Float[Array, "batch c c"]:
    """Cholesky factors, one matrix after the other; NaN where a matrix is not definite.

    Not `jnp.linalg.cholesky` of the batch: that shares its work among threads, and where two of them run at once on
    fewer threads than they ask for, jaxlib 0.10.2 waits for ever. One by one costs a third more at worst.
    """
    return jax.lax.map(jnp.linalg.cholesky, matrices)
