"""Reliable ends of a formed matrix's spectrum: found by Lanczos, confirmed by Cholesky."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.ritz import ritz_values

_STEPS, _SOLVES, _TRIES = 32, 12, 40
_SEED = 0


# Compiled once per shape, also where conditioners are called one by one.
@jax.jit
def lowest_eigenvalue(matrix: Float[Array, "n n"], tolerance: float = 1e-2) -> Float[Array, ""]:
    """Return a close lower bound on the smallest eigenvalue of a matrix with entries of the order of 1.

    Ritz values lie above the truth. So the matrix is shifted until a Cholesky factorisation shows it definite, Lanczos
    on the inverse of that finds the smallest eigenvalue, and a second factorisation confirms that nothing lies below;
    where it fails, the bound is lowered and tried again. Rigorous but for the rounding of the factorisation, which is
    within a small multiple of `n eps ||A||`.

    Args:
        matrix: symmetric.
        tolerance: by what fraction of the largest magnitude among the eigenvalue itself and what separates it from the
            first shift the bound may lie below the estimate; a failed confirmation doubles it.

    Returns:
        The bound; NaN for a matrix that is not finite.
    """
    n = matrix.shape[0]
    eye = jnp.eye(n, dtype=matrix.dtype)
    start = jax.random.normal(jax.random.key(_SEED), (n,), matrix.dtype)
    ritz = ritz_values(lambda v: matrix @ v, start, _STEPS)
    limits = jnp.finfo(matrix.dtype)
    # Of a zero matrix, too, the shift has to start somewhere; the inverse's entries are squared below.
    rounding = n * limits.eps * jnp.max(jnp.abs(ritz)) + limits.tiny**0.25

    def definite(shift: Float[Array, ""]) -> tuple[Array, Array]:
        factor = jax.lax.linalg.cholesky(matrix + shift * eye, symmetrize_input=False)
        return factor, jnp.all(jnp.isfinite(factor))

    def until_definite(shift: Float[Array, ""], margin: Float[Array, ""]) -> tuple[Array, Array]:
        """Return the first shift `shift + margin (1, 2, 4, ...)` that makes the matrix definite, and the factor."""

        def failing(carry: tuple) -> Array:
            count, _, _, success = carry
            return ~success & (count < _TRIES) & jnp.isfinite(rounding)

        def proceed(carry: tuple) -> tuple:
            count, step, _, _ = carry
            return count + 1, 2 * step, *definite(shift + 2 * step)

        _, step, factor, _ = jax.lax.while_loop(failing, proceed, (0, margin, *definite(shift + margin)))
        return shift + step, factor

    spread = ritz[-1] - ritz[0]
    shift, factor = until_definite(-ritz[0], 1e-2 * spread + rounding)
    inverse = ritz_values(lambda v: jax.scipy.linalg.cho_solve((factor, True), v), start, _SOLVES)[-1]
    lowest = jnp.minimum(1 / inverse - shift, ritz[0])
    bound, _ = until_definite(-lowest, tolerance * jnp.maximum(jnp.abs(lowest), 1 / inverse / 8) + rounding)
    return jnp.where(jnp.isfinite(rounding), -bound, jnp.nan)


def gershgorin(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    """Return `min_i (a_ii - sum_j |a_ij|)`, at most every eigenvalue; exact for unit diagonals, one partner per row."""
    magnitudes = jnp.abs(matrix)
    diagonal = jnp.diagonal(matrix)
    return jnp.min(diagonal + jnp.abs(diagonal) - jnp.sum(magnitudes, axis=1))
