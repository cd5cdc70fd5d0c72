"""The condition number from the whole spectrum."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.decompositions import singular_values, svd
from .._core.powers_of_two import unit_of
from .._core.records import Kind, System, SystemEstimate
from .._core.ritz import Krylov
from .base import (
    AbstractEstimator,
    assemble,
    beyond_rounding,
    norms_of,
    precision,
    proven_definite,
    rounding,
    told_or_bounded,
)
from .lanczos import start_vector

SMALL = 64
"""Rows up to which eigenvectors cost next to nothing, and the smallest eigenvalue is refined by its own."""
_VALUES_ALONE = 8
"""Times `precision` by which a decomposition's own eigenvalues are off; 11 units of rounding were seen."""


class Exact(AbstractEstimator):
    """All eigenvalues (symmetric) or singular values (general) by a dense decomposition, `O(n^3)`.

    Several times dearer than the solve itself: for small blocks, references and tests. Exact to 1 %, and where rounding
    leaves more of the smallest singular value open, the estimate's kind says so: an estimate to 5 %, and beyond that an
    upper bound that allows for rounding, by the floor where one is proven, infinite where nothing is. Up to 64 rows the
    smallest singular value is the Rayleigh quotient of its vector, ten times closer than the decomposition's own.
    """

    def __call__(self, system: System) -> SystemEstimate:
        """`sigma_max / sigma_min`; definite where the smallest eigenvalue is positive beyond rounding."""
        return by_decomposition(system.formed())


def by_decomposition(system: System, steps: int = 0) -> SystemEstimate:
    """Return the estimate of `Exact` for a system that stays as it is in the record, formed or not.

    Args:
        system: where it is not formed, its matrix is found by as many products as there are rows.
        steps: products of a Lanczos iteration that tells what iterative solvers would do; 0: none.
    """
    formed = _by_products(system)
    norms = norms_of(formed)
    scale = unit_of(norms.max_entry)
    matrix = formed.matrix / scale
    largest, smallest, positive, error = (_eigenvalues if system.symmetric else _singular_values)(matrix)
    slack = rounding(formed, norms) / scale
    lower = smallest - jnp.maximum(slack, error)
    proven = proven_definite(formed, norms)
    if system.eigenvalue_floor is not None:
        lower = jnp.maximum(lower, system.eigenvalue_floor / scale - slack)
    log_kappa, came_to = told_or_bounded(
        norms,
        largest=largest,
        smallest=smallest,
        error=error,
        upper=largest + jnp.maximum(slack, error),
        lower=lower,
        kind=Kind.EXACT,
    )
    recurrence, n = None, system.like.shape[0]
    if steps:
        krylov = Krylov.start(start_vector(system, 0), min(steps, n))
        recurrence = krylov.extended(lambda v: matrix @ v, 0, min(steps, n)).recurrence
    return assemble(
        system,
        norms if system.is_formed else norms._replace(degree=jnp.full_like(norms.degree, n), matvecs=n),
        spectral_norm=largest * scale,
        log_condition_number=log_kappa,
        definite=proven | (positive & beyond_rounding(system, jnp.log(largest / smallest))),
        kind=Kind.EXACT,
        sign=Kind.EXACT,
        matvecs=min(steps, n),
        recurrence=recurrence,
        came_to=came_to,
    )


def _by_products(system: System) -> System:
    if system.is_formed:
        return system
    matrix = jax.vmap(system.operator.mv)(jnp.eye(system.like.shape[0], dtype=system.like.dtype))
    return System.of((matrix + matrix.T) / 2, symmetric=True, eigenvalue_floor=system.eigenvalue_floor)


_Ends = tuple[Float[Array, ""], Float[Array, ""], Bool[Array, ""], Float[Array, ""]]
"""Largest and smallest singular value, whether all eigenvalues are positive, and the error of the smallest."""


def _eigenvalues(matrix: Float[Array, "n n"]) -> _Ends:
    if matrix.shape[0] > SMALL:
        values = jnp.linalg.eigvalsh(matrix)
        largest, smallest = jnp.max(jnp.abs(values)), jnp.min(jnp.abs(values))
        return largest, smallest, values[0] > 0, _VALUES_ALONE * precision(matrix.dtype, largest)
    values, vectors = jnp.linalg.eigh(matrix)
    largest = jnp.max(jnp.abs(values))
    vector = vectors[:, jnp.argmin(jnp.abs(values))]
    # The error of a Rayleigh quotient is the square of the vector's.
    image = jnp.matmul(matrix, vector, precision=jax.lax.Precision.HIGHEST)
    quotient = jnp.vdot(vector, image) / jnp.vdot(vector, vector)
    # Of a negative eigenvalue that the quotient moves across zero nothing is known but that it is next to zero.
    return largest, jnp.abs(quotient), (values[0] > 0) & (quotient > 0), precision(matrix.dtype, largest)


def _singular_values(matrix: Float[Array, "n n"]) -> _Ends:
    nobody = jnp.zeros((), bool)
    if matrix.shape[0] > SMALL:
        values = singular_values(matrix)
        return values.max(), values.min(), nobody, _VALUES_ALONE * precision(matrix.dtype, values.max())
    _, values, vectors = svd(matrix)
    image = jnp.matmul(matrix, vectors[-1], precision=jax.lax.Precision.HIGHEST)
    smallest = jnp.linalg.norm(image) / jnp.linalg.norm(vectors[-1])
    return values.max(), smallest, nobody, precision(matrix.dtype, values.max())
