"""The interface of estimation, and the norms that every estimator reads in one pass."""

import abc
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float, Int

from .._core.operators import access_of, max_entry
from .._core.powers_of_two import norm
from .._core.records import Kind, Kinds, System, SystemEstimate
from .._core.recurrence import Recurrence


class AbstractEstimator(eqx.Module):
    """A way to find a system's condition number."""

    @abc.abstractmethod
    def __call__(self, system: System) -> SystemEstimate:
        """Estimate; pure and jittable. A singular matrix or one that is not finite gives an infinite condition number.

        A system that was not formed stays so where products suffice, and is formed where they do not
        (`needs_matrix`).
        """

    def needs_matrix(self, *, floor: bool) -> bool:
        """Return whether a symmetric system has to be formed for the estimator.

        Args:
            floor: whether the system has an eigenvalue floor.
        """
        return True

    @property
    def needs_floor(self) -> bool:
        """Whether it rests on a proven eigenvalue floor, and refuses a system without one."""
        return False

    @property
    def needs_symmetric(self) -> bool:
        """Whether it refuses a system that is not symmetric."""
        return False


class Norms(NamedTuple):
    """Norms from one pass over a matrix, or from a few products without a matrix.

    Attributes:
        degree: largest number of nonzeros in a row; n without a matrix.
        max_entry: largest absolute entry. Without a matrix, and with an eigenvalue floor, the largest on the diagonal,
            where that of a semidefinite block stands.
        frobenius: Frobenius norm; without a matrix an estimate, whose square has the right mean.
        upper: bound on the largest eigenvalue of a semidefinite matrix, `min(||A||_F, ||A||_inf, tr A)`; the trace
            alone without a matrix.
        matvecs: products that it took.
    """

    degree: Int[Array, ""]
    max_entry: Float[Array, ""]
    frobenius: Float[Array, ""]
    upper: Float[Array, ""]
    matvecs: int = 0


EXACT = 0.01
"""Largest relative error of a condition number that is called exact."""
ESTIMATED = 0.05
"""Largest relative error that rounding may leave in an estimate."""

_PROBES = 4
_PROBE_SEED = 0xF0


def floor_of(system: System, estimator: AbstractEstimator) -> Float[Array, ""]:
    """Return the eigenvalue floor that an estimator relies on.

    Raises:
        ValueError: if the system has none.
    """
    if system.eigenvalue_floor is None:
        raise ValueError(
            f"{type(estimator).__name__} needs a proven eigenvalue floor, which this system lost or never had: an "
            "exact Hessian is indefinite in general and pruning voids definiteness. Use GaussNewton without pruning, "
            "or the estimators Automatic, InverseLanczos or Exact"
        )
    return system.eigenvalue_floor


def norms_of(system: System) -> Norms:
    """Return a system's norms, from the diagonal and four products if it was not formed."""
    if not system.is_formed:
        return _norms_by_products(system)
    matrix = system.matrix
    frobenius = norm(matrix)
    return Norms(
        # One type whether it is counted or known, or a jitted step compiles twice.
        degree=jnp.max(jnp.count_nonzero(matrix, axis=1)).astype(jnp.int32),
        max_entry=jnp.max(jnp.abs(matrix)),
        frobenius=frobenius,
        upper=jnp.min(jnp.stack([frobenius, jnp.max(jnp.sum(jnp.abs(matrix), axis=1)), jnp.trace(matrix)])),
    )


def _norms_by_products(system: System) -> Norms:
    operator, like = system.operator, system.like
    # Of random signs z the mean of |A z|^2 is ||A||_F^2 (Hutchinson 1990).
    signs = jax.random.rademacher(jax.random.key(_PROBE_SEED), (_PROBES, *like.shape), like.dtype)
    frobenius = norm(jax.vmap(operator.mv)(signs)) / _PROBES**0.5
    diagonal = lx.diagonal(operator)
    floorless = system.eigenvalue_floor is None
    return Norms(
        degree=jnp.asarray(like.shape[0], jnp.int32),
        max_entry=max_entry(operator) if floorless else jnp.max(jnp.abs(diagonal)),
        frobenius=frobenius,
        upper=jnp.sum(diagonal),
        matvecs=_PROBES,
    )


def assemble(
    system: System,
    norms: Norms,
    *,
    spectral_norm: Float[Array, ""],
    log_condition_number: Float[Array, ""],
    definite: Bool[Array, ""] | bool,
    kind: Kind,
    ends: tuple[Kind, Kind] | None = None,
    sign: Kind = Kind.ESTIMATE,
    matvecs: Int[Array, ""] | int = 0,
    failure: float = 0.0,
    recurrence: Recurrence | None = None,
    came_to: Int[Array, ""] | None = None,
) -> SystemEstimate:
    """Join an estimator's findings with the system's norms.

    Args:
        system: that was estimated.
        norms: of it.
        spectral_norm: as found.
        log_condition_number: as found; NaN counts as infinite.
        definite: as found.
        kind: of the condition number.
        ends: of the spectral norm and of the smallest singular value, where they are not of that kind.
        sign: of `definite`.
        matvecs: that finding it took, those behind `norms` not counted.
        failure: probability that what comes out probabilistic is not the bound that it is said to be.
        recurrence: of the Lanczos iteration behind it, if there is one.
        came_to: `Kind.place` of the kind that the condition number turned out to be; None: `kind`.
    """
    like, formed = system.like, system.is_formed
    info = jnp.finfo(like.dtype)
    # Arithmetic takes subnormal entries for zero. Where those together may be a unit of rounding, nothing is known.
    resolved = jnp.logical_not(norms.frobenius * info.eps <= like.shape[0] * info.tiny)
    log_kappa = jnp.where(resolved, jnp.asarray(log_condition_number, like.dtype), jnp.inf)
    definite = jnp.asarray(definite, bool) & resolved
    damped = formed and system.eigenvalue_floor is not None and system.eigenvalue_floor > 0
    return SystemEstimate(
        n=like.shape[0],
        degree=norms.degree,
        max_entry=norms.max_entry,
        frobenius_norm=norms.frobenius,
        spectral_norm=jnp.asarray(spectral_norm, like.dtype),
        # kappa >= 1 by definition; rounding may say otherwise at kappa = 1, and NaN means that nothing is known.
        log_condition_number=jnp.where(jnp.isnan(log_kappa), jnp.inf, jnp.maximum(log_kappa, 0)),
        definite=definite,
        presumed_definite=definite | damped,
        matvecs=jnp.asarray(matvecs + norms.matvecs, jnp.int32),
        access=access_of(system.operator),
        formed=jnp.asarray(formed),
        formed_kinds=_formed_kinds(kind, ends, sign),
        failure=failure,
        recurrence=recurrence,
        kind_index=jnp.where(resolved, kind.place if came_to is None else came_to, Kind.CERTIFIED.place).astype(
            jnp.int32
        ),
    )


def _formed_kinds(kind: Kind, ends: tuple[Kind, Kind] | None, sign: Kind) -> Kinds:
    largest, smallest = (kind, kind) if ends is None else ends
    return Kinds(
        degree=Kind.EXACT,
        max_entry=Kind.EXACT,
        frobenius_norm=Kind.EXACT,
        spectral_norm=largest,
        smallest_singular_value=smallest,
        condition_number=kind,
        definite=sign,
    )


def proven_definite(system: System, norms: Norms) -> Bool[Array, ""]:
    """Return whether the eigenvalue floor, less an allowance for rounding, proves the matrix positive definite."""
    if system.eigenvalue_floor is None:
        return jnp.zeros((), bool)
    return system.eigenvalue_floor > rounding(system, norms)


def rounding(system: System, norms: Norms) -> Float[Array, ""]:
    """Return a bound on the change of an eigenvalue by rounding in forming the matrix: `eps sqrt(n) ||A||_F`.

    A perturbation moves no eigenvalue by more than its Frobenius norm (Weyl). Entries summed in floating point carry
    a relative error of a few ulp that grows no faster than the square root of the length in practice. Of a system that
    was not formed the Frobenius norm is an estimate, and the trace takes its place, which for a semidefinite one is not
    smaller.
    """
    norm = norms.frobenius if system.is_formed else norms.upper
    return jnp.finfo(system.like.dtype).eps * system.like.shape[0] ** 0.5 * norm


def precision(dtype: jnp.dtype, largest: Float[Array, ""]) -> Float[Array, ""]:
    """Return the practical error of a computed eigenvalue: two units of rounding of the largest.

    For a Rayleigh quotient of a computed eigenvector, and a Cholesky factor (`tests/estimation/test_kinds.py`); the
    decomposition's own eigenvalues are several times farther off. Unlike `rounding` it proves nothing: it tells where
    an estimate is one.
    """
    return 2 * jnp.finfo(dtype).eps * largest


def told_or_bounded(
    norms: Norms,
    *,
    largest: Float[Array, ""],
    smallest: Float[Array, ""],
    error: Float[Array, ""],
    upper: Float[Array, ""],
    lower: Float[Array, ""],
    kind: Kind = Kind.ESTIMATE,
    bound: Kind = Kind.CERTIFIED,
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """Return the logarithm of the condition number, and its kind.

    It is an upper bound if the small end cannot be determined.

    Args:
        norms: of the system.
        largest: singular value, as found.
        smallest: likewise.
        error: of `smallest`, absolute; infinite where it was not pinned down.
        upper: bound on the largest, rounding included.
        lower: bound on the smallest, rounding included; not positive where there is none.
        kind: of what is told to 1 %. What is told to 5 % is an estimate.
        bound: the kind of `upper / lower`.
    """
    told = (error <= ESTIMATED * smallest) & (smallest > 0)
    exact = told & (error <= EXACT * smallest)
    # Not the difference of the logarithms, whose rounding grows with the scale of the matrix.
    bounded = jnp.where(lower > 0, jnp.log(upper / jnp.where(lower > 0, lower, 1)), jnp.inf)
    log_kappa = jnp.where(told, jnp.log(largest / jnp.where(told, smallest, 1)), bounded)
    log_kappa = jnp.where(jnp.isfinite(norms.frobenius), log_kappa, jnp.inf)
    known = jnp.where(exact, kind.place, Kind.ESTIMATE.place)
    # Infinity bounds whatever there is.
    unbounded = jnp.where(jnp.isinf(log_kappa), Kind.CERTIFIED.place, bound.place)
    return log_kappa, jnp.where(told & jnp.isfinite(log_kappa), known, unbounded)


def beyond_rounding(system: System, log_condition_number: Float[Array, ""]) -> Bool[Array, ""]:
    """Whether rounding alone cannot have made a singular matrix look regular: `kappa eps sqrt(n) < 1`.

    A decomposition is exact for a matrix within a small multiple of `eps ||A||` of the given one. Neither a positive
    computed smallest eigenvalue nor a successful Cholesky factorisation therefore proves anything above this kappa.
    """
    like = system.like
    return log_condition_number < -math.log(jnp.finfo(like.dtype).eps * like.shape[0] ** 0.5)
