"""A rigorous upper bound on the condition number from norms, for matrices with a proven eigenvalue floor."""

import jax.numpy as jnp

from ..core.records import Kind, System, SystemEstimate
from .base import AbstractEstimator, assemble, frobenius_norm, proven_definite, rounding


class Certified(AbstractEstimator):
    """`kappa <= min(||A||_F, ||A||_inf, tr A) / floor`, one pass over the matrix.

    The three norms bound the largest eigenvalue of a positive semidefinite matrix from above; the floor is what
    damping added to a block that is semidefinite by construction. Both ends give way to an allowance for rounding
    (`estimation.base.rounding`), so the bound holds for the matrix as stored.
    """

    def __call__(self, system: System) -> SystemEstimate:
        """The bound; infinite where the floor does not exceed the rounding allowance.

        Raises:
            ValueError: if the system has no eigenvalue floor.
        """
        if system.eigenvalue_floor is None:
            raise ValueError(
                "Certified needs a proven eigenvalue floor, which this system lost or never had: an exact Hessian is "
                "indefinite in general and pruning voids definiteness. Use GaussNewton without pruning, or the "
                "estimators Automatic, InverseLanczos or Exact"
            )
        matrix, slack = system.matrix, rounding(system)
        norms = (frobenius_norm(matrix), jnp.max(jnp.sum(jnp.abs(matrix), axis=1)), jnp.trace(matrix))
        upper = jnp.min(jnp.stack(norms)) + slack
        definite = proven_definite(system)
        lower = jnp.where(definite, system.eigenvalue_floor - slack, 1)
        return assemble(
            system,
            spectral_norm=upper,
            # Not the difference of the logarithms, whose rounding grows with the scale of the matrix.
            log_condition_number=jnp.where(definite, jnp.log(upper / lower), jnp.inf),
            definite=definite,
            kind=Kind.CERTIFIED,
        )
