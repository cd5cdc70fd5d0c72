"""The paper's estimator: condition number from determinant and Frobenius norm, in correct form and log domain.

Both bounds are exponentially loose in n for a spread spectrum (1e2000 where the truth is 5e3, at n = 1024): they are
here because the paper uses them, and never a default.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.records import Kind, System, SystemEstimate
from .base import AbstractEstimator, assemble, norms_of


def log_bound_general(
    n: int, log_abs_determinant: Float[Array, ""], log_frobenius_norm: Float[Array, ""]
) -> Float[Array, ""]:
    """Return `ln` of the best upper bound on kappa from n, determinant and Frobenius norm, for any square matrix.

    With `y = (n / ||A||_F^2)^n |det A|^2`: `kappa <= (1 + sqrt(1 - y)) / sqrt(y)`, Merikoski, Urpala, Virtanen, Tam and
    Uhlig (1997), in a form without cancellation. Source: N. Higham, "Bounds for the Matrix Condition Number" (2021).

    Args:
        n: rows.
        log_abs_determinant: `ln |det A|`.
        log_frobenius_norm: `ln ||A||_F`.
    """
    log_y = jnp.minimum(n * math.log(n) - 2 * n * log_frobenius_norm + 2 * log_abs_determinant, 0)
    return jnp.log1p(jnp.sqrt(-jnp.expm1(log_y))) - log_y / 2


def log_bound_definite(n: int, log_determinant: Float[Array, ""], log_trace: Float[Array, ""]) -> Float[Array, ""]:
    """Return `ln` of an upper bound on kappa for a positive definite matrix, usually far tighter.

    With `z = (n / tr A)^n det A`: `kappa <= (1 + sqrt(1 - z))^2 / z`, Merikoski et al. (1997), without cancellation.
    Never above twice `log_bound_general`'s bound.

    Args:
        n: rows.
        log_determinant: `ln det A`.
        log_trace: `ln tr A`.
    """
    log_z = jnp.minimum(n * math.log(n) - n * log_trace + log_determinant, 0)
    return 2 * jnp.log1p(jnp.sqrt(-jnp.expm1(log_z))) - log_z


class DeterminantNorm(AbstractEstimator):
    """Upper bound for any nonsingular matrix from its determinant and Frobenius norm (`log_bound_general`)."""

    def __call__(self, system: System) -> SystemEstimate:
        """Return the bound; definiteness stays unknown, so candidates that need it are not allowed."""
        system = system.formed()
        norms = norms_of(system)
        _, log_determinant = jnp.linalg.slogdet(system.matrix)
        return assemble(
            system,
            norms,
            spectral_norm=norms.frobenius,
            log_condition_number=log_bound_general(system.like.shape[0], log_determinant, jnp.log(norms.frobenius)),
            definite=False,
            kind=Kind.BOUND,
            # A Frobenius norm over a bound on kappa bounds nothing.
            ends=(Kind.BOUND, Kind.ESTIMATE),
        )


class DefiniteDeterminantNorm(AbstractEstimator):
    """Upper bound for a positive definite matrix from determinant and trace, usually tighter (`log_bound_definite`).

    Whether the matrix is definite is found by the Cholesky factorisation that also gives the determinant; where it
    fails the condition number is infinite, since the bound does not hold.
    """

    @property
    def needs_symmetric(self) -> bool:
        return True

    def __call__(self, system: System) -> SystemEstimate:
        """The bound.

        Raises:
            ValueError: if the system is not symmetric.
        """
        if not system.symmetric:
            raise ValueError(
                "DefiniteDeterminantNorm needs a symmetric matrix, and this system was pruned row by row: use "
                "DeterminantNorm, or Prune instead of PruneRows"
            )
        system = system.formed()
        norms, matrix = norms_of(system), system.matrix
        factor = jnp.linalg.cholesky(matrix)
        definite = jnp.all(jnp.isfinite(factor))
        log_determinant = 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))
        bound = log_bound_definite(matrix.shape[0], log_determinant, jnp.log(jnp.trace(matrix)))
        return assemble(
            system,
            norms,
            spectral_norm=norms.frobenius,
            log_condition_number=jnp.where(definite, bound, jnp.inf),
            definite=definite,
            kind=Kind.BOUND,
            # A Frobenius norm over a bound on kappa bounds nothing.
            ends=(Kind.BOUND, Kind.ESTIMATE),
        )
