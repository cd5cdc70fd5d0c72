"""A rigorous upper bound on the condition number from norms, for matrices with a proven eigenvalue floor."""

import jax.numpy as jnp

from .._core.records import Kind, System, SystemEstimate
from .base import AbstractEstimator, assemble, floor_of, norms_of, proven_definite, rounding


class Certified(AbstractEstimator):
    """Bound `kappa <= min(||A||_F, ||A||_inf, tr A) / floor`, from one pass over the matrix.

    The three norms bound the largest eigenvalue of a positive semidefinite matrix from above; the floor is what
    damping added to a block that is semidefinite by construction. Both ends give way to an allowance for rounding
    (`_estimation.base.rounding`), so the bound holds for the matrix as stored. Of a system that was not formed only the
    trace is at hand, which is several times looser where many eigenvalues count.
    """

    def needs_matrix(self, *, floor: bool) -> bool:
        return False

    @property
    def needs_floor(self) -> bool:
        return True

    def __call__(self, system: System) -> SystemEstimate:
        """The bound; infinite where the floor does not exceed the rounding allowance.

        Raises:
            ValueError: if the system has no eigenvalue floor.
        """
        floor = floor_of(system, self)
        norms = norms_of(system)
        slack = rounding(system, norms)
        upper = norms.upper + slack
        definite = proven_definite(system, norms)
        lower = jnp.where(definite, floor - slack, 1)
        return assemble(
            system,
            norms,
            spectral_norm=upper,
            # Not the difference of the logarithms, whose rounding grows with the scale of the matrix.
            log_condition_number=jnp.where(definite, jnp.log(upper / lower), jnp.inf),
            definite=definite,
            kind=Kind.CERTIFIED,
            sign=Kind.CERTIFIED,
        )
