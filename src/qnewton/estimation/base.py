"""The interface of estimation, and what every estimator reads off in one pass."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..core.records import Kind, System, SystemEstimate


class AbstractEstimator(eqx.Module):
    """A way to find a system's condition number."""

    @abc.abstractmethod
    def __call__(self, system: System) -> SystemEstimate:
        """Estimate; pure and jittable. A matrix that is not finite or singular gives an infinite condition number."""


def assemble(
    system: System,
    *,
    spectral_norm: Float[Array, ""],
    log_condition_number: Float[Array, ""],
    definite: Bool[Array, ""] | bool,
    kind: Kind,
) -> SystemEstimate:
    """Join an estimator's findings with what one pass over the matrix gives."""
    matrix = system.matrix
    log_kappa = jnp.asarray(log_condition_number, matrix.dtype)
    return SystemEstimate(
        n=matrix.shape[0],
        degree=jnp.max(jnp.count_nonzero(matrix, axis=1)),
        max_entry=jnp.max(jnp.abs(matrix)),
        frobenius_norm=jnp.linalg.norm(matrix),
        spectral_norm=jnp.asarray(spectral_norm, matrix.dtype),
        # kappa >= 1 by definition; rounding may say otherwise at kappa = 1, and NaN means that nothing is known.
        log_condition_number=jnp.where(jnp.isnan(log_kappa), jnp.inf, jnp.maximum(log_kappa, 0)),
        definite=jnp.asarray(definite, bool),
        kind=kind,
    )


def proven_definite(system: System) -> Bool[Array, ""]:
    """Whether the eigenvalue floor alone, less an allowance for rounding, shows the matrix positive definite."""
    if system.eigenvalue_floor is None:
        return jnp.zeros((), bool)
    return system.eigenvalue_floor > rounding(system)


def rounding(system: System) -> Float[Array, ""]:
    """Allowance for how far rounding in forming the matrix can move an eigenvalue: `eps sqrt(n) ||A||_F`.

    A perturbation moves no eigenvalue by more than its Frobenius norm (Weyl). Entries summed in floating point carry
    a relative error of a few ulp that grows no faster than the square root of the length in practice.
    """
    matrix = system.matrix
    return jnp.finfo(matrix.dtype).eps * matrix.shape[0] ** 0.5 * jnp.linalg.norm(matrix)
