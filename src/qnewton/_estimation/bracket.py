"""Both ends of a damped semidefinite spectrum: bounds from inside by Ritz values, from outside by proofs."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float

from .._core.kinds import check_scalars, plain
from .._core.powers_of_two import unit_of
from .._core.records import Kind, System, SystemEstimate
from .._core.recurrence import Recurrence
from .._core.ritz import Krylov, Matvec
from .base import (
    AbstractEstimator,
    assemble,
    floor_of,
    norms_of,
    precision,
    proven_definite,
    rounding,
    told_or_bounded,
)
from .lanczos import inverse_norm, start_vector
from .probabilistic import largest_shortfall

# Products with a matrix wait for memory where a factorisation computes: one takes the time of some 40 operations' worth
# of rows. Beyond n / 40 products the factor is the cheaper way.
_ROWS_PER_PRODUCT = 40
_SOLVES = 16
FAILURE = 1e-3
"""Probability that the bound on a system that is not formed, whose small end stays open, is not one."""


class Bracket(AbstractEstimator):
    """The condition number to within a tolerance, for blocks with an eigenvalue floor; the default for them.

    A Ritz value or a diagonal entry lies above the smallest eigenvalue, the floor below it. Where the two meet within
    the tolerance their mean is taken, which almost every damped block allows: its curvature has eigenvalues next to
    zero. The largest eigenvalue is the largest Ritz value once its residual is below half the tolerance; the residual
    bounds the distance to *an* eigenvalue, so this is an estimate, not a proof. Products are added until both hold. A
    formed block whose small end stays open (a small layer of full rank, hardly damped) is then factored, and its
    inverse asked as in `InverseLanczos`. What is open even then, since a smallest eigenvalue next to the rounding of
    the largest cannot be told, is bounded by the floor, and infinite where that is no larger than the allowance for
    rounding; so is the small end of a block that is not formed, by a Ritz value that fails with a probability of 1e-3.
    The estimate's kind says which.

    Attributes:
        tolerance: relative.
        steps: products after which the ends are looked at, ascending; a formed block waits for its small end no longer
            than n / 40 of them.
        seed: of the start vector.
    """

    tolerance: float = eqx.field(static=True, converter=plain, default=0.05)
    steps: tuple[int, ...] = eqx.field(static=True, default=(8, 16, 32, 64, 96))
    seed: int = eqx.field(static=True, converter=plain, default=0)

    def __check_init__(self):
        check_scalars(self)
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance is {self.tolerance}: it is relative and must lie in (0, 1), e.g. 0.05")
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or self.steps[0] < 1:
            raise ValueError(
                f"steps is {self.steps}: name the numbers of products in ascending order, e.g. (8, 16, 32)"
            )

    def needs_matrix(self, *, floor: bool) -> bool:
        return False

    @property
    def needs_floor(self) -> bool:
        return True

    def __call__(self, system: System) -> SystemEstimate:
        """Estimate; infinite if a formed block is singular, or an unformed one has no positive floor.

        Raises:
            ValueError: if the system has no eigenvalue floor.
        """
        floor = floor_of(system, self)
        norms, n = norms_of(system), system.like.shape[0]
        scale, slack = unit_of(norms.max_entry), rounding(system, norms)
        # Of the scaled matrix: what CG does with it does not depend on the scale.
        least, most = jnp.min(lx.diagonal(system.operator)) / scale, norms.max_entry / scale
        ends = self._ends(lambda v: system.operator.mv(v / scale), system, floor / scale, least, most)
        largest, smallest, closed, recurrence = ends
        matvecs, bound = recurrence.steps, Kind.CERTIFIED
        error = jnp.where(closed, precision(system.like.dtype, largest), jnp.inf)
        if system.is_formed:
            smallest, error, solves = self._from_factor(system, scale, closed, smallest, largest)
            upper, matvecs = norms.upper, matvecs + solves
        else:
            # A small end that stays open has had all products, after which little can be missing at the large one.
            upper = scale * largest / (1 - largest_shortfall(n, self._stages(n)[-1], FAILURE))
            bound = Kind.PROBABILISTIC
        log_kappa, came_to = told_or_bounded(
            norms,
            largest=largest,
            smallest=smallest,
            error=error,
            upper=(upper + slack) / scale,
            lower=(floor - slack) / scale,
            bound=bound,
        )
        return assemble(
            system,
            norms,
            spectral_norm=largest * scale,
            log_condition_number=log_kappa,
            definite=proven_definite(system, norms),
            kind=Kind.ESTIMATE,
            sign=Kind.CERTIFIED,
            matvecs=matvecs,
            # The same whether formed or not: a training has one structure from its first state on.
            failure=FAILURE,
            recurrence=recurrence,
            came_to=came_to,
        )

    def _stages(self, n: int) -> list[int]:
        return [*(steps for steps in self.steps if steps < n), n][: len(self.steps)]

    def _ends(
        self,
        matvec: Matvec,
        system: System,
        floor: Float[Array, ""],
        least_entry: Float[Array, ""],
        largest_entry: Float[Array, ""],
    ) -> tuple[Float[Array, ""], Float[Array, ""], Bool[Array, ""], Recurrence]:
        """Return largest and smallest eigenvalue, whether the smallest is determined, and the iteration used."""
        n, half = system.like.shape[0], self.tolerance / 2
        stages = self._stages(n)
        enough = max(stages[0], n // _ROWS_PER_PRODUCT) if system.is_formed else stages[-1]

        def look(krylov: Krylov, size: int) -> tuple[Array, ...]:
            values, residuals = krylov.ritz(size)
            # A Rayleigh quotient of a unit vector; of a vector that the start misses, Lanczos sees nothing.
            largest = jnp.maximum(jnp.max(jnp.abs(values)), largest_entry)
            least = jnp.minimum(values[0], least_entry)
            at_floor = (floor > 0) & (least <= (1 + 2 * half) * floor + precision(floor.dtype, largest))
            found = (values[0] > 0) & (residuals[0] <= half * values[0]) & (values[0] <= least_entry)
            top = (residuals[-1] <= half * jnp.abs(values[-1])) & (largest_entry <= (1 + half) * values[-1])
            between = floor + jnp.maximum(least - floor, 0) / 2
            smallest = jnp.where(at_floor, between, jnp.where(found, jnp.maximum(values[0], floor), floor))
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
        closed: Bool[Array, ""],
        smallest: Float[Array, ""],
        largest: Float[Array, ""],
    ) -> tuple[Float[Array, ""], Float[Array, ""], Array]:
        """Return the smallest eigenvalue, its error and the number of solves; no solves if it is known already."""
        error = precision(system.like.dtype, largest)

        def factored() -> tuple[Array, Array, Array]:
            norm, definite, solves = inverse_norm(system.matrix / scale, start_vector(system, self.seed), _SOLVES)
            # Where Cholesky breaks down the smallest eigenvalue is rounding: the matrix is semidefinite but for that.
            return 1 / norm, jnp.where(definite, error, jnp.inf), solves

        return jax.lax.cond(closed, lambda: (smallest, error, jnp.zeros((), jnp.int32)), factored)
