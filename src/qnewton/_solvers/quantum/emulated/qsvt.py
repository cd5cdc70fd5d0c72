"""Emulated inversion by quantum singular value transformation."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ...._core.arrays import NumberArray
from ...._core.kinds import plain
from ...._core.records import QuantumWorkload
from ..encoding import AbstractEncoding, Ideal
from ..polynomials import apply_pseudo_inverse
from ..precision import ErrorConvention, convert
from ..queries import QueryModel, sunderhauf2025
from ..queries.model import CountInputs as Charged
from ..queries.qsvt import PolynomialCount as Published
from ..queries.qsvt import optimal_polynomial
from .amplification import AbstractAmplification, KnownAmplitude
from .base import AbstractEmulated, EncodedSystem, IdealRun
from .length import AbstractLength, FromSuccess
from .measurement import AbstractMeasurement, Infinite
from .numbers import Encoded


@dataclasses.dataclass(frozen=True)
class WorstCase:
    """Count of `sunderhauf2025` at the amplification that is executed.

    No less than the published count, which assumes the least success that a right-hand side can have and the schedule
    for an unknown amplitude; and no less than any right-hand side takes. The published count is below that where the
    amplitude is large, at condition numbers to about 3: it counts `m` applications for a stage of up to `m` steps, and
    expects no more of an amplitude above the least.

    Attributes:
        amplification: of the success probability.
    """

    amplification: AbstractAmplification

    def __call__(self, problem: Charged) -> QuantumWorkload:
        """Return the count, with one preparation of the right-hand side per application."""
        published = Published(optimal_polynomial)(problem)
        polynomial = optimal_polynomial(problem.encoded, problem.precision)
        # The polynomial's error may shorten the solution, and with it the amplitude.
        shortest = problem.xp.maximum(problem.encoded_norm - problem.precision, 0.0)
        least = problem.xp.minimum(shortest / polynomial.maximum, 1.0)
        applications = problem.xp.maximum(published.state_preparations, self.amplification.worst(least))
        return QuantumWorkload(applications * polynomial.degree, applications, published.success_probability)


class EmulatedPolynomial(eqx.Module):
    """The polynomial of a system: its error, degree, and largest value on [-1, 1]."""

    error: Float[Array, ""]
    degree: Float[NumberArray, ""]
    maximum: Float[NumberArray, ""]


class EmulatedQSVT(AbstractEmulated):
    """The optimal inversion polynomial of a block encoding, as an ideal circuit applies it, and its read-out.

    Applied as a heavy ball (`qsp.apply_pseudo_inverse`): as many products with the matrix as the circuit makes queries,
    no coefficients, no phases; jit, vmap and grad pass through. Any square matrix; with `encoding=SquareRoot(rows)`
    the factor of a damped Gauss-Newton or Fisher block that is not formed, whose condition number is the root of the
    block's.

    With the defaults, noise off, the solution is `P(A / alpha) b / alpha`, within `precision` of the exact one,
    relatively and in the 2-norm, where kappa and norm are bounds; in float32 no better than about `1e-8 kappa^2`
    (measured: 2e-6, 1e-4 and 1e-2 at kappa 10, 100 and 1,000).

    Attributes:
        precision: 2-norm error of the normalised state, and of the solution relative to its length, in (0, 1).
        encoding: what is encoded, and its subnormalisation.
        measurement: how the state is read out: `Infinite()`, `Shots(number)`, `Tomography(precision)`.
        length: how the solution's length is found.
        amplification: of the success probability.
        depolarising: probability per query that the maximally mixed state is left; see `AbstractEmulated`.
        kappa: bound on `||A|| / sigma_min` of the matrix; None: the estimate's, or the matrix's own.
        norm: bound on `||A||`; None likewise.
        max_queries: longest polynomial that is carried out.
        seed: of all that is random.
    """

    precision: float = eqx.field(static=True, converter=plain, default=1e-2)
    encoding: AbstractEncoding = Ideal()
    measurement: AbstractMeasurement = Infinite()
    length: AbstractLength = FromSuccess()
    amplification: AbstractAmplification = KnownAmplitude()
    depolarising: float = eqx.field(static=True, converter=plain, default=0.0)
    kappa: float | None = eqx.field(static=True, converter=plain, default=None)
    norm: float | None = eqx.field(static=True, converter=plain, default=None)
    max_queries: int = eqx.field(static=True, converter=plain, default=2**20)
    seed: int = eqx.field(static=True, converter=plain, default=0)

    @property
    def published(self) -> QueryModel:
        return sunderhauf2025

    @property
    def queries(self) -> QueryModel:
        count = WorstCase(self.amplification)
        return dataclasses.replace(sunderhauf2025, name="sunderhauf2025_carried_out", count=count)

    def plan(self, encoded: Encoded) -> tuple[EmulatedPolynomial, NumberArray]:
        # A solution of the least length there can be turns the most for an absolute error.
        error = convert(self.precision, ErrorConvention.STATE, ErrorConvention.ABSOLUTE, encoded.smallest_norm)
        found = optimal_polynomial(encoded.kappa, error)
        return EmulatedPolynomial(jnp.asarray(error, encoded.kappa.dtype), found.degree, found.maximum), found.degree

    def run(self, plan: PyTree, basis: PyTree, problem: EncodedSystem, key: Array) -> IdealRun:
        kappa, count = problem.encoded.kappa, plan.degree.astype(jnp.int32)
        solution = apply_pseudo_inverse(problem.matvec, problem.transpose, problem.vector, kappa, count)
        amplitude = jnp.minimum(jnp.linalg.norm(solution) / plan.maximum, 1)
        least = problem.encoded.smallest_norm / plan.maximum
        sure = jnp.maximum(amplitude, jnp.finfo(amplitude.dtype).tiny)
        return IdealRun(
            solution=solution,
            amplitude=amplitude,
            scale=plan.maximum,
            error=plan.error,
            queries=plan.degree,
            attempts=self.amplification.attempts(sure, jnp.minimum(least, 1)),
            products=count,
        )
