"""An upper bound on the condition number that fails with a stated probability, from a few products."""

import math

import equinox as eqx
import jax.numpy as jnp

from .._core.kinds import check_scalars, plain
from .._core.powers_of_two import unit_of
from .._core.records import Kind, System, SystemEstimate
from .._core.ritz import ritz_values
from .base import AbstractEstimator, assemble, floor_of, norms_of, proven_definite, rounding
from .lanczos import start_vector

_SPHERE = 0.824
"""`P(|b_1| <= t) <= 0.824 sqrt(n) t` for b uniform on the unit sphere of n dimensions (see `failure_probability`)."""

_NEARBY = 16
"""Units of rounding of the largest Ritz value within which a Lanczos iteration that is cut (`_core.ritz`) is exact."""


def failure_probability(n: int, steps: int, shortfall: float) -> float:
    """Bound on the probability that the largest Ritz value lies below `(1 - shortfall) lambda_max`.

    `1.648 sqrt(n) exp(-sqrt(shortfall) (2 steps - 1))` in Kuczynski and Wozniakowski, "Estimating the largest
    eigenvalue by the power and Lanczos algorithms with a random start", SIAM J. Matrix Anal. Appl. 13 (1992), theorem
    4.2; here with the Chebyshev polynomial itself, `0.824 sqrt(n) / cosh((2 steps - 1) artanh(sqrt(shortfall)))`, which
    is never larger: with `b` the component of the start along the top eigenvector, a shortfall takes
    `b^2 cosh^2((2 steps - 1) artanh(sqrt(shortfall))) < 1`. Whatever the spectrum; for semidefinite matrices only, and
    for a start that is uniform on the sphere and independent of the matrix.

    Args:
        n: rows.
        steps: products, at least 1; from n on the Ritz values are the eigenvalues, and the probability is 0.
        shortfall: relative, in (0, 1).
    """
    if steps >= n:
        return 0.0
    exponent = (2 * steps - 1) * math.atanh(math.sqrt(shortfall))
    # 1 / cosh without overflow.
    return min(1.0, _SPHERE * math.sqrt(n) * 2 * math.exp(-exponent) / (1 + math.exp(-2 * exponent)))


def largest_shortfall(n: int, steps: int, probability: float) -> float:
    """Return the shortfall exceeded with at most this probability; the inverse of `failure_probability`.

    Args:
        n: rows.
        steps: products, at least 1.
        probability: in (0, 1).

    Returns:
        In [0, 1).
    """
    if steps >= n:
        return 0.0
    return math.tanh(math.acosh(max(1.0, _SPHERE * math.sqrt(n) / probability)) / (2 * steps - 1)) ** 2


class ProbabilisticLanczos(AbstractEstimator):
    """Bound `kappa <= lambda / floor`, with `lambda >= lambda_max` up to a stated probability; matrix-free.

    The curvature block itself, less its floor, is semidefinite, so its largest Ritz value from a random start is short
    by more than `largest_shortfall` with at most that probability. 32 products show 4 % at n = 10,000, where the trace
    can be several times too large. The smallest eigenvalue is taken to be the floor less an allowance for rounding.

    Attributes:
        steps: products.
        failure: probability of failure that is allowed for.
        seed: of the start. Over seeds, not over matrices, goes the probability: a matrix that was made to fit the seed
            can be misjudged.
    """

    steps: int = eqx.field(static=True, converter=plain, default=32)
    failure: float = eqx.field(static=True, converter=plain, default=1e-3)
    seed: int = eqx.field(static=True, converter=plain, default=0)

    def __check_init__(self):
        check_scalars(self)
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}: it counts products and must be at least 1")
        if not 0 < self.failure < 1:
            raise ValueError(f"failure is {self.failure}: it is a probability and must lie in (0, 1), e.g. 1e-3")

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
        norms, n = norms_of(system), system.like.shape[0]
        scale, slack = unit_of(norms.max_entry), rounding(system, norms)
        ritz = ritz_values(lambda v: system.operator.mv(v / scale), start_vector(system, self.seed), self.steps)[-1]
        eps = float(jnp.finfo(system.like.dtype).eps)
        # Lanczos is as good as for a matrix that is nearer than this, whose eigenvalues may be as far below zero.
        nearby = _NEARBY * eps * ritz
        curvature = jnp.maximum((ritz + nearby) * scale - floor, 0)
        shown = floor + curvature / (1 - largest_shortfall(n, self.steps, self.failure))
        # A start that is blind to the top eigenvector, to rounding, shows nothing of it at any number of steps.
        blind = _SPHERE * n**0.5 * _NEARBY * eps if n > 1 else 0.0
        upper = jnp.minimum(shown, norms.upper) + slack if blind <= self.failure else norms.upper + slack
        definite = proven_definite(system, norms)
        lower = jnp.where(definite, floor - slack, 1)
        return assemble(
            system,
            norms,
            spectral_norm=upper,
            log_condition_number=jnp.where(definite, jnp.log(upper / lower), jnp.inf),
            definite=definite,
            kind=Kind.PROBABILISTIC,
            ends=(Kind.PROBABILISTIC, Kind.CERTIFIED),
            sign=Kind.CERTIFIED,
            matvecs=min(self.steps, n),
            failure=self.failure,
        )
