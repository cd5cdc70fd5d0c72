"""The interface of estimation, and what every estimator reads off in one pass."""

import abc
import math

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
        frobenius_norm=frobenius_norm(matrix),
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
    return jnp.finfo(matrix.dtype).eps * matrix.shape[0] ** 0.5 * frobenius_norm(matrix)


def beyond_rounding(system: System, log_condition_number: Float[Array, ""]) -> Bool[Array, ""]:
    """Whether rounding alone cannot have made a singular matrix look regular: `kappa eps sqrt(n) < 1`.

    A decomposition is exact for a matrix within a small multiple of `eps ||A||` of the one given, so neither a smallest
    eigenvalue that comes out positive nor a Cholesky factorisation that succeeds shows anything above this kappa.
    """
    matrix = system.matrix
    return log_condition_number < -math.log(jnp.finfo(matrix.dtype).eps * matrix.shape[0] ** 0.5)


def frobenius_norm(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    """Frobenius norm that neither underflows nor overflows: the squares of entries of 1e-20 are 0 in float32."""
    scale = power_of_two(matrix)
    return scale * jnp.linalg.norm(matrix / scale)


def power_of_two(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    """The largest power of two at or below the largest magnitude of an entry; division by it changes no digit.

    `exp2` would do in exact arithmetic, but XLA's does not return powers of two.
    """
    _, exponent = jnp.frexp(jnp.max(jnp.abs(matrix)))
    return jnp.ldexp(jnp.ones((), matrix.dtype), exponent - 1)
