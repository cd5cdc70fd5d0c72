"""The condition number from the whole spectrum."""

import jax.numpy as jnp

from ..core.records import Kind, System, SystemEstimate
from .base import AbstractEstimator, assemble, beyond_rounding, norms_of


class Exact(AbstractEstimator):
    """All eigenvalues (symmetric) or singular values (general) by a dense decomposition, `O(n^3)`.

    Several times dearer than the solve itself: for small blocks, references and tests. "Exact" means to rounding: a
    singular value below about `eps ||A||` cannot be told from zero.
    """

    def __call__(self, system: System) -> SystemEstimate:
        """`sigma_max / sigma_min`; definite where the smallest eigenvalue is positive beyond rounding."""
        system = system.formed()
        if system.symmetric:
            eigenvalues = jnp.linalg.eigvalsh(system.matrix)
            singular = jnp.abs(eigenvalues)
            positive = eigenvalues[0] > 0
        else:
            singular = jnp.linalg.svd(system.matrix, compute_uv=False)
            positive = False
        log_kappa = jnp.log(singular.max()) - jnp.log(singular.min())
        return assemble(
            system,
            norms_of(system),
            spectral_norm=singular.max(),
            log_condition_number=log_kappa,
            definite=positive & beyond_rounding(system, log_kappa),
            kind=Kind.EXACT,
            sign=Kind.EXACT,
        )
