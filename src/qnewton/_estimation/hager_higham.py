"""The 1-norm condition number from a factorisation, by a few solves."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, lu_factor, lu_solve
from jaxtyping import Array, Float, Int

from .._core.powers_of_two import unit_of
from .._core.records import Kind, System, SystemEstimate
from .base import AbstractEstimator, assemble, beyond_rounding, norms_of

Solve = Callable[[Float[Array, " n"]], Float[Array, " n"]]

_MOST_ROUNDS = 5


def inverse_norm_1(solve: Solve, solve_transpose: Solve, like: jax.ShapeDtypeStruct) -> tuple[Array, Int[Array, ""]]:
    """Return a lower bound on `||A^-1||_1` from solves with a factor of `A`, usually within a factor of 3.

    Hager (1984) as refined in N. Higham, "FORTRAN codes for estimating the one-norm of a real or complex matrix", ACM
    Trans. Math. Softw. 14 (1988), algorithm 4.1: the gradient of `||A^-1 x||_1` leads from unit vector to unit vector
    until it no longer rises, and one vector of alternating signs guards against cancellation.

    Args:
        solve: `A^-1 b` for `b` `[n]`.
        solve_transpose: `A^-T b`.
        like: shape `[n]` and dtype of the vectors.

    Returns:
        The bound, NaN where a solve gives NaN; and the number of solves.
    """
    n, dtype = like.shape[0], like.dtype

    def goes_on(carry: tuple[Array, ...]) -> Array:
        return carry[-1]

    def climb(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        best, signs, column, solves, _ = carry
        gradient = solve_transpose(signs)
        steepest = jnp.argmax(jnp.abs(gradient))
        y = solve(jnp.zeros(n, dtype).at[steepest].set(1))
        found, turned = jnp.sum(jnp.abs(y)), _signs(y)
        more = (found > best) & jnp.any(turned != signs) & (steepest != column) & (solves < 2 * _MOST_ROUNDS - 1)
        return jnp.maximum(best, found), turned, steepest, solves + 2, more

    y = solve(jnp.full(n, 1 / n, dtype))
    first = (jnp.sum(jnp.abs(y)), _signs(y), jnp.asarray(-1), jnp.int32(1), jnp.asarray(n > 1))
    best, *_, solves, _ = jax.lax.while_loop(goes_on, climb, first)
    places = jnp.arange(n, dtype=dtype)
    alternating = (-1) ** places * (1 + places / max(n - 1, 1))
    # ||alternating||_1 is 3 n / 2.
    guard = jnp.sum(jnp.abs(solve(alternating))) * 2 / (3 * n) if n > 1 else best
    return jnp.maximum(best, guard), solves + (n > 1)


def _signs(vector: Float[Array, " n"]) -> Float[Array, " n"]:
    return jnp.where(vector >= 0, 1, -1).astype(vector.dtype)


class HagerHigham(AbstractEstimator):
    """Estimate `||A||_1 ||A^-1||_1` from one factorisation, as LAPACK's condition estimators report it.

    A condition number in the 1-norm, which can differ from that in the 2-norm by a factor of n either way, and as a
    rule is a few times larger: an estimate of its order, at the price of a handful of solves once a factor exists
    (`inverse_norm_1` takes one that does), and of the kind `rough`. A Cholesky factor where that succeeds, else LU.
    """

    def __call__(self, system: System) -> SystemEstimate:
        """Estimate; definite if the Cholesky factorisation succeeds beyond the effect of rounding."""
        system = system.formed()
        norms, like = norms_of(system), system.like
        scale = unit_of(system.matrix)
        matrix = system.matrix / scale

        def by_lu() -> tuple[Array, Array]:
            factor = lu_factor(matrix)
            return inverse_norm_1(lambda b: lu_solve(factor, b), lambda b: lu_solve(factor, b, trans=1), like)

        if system.symmetric:
            triangle = jnp.linalg.cholesky(matrix, symmetrize_input=False)
            factored = jnp.all(jnp.isfinite(triangle))

            def by_cholesky() -> tuple[Array, Array]:
                def solve(b: Float[Array, " n"]) -> Float[Array, " n"]:
                    return cho_solve((triangle, True), b)

                return inverse_norm_1(solve, solve, like)

            inverse, solves = jax.lax.cond(factored, by_cholesky, by_lu)
        else:
            factored = jnp.zeros((), bool)
            inverse, solves = by_lu()
        log_kappa = jnp.log(jnp.max(jnp.sum(jnp.abs(matrix), axis=0))) + jnp.log(inverse)
        return assemble(
            system,
            norms,
            # Of a symmetric matrix, and within sqrt(n) of any other, the least norm at hand.
            spectral_norm=jnp.minimum(norms.frobenius, jnp.max(jnp.sum(jnp.abs(matrix), axis=0)) * scale)
            if system.symmetric
            else norms.frobenius,
            log_condition_number=log_kappa,
            definite=factored & beyond_rounding(system, log_kappa),
            kind=Kind.ROUGH,
            ends=(Kind.BOUND, Kind.ROUGH),
            matvecs=solves,
        )
