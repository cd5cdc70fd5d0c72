"""Ritz values, the one computation that conditioning and estimation share."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from matfree import decomp

Matvec = Callable[[Float[Array, " n"]], Float[Array, " n"]]


def ritz_values(matvec: Matvec, start: Float[Array, " n"], steps: int) -> Float[Array, " k"]:
    """Ritz values of a symmetric operator after `min(steps, n)` Lanczos steps, ascending.

    Extreme Ritz values lie inside the spectrum. matfree's iteration runs on past an invariant subspace, where the
    tridiagonal matrix turns into noise; here it is cut at the first off-diagonal entry below `sqrt(eps) ||T||`, and
    the values behind the cut are replaced by the first diagonal entry, which lies inside the spectrum.

    Args:
        matvec: the operator `[n] -> [n]`.
        start: start vector `[n]`, not zero.
        steps: matrix-vector products.
    """
    n = start.shape[0]
    if n == 1:
        return matvec(jnp.ones_like(start))
    steps = min(steps, n)
    tridiagonal = jnp.asarray(decomp.tridiag_sym(steps, custom_vjp=False)(matvec, start).J_small)
    diagonal, beside = jnp.diagonal(tridiagonal), jnp.diagonal(tridiagonal, 1)
    # Noise behind a breakdown can dwarf ||T||, so the scale at each row is that of the rows up to it.
    scale = jnp.sqrt(jnp.finfo(start.dtype).eps) * jax.lax.cummax(jnp.abs(diagonal)[:-1])
    alive = jnp.cumprod(jnp.abs(beside) > scale).astype(bool)
    diagonal = jnp.where(jnp.concatenate([jnp.ones(1, bool), alive]), diagonal, diagonal[0])
    beside = jnp.where(alive, beside, 0)
    return jnp.linalg.eigvalsh(jnp.diag(diagonal) + jnp.diag(beside, 1) + jnp.diag(beside, -1))
