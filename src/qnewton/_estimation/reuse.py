"""Reuse of an estimate over several steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._core.kinds import check_kind
from .._core.records import Kind, System, SystemEstimate
from .automatic import Automatic
from .base import AbstractEstimator, assemble, norms_of, proven_definite


class Remembered(eqx.Module):
    """Memory of an estimate: both ends of the spectrum without the damping, and their age.

    Attributes:
        largest, smallest: singular values, less the damping where the system has an eigenvalue floor; `smallest` is
            minus the damping where the condition number was infinite.
        age: steps since they were found; negative before the first.
        kind: `Kind.place` of the condition number when it was found.
    """

    largest: Float[Array, ""]
    smallest: Float[Array, ""]
    age: Int[Array, ""]
    kind: Int[Array, ""]


class Reuse(AbstractEstimator):
    """Estimator that runs another one every `max_age` steps and reuses the result in between.

    `newton` does so when it is its scheduler's estimator, `Hybrid(estimator=Reuse())`, and keeps the memory in its
    state; elsewhere use `after`. Called like any other estimator it has no memory, and asks.

    Damping changes from step to step while curvature drifts. For blocks with an eigenvalue floor, the ends of the
    undamped spectrum are therefore kept, and the present damping is added. Norms, degree and definiteness are always
    the present system's. A condition number is an `estimate` in the step that finds it, if it was that or better. It is
    `rough` if it was only bounded, or if it is reused without a look at the present system.

    Attributes:
        estimator: asked when the answer has become too old.
        max_age: steps that one answer serves, at least 1.
    """

    estimator: AbstractEstimator = Automatic()
    max_age: int = eqx.field(static=True, default=10)

    def __check_init__(self):
        check_kind(self.estimator, AbstractEstimator, "Reuse: estimator", "Automatic()")
        if not (isinstance(self.max_age, int) and self.max_age >= 1):
            raise ValueError(f"max_age is {self.max_age}: steps that one estimate serves, an integer of at least 1")

    def needs_matrix(self, *, floor: bool) -> bool:
        return self.estimator.needs_matrix(floor=floor)

    @property
    def needs_floor(self) -> bool:
        return self.estimator.needs_floor

    @property
    def needs_symmetric(self) -> bool:
        return self.estimator.needs_symmetric

    def __call__(self, system: System) -> SystemEstimate:
        """Return the inner estimator's result, of its own kind."""
        return self.estimator(system)

    def init(self, dtype: jnp.dtype) -> Remembered:
        """Return an empty memory for systems of this dtype; the first step estimates."""
        zero = jnp.zeros((), dtype)
        return Remembered(zero, zero, jnp.full((), -1, jnp.int32), jnp.full((), Kind.ROUGH.place, jnp.int32))

    def after(self, system: System, remembered: Remembered) -> tuple[SystemEstimate, Remembered]:
        """Return the estimate and the memory for the next step; pure, with one structure from the first step on.

        A system that is not finite is not remembered: its estimate is infinite, and the next step estimates again.
        """
        norms = norms_of(system)
        # Without a floor the smallest singular value need not move with the damping: it is kept as it is.
        damping = system.damping if system.eigenvalue_floor is not None else jnp.zeros_like(system.damping)
        zero = jnp.zeros((), jnp.int32)

        def ask() -> tuple[Array, ...]:
            found = self.estimator(system)
            ends = found.spectral_norm - damping, found.smallest_singular_value - damping
            return *ends, zero, _at_best_an_estimate(found), found.matvecs

        def keep() -> tuple[Array, ...]:
            # Nobody looked at this system.
            rough = jnp.full((), Kind.ROUGH.place, jnp.int32)
            return remembered.largest, remembered.smallest, remembered.age, rough, zero

        stale = (remembered.age < 0) | (remembered.age >= self.max_age)
        largest, smallest, age, kind, matvecs = jax.lax.cond(stale, ask, keep)
        finite = jnp.isfinite(norms.frobenius)
        low, high = smallest + damping, largest + damping
        # A floor that is proven holds whatever the curvature has become.
        definite = proven_definite(system, norms)
        if system.eigenvalue_floor is not None:
            low = jnp.where(definite, jnp.maximum(low, system.eigenvalue_floor), low)
        log_kappa = jnp.where(finite & (low > 0), jnp.log(high) - jnp.log(low), jnp.inf)
        estimate = assemble(
            system,
            norms,
            spectral_norm=high,
            log_condition_number=log_kappa,
            definite=definite,
            kind=Kind.ESTIMATE,
            sign=Kind.CERTIFIED,
            matvecs=matvecs,
            came_to=jnp.where(jnp.isinf(log_kappa), Kind.CERTIFIED.place, kind),
        )
        return estimate, Remembered(largest, smallest, jnp.where(finite, age + 1, -1), kind)


def _at_best_an_estimate(found: SystemEstimate) -> Int[Array, ""]:
    kind = jnp.asarray(found.kind.place if found.kind_index is None else found.kind_index, jnp.int32)
    good = (kind == Kind.EXACT.place) | (kind == Kind.ESTIMATE.place)
    # The ends of the spectrum do not keep what made a bound one.
    return jnp.where(good, Kind.ESTIMATE.place, Kind.ROUGH.place).astype(jnp.int32)
