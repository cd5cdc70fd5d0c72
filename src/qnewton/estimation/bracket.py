"""Both ends of a damped semidefinite spectrum, from inside by Ritz values and from outside by what is proven."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float

from ..core.records import Kind, System, SystemEstimate
from ..core.recurrence import Recurrence
from ..core.ritz import Krylov, Matvec
from .base import AbstractEstimator, assemble, floor_of, norms_of, power_of_two, proven_definite, rounding
from .lanczos import inverse_norm, start_vector

# Products with a matrix wait for memory where a factorisation computes: one takes the time of some 40 operations' worth
# of rows. Beyond n / 40 products the factor is the cheaper way.
_ROWS_PER_PRODUCT = 40
_SOLVES = 16


class Bracket(AbstractEstimator):
    """The condition number to within a tolerance, for blocks with an eigenvalue floor; the default for them.

    A Ritz value or a diagonal entry lies above the smallest eigenvalue, the floor below it. Where the two meet within
    half the tolerance the floor is taken, which almost every damped block allows: its curvature has eigenvalues next to
    zero. The largest eigenvalue is the largest Ritz value once its residual is below half the tolerance; the residual
    bounds the distance to *an* eigenvalue, so this is an estimate, not a proof. Products are added until both hold. A
    formed block whose small end stays open (a small layer of full rank, hardly damped) is then factored, and its
    inverse asked as in `InverseLanczos`; one that is not formed takes the floor, and its condition number comes out
    too large.

    Attributes:
        tolerance: relative.
        steps: products after which the ends are looked at, ascending; a formed block waits for its small end no longer
            than n / 40 of them.
        seed: of the start vector.
    """

    tolerance: float = eqx.field(static=True, default=0.05)
    steps: tuple[int, ...] = eqx.field(static=True, default=(8, 16, 32, 64, 96))
    seed: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance is {self.tolerance}: it is relative and must lie in (0, 1), e.g. 0.05")
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or self.steps[0] < 1:
            raise ValueError(
                f"steps is {self.steps}: name the numbers of products in ascending order, e.g. (8, 16, 32)"
            )

    def needs_matrix(self, *, floor: bool) -> bool:
        return False

    def __call__(self, system: System) -> SystemEstimate:
        """The estimate; infinite where a formed block is singular, or one that is not formed has no positive floor.

        Raises:
            ValueError: if the system has no eigenvalue floor.
        """
        floor = floor_of(system, self)
        norms = norms_of(system)
        scale = power_of_two(norms.max_entry)
        definite = proven_definite(system, norms)
        # Rounding may have moved the smallest eigenvalue by as much.
        below = floor + rounding(system, norms)
        above = jnp.min(lx.diagonal(system.operator))
        ends = self._ends(lambda v: system.operator.mv(v / scale), system, floor / scale, above / scale, below / scale)
        largest, smallest, closed, recurrence = ends
        # Of the scaled matrix: what CG does with it does not depend on the scale.
        matvecs = recurrence.steps
        log_kappa = jnp.where(definite | (closed & (smallest > 0)), jnp.log(largest) - jnp.log(smallest), jnp.inf)
        if system.is_formed:
            log_kappa, solves = self._from_factor(system, scale, definite, closed, log_kappa, largest)
            matvecs = matvecs + solves
        return assemble(
            system,
            norms,
            spectral_norm=largest * scale,
            log_condition_number=jnp.where(jnp.isfinite(norms.frobenius), log_kappa, jnp.inf),
            definite=definite,
            kind=Kind.ESTIMATE,
            sign=Kind.CERTIFIED,
            matvecs=matvecs,
            recurrence=recurrence,
        )

    def _ends(
        self,
        matvec: Matvec,
        system: System,
        floor: Float[Array, ""],
        above: Float[Array, ""],
        below: Float[Array, ""],
    ) -> tuple[Float[Array, ""], Float[Array, ""], Bool[Array, ""], Recurrence]:
        """Largest and smallest eigenvalue, whether the smallest was pinned down, and the iteration that told."""
        n, half = system.like.shape[0], self.tolerance / 2
        stages = [*(steps for steps in self.steps if steps < n), n][: len(self.steps)]
        enough = max(stages[0], n // _ROWS_PER_PRODUCT) if system.is_formed else stages[-1]

        def look(krylov: Krylov, size: int) -> tuple[Array, ...]:
            values, residuals = krylov.ritz(size)
            least = jnp.minimum(values[0], above)
            at_floor = (floor > 0) & (least <= (1 + half) * jnp.maximum(floor, below))
            found = (values[0] > 0) & (residuals[0] <= half * values[0]) & (values[0] <= above)
            top = residuals[-1] <= half * jnp.abs(values[-1])
            smallest = jnp.where(at_floor | ~found, floor, jnp.maximum(values[0], floor))
            largest = jnp.max(jnp.abs(values))
            return largest, smallest, at_floor | found, top

        krylov = Krylov.start(start_vector(system, self.seed), stages[-1]).extended(matvec, 0, stages[0])
        seen = look(krylov, stages[0])
        for first, last in itertools.pairwise(stages):

            def further(krylov: Krylov, first: int = first, last: int = last) -> tuple[Krylov, tuple[Array, ...]]:
                longer = krylov.extended(matvec, first, last)
                return longer, look(longer, last)

            done = (seen[2] | (first >= enough)) & seen[3]
            krylov, seen = jax.lax.cond(done, lambda k, s=seen: (k, s), further, krylov)
        largest, smallest, closed, _ = seen
        return largest, smallest, closed, krylov.recurrence

    def _from_factor(
        self,
        system: System,
        scale: Float[Array, ""],
        definite: Bool[Array, ""],
        closed: Bool[Array, ""],
        log_kappa: Float[Array, ""],
        largest: Float[Array, ""],
    ) -> tuple[Float[Array, ""], Array]:
        floor = floor_of(system, self)

        def factored() -> tuple[Array, Array]:
            norm, _ = inverse_norm(system.matrix / scale, start_vector(system, self.seed), _SOLVES)
            # The floor is proven, and above 1 / eps a factor knows less.
            ceiling = jnp.where(definite, scale / floor, jnp.inf)
            solves = jnp.asarray(min(_SOLVES, system.like.shape[0]), jnp.int32)
            return jnp.log(largest) + jnp.log(jnp.minimum(norm, ceiling)), solves

        return jax.lax.cond(closed, lambda: (log_kappa, jnp.zeros((), jnp.int32)), factored)
