"""Condition numbers from Ritz values: Lanczos on the matrix, and on its inverse."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.powers_of_two import unit_of
from .._core.records import Kind, System, SystemEstimate
from .._core.ritz import Krylov, Matvec, ritz_values
from .base import (
    AbstractEstimator,
    assemble,
    beyond_rounding,
    norms_of,
    precision,
    proven_definite,
    told_or_bounded,
)

_CLOSE = 0.025
"""Relative error of a Ritz value that is taken for an eigenvalue."""


def start_vector(system: System, seed: int) -> Float[Array, " n"]:
    """Return a random vector `[n]` whose direction is uniform on the sphere."""
    # A fixed key: a run must give the same decisions twice. The vector is independent of the matrix all the same.
    return jax.random.normal(jax.random.key(seed), system.like.shape, system.like.dtype)


class Lanczos(AbstractEstimator):
    """Both ends of the spectrum by Lanczos: an estimate from below, never a bound.

    For positive definite matrices. The large end converges in a few steps; the small end is the eigenvalue floor
    where one is proven, else the smallest Ritz value, which needs about `sqrt(kappa)` steps to be right. The kind is an
    estimate where the residuals of both ends, and at the small one the floor, say so, and else `rough`. For
    indefinite matrices the singular value next to zero is invisible to it: the condition number is then infinite,
    provided that a Ritz value is negative. All of them can be positive when an eigenvalue is not, so only a proven
    floor shows the matrix definite.

    Attributes:
        steps: matrix-vector products.
        seed: of the start vector.
    """

    steps: int = eqx.field(static=True, default=32)
    seed: int = eqx.field(static=True, default=0)

    def needs_matrix(self, *, floor: bool) -> bool:
        return False

    @property
    def needs_symmetric(self) -> bool:
        return True

    def __call__(self, system: System) -> SystemEstimate:
        """The estimate.

        Raises:
            ValueError: if the system is not symmetric.
        """
        if not system.symmetric:
            raise ValueError(
                "Lanczos needs a symmetric matrix, and this system was pruned row by row: use InverseLanczos, or Prune "
                "instead of PruneRows"
            )
        norms = norms_of(system)
        scale = unit_of(norms.max_entry)
        operator = system.operator
        most = min(self.steps, system.like.shape[0])
        krylov = Krylov.start(start_vector(system, self.seed), most)
        krylov = krylov.extended(lambda v: operator.mv(v / scale), 0, most)
        values, residuals = krylov.ritz(most)
        floor = system.eigenvalue_floor
        lower = values[0] if floor is None else jnp.where(jnp.isfinite(floor), floor / scale, values[0])
        # The rounding that residuals allow for is in the smallest Ritz value as well.
        open_end = jnp.maximum(residuals[0], jnp.abs(values[0] - lower))
        sure = (open_end <= _CLOSE * lower) & (residuals[-1] <= _CLOSE * values[-1])
        return assemble(
            system,
            norms,
            spectral_norm=jnp.max(jnp.abs(values)) * scale,
            log_condition_number=jnp.where(lower > 0, jnp.log(values[-1]) - jnp.log(lower), jnp.inf),
            definite=proven_definite(system, norms),
            kind=Kind.ESTIMATE,
            ends=(Kind.ESTIMATE, Kind.ESTIMATE if floor is None else Kind.BOUND),
            sign=Kind.CERTIFIED,
            matvecs=most,
            recurrence=krylov.recurrence,
            came_to=jnp.where(sure, Kind.ESTIMATE.place, Kind.ROUGH.place),
        )


def inverse_norm(
    matrix: Float[Array, "n n"], start: Float[Array, " n"], solves: int
) -> tuple[Float[Array, ""], Bool[Array, ""], Int[Array, ""]]:
    """`||A^-1||_2` of a symmetric matrix, from below, by Lanczos through a factor.

    Where the Ritz value has not settled after `solves` it goes on to three times as many.

    Returns:
        The norm, whether Cholesky's factorisation succeeded, and the number of solves.
    """
    # LAPACK wants columns where XLA keeps rows: of the transpose, which is the matrix, it takes them as they lie, and a
    # branch that is not taken does not copy the matrix.
    triangle = jnp.linalg.cholesky(matrix.T, symmetrize_input=False)
    definite = jnp.all(jnp.isfinite(triangle))
    factor, permutation = jax.lax.cond(
        definite,
        lambda: (triangle, jnp.arange(matrix.shape[0], dtype=jnp.int32)),
        lambda: tuple(jax.lax.linalg.lu(matrix.T)[::2]),
    )

    def solve(v: Float[Array, " n"]) -> Float[Array, " n"]:
        # One iteration for both factors, since compiling it takes longer than most runs of it.
        return jax.lax.cond(definite, _by_cholesky, _by_lu, factor, permutation, v)

    found, taken = _largest_magnitude(solve, start, solves)
    return found, definite, taken


def _by_cholesky(factor: Float[Array, "n n"], _: Int[Array, " n"], v: Float[Array, " n"]) -> Float[Array, " n"]:
    return jax.scipy.linalg.cho_solve((factor, True), v)


def _by_lu(factor: Float[Array, "n n"], permutation: Int[Array, " n"], v: Float[Array, " n"]) -> Float[Array, " n"]:
    half = jax.scipy.linalg.solve_triangular(factor, v[permutation], lower=True, unit_diagonal=True)
    return jax.scipy.linalg.solve_triangular(factor, half, lower=False)


def _largest_magnitude(matvec: Matvec, start: Float[Array, " n"], steps: int) -> tuple[Array, Int[Array, ""]]:
    """The largest magnitude of a Ritz value once its error is small, or after three times as many steps."""
    n = start.shape[0]
    first, last = min(steps, n), min(3 * steps, n)

    def look(krylov: Krylov, size: int) -> tuple[Array, Array]:
        values, residuals = krylov.ritz(size)
        place = jnp.argmax(jnp.abs(values))
        apart = jnp.abs(values - values[place]).at[place].set(jnp.inf)
        # The error of a Ritz value is the square of its residual over the distance to the rest of the spectrum, of
        # which the other Ritz values tell (Parlett 1998, theorem 11.7.1).
        error = residuals[place] * jnp.minimum(residuals[place] / jnp.min(apart), 1)
        return jnp.abs(values[place]), error

    krylov = Krylov.start(start, last).extended(matvec, 0, first)
    value, error = look(krylov, first)
    if first == last:
        return value, krylov.steps

    def further() -> tuple[Array, Array]:
        longer = krylov.extended(matvec, first, last)
        return look(longer, last)[0], longer.steps

    # NaN goes no further.
    return jax.lax.cond(error > _CLOSE * value, further, lambda: (value, krylov.steps))


class InverseLanczos(AbstractEstimator):
    """Lanczos on the matrix and on its inverse through one factorisation: close from below for every matrix.

    Both extreme singular values are the large end of one of the two spectra, where Lanczos converges fastest
    (Kuczynski and Wozniakowski 1992), so indefinite matrices are no harder than definite ones. An unsymmetric matrix
    is replaced by `A^T A`. A symmetric one is tried with Cholesky, whose success also shows it definite unless it is
    numerically singular; LU serves where that fails. A Ritz value that may be 2.5 % off is given three times as many
    solves. Where the smallest singular value is rounding the condition number is infinite.

    Attributes:
        steps: matrix-vector products with the matrix (twice as many where it is unsymmetric).
        solves: solves with the factor (twice as many where it is unsymmetric); the dear part besides the factor.
        seed: of the start vector.
    """

    steps: int = eqx.field(static=True, default=24)
    solves: int = eqx.field(static=True, default=8)
    seed: int = eqx.field(static=True, default=0)

    def __call__(self, system: System) -> SystemEstimate:
        """The estimate."""
        system, n = system.formed(), system.like.shape[0]
        norms = norms_of(system)
        # Keeps the squares of small or large matrices inside the floating-point range.
        scale = unit_of(norms.max_entry)
        find = self._symmetric if system.symmetric else self._general
        norm, inverse_norm, definite, solves = find(system.matrix / scale, start_vector(system, self.seed))
        found = jnp.log(norm) + jnp.log(inverse_norm)
        log_kappa, came_to = told_or_bounded(
            norms,
            largest=norm,
            smallest=1 / inverse_norm,
            error=precision(system.like.dtype, norm),
            upper=norm,
            lower=jnp.zeros_like(norm),
        )
        return assemble(
            system,
            norms,
            spectral_norm=norm * scale,
            log_condition_number=log_kappa,
            definite=definite & beyond_rounding(system, found),
            kind=Kind.ESTIMATE,
            matvecs=(1 if system.symmetric else 2) * (min(self.steps, n) + solves),
            came_to=came_to,
        )

    def _symmetric(self, matrix: Float[Array, "n n"], start: Float[Array, " n"]) -> tuple[Array, ...]:
        norm = jnp.max(jnp.abs(ritz_values(lambda v: matrix @ v, start, self.steps)))
        return norm, *inverse_norm(matrix, start, self.solves)

    def _general(self, matrix: Float[Array, "n n"], start: Float[Array, " n"]) -> tuple[Array, ...]:
        factor, _, permutation = jax.lax.linalg.lu(matrix)

        def inverse_gram(v: Float[Array, " n"]) -> Float[Array, " n"]:
            half = jax.scipy.linalg.solve_triangular(factor, v, trans=1, lower=False)
            back = jax.scipy.linalg.solve_triangular(factor, half, trans=1, lower=True, unit_diagonal=True)
            return _by_lu(factor, permutation, jnp.zeros_like(back).at[permutation].set(back))

        gram_norm = ritz_values(lambda v: matrix.T @ (matrix @ v), start, self.steps)[-1]
        inverse_gram_norm, solves = _largest_magnitude(inverse_gram, start, self.solves)
        return jnp.sqrt(gram_norm), jnp.sqrt(inverse_gram_norm), jnp.zeros((), bool), solves
