"""Emulated kernel reflection, the shortcut to a quantum linear solver."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from ...._core.arrays import Number
from ...._core.kinds import check_scalars, plain
from ...._core.records import Encoding, QuantumWorkload
from ..encoding import AbstractEncoding, Ideal
from ..precision import ErrorConvention, convert
from ..queries import QueryModel, dalzell2024_eq118, dalzell2024_known_norm
from .amplification import Attempts
from .base import AbstractEmulated, EncodedSystem, IdealRun
from .chebyshev import project, steepest
from .length import AbstractLength, LineFit
from .measurement import AbstractMeasurement, Infinite
from .numbers import Encoded

_MU = 0.25
# A filter coarser than this fails so often that a finer one is cheaper, as in `queries.dalzell`.
_COARSEST = 0.07601002854290594
# Guesses of the norm at most; 60 of them fail together once in 1e3 solves at a condition number of 1e4.
_MOST_ATTEMPTS = 200


class Reflections(eqx.Module):
    """Half degrees of the two filters, and the gap for which they are made."""

    reflecting: Float[Array, ""]
    projecting: Float[Array, ""]
    gap: Float[Array, ""]


class _Cycle(eqx.Module):
    solution: Float[Array, " n"]
    key: Array
    queries: Float[Array, ""]
    attempts: Int[Array, ""]
    done: Array


class EmulatedReflection(AbstractEmulated):
    """Dalzell's shortcut (arXiv 2406.12086): reflection about the kernel of the matrix augmented by a norm guess.

    With `A_t = A (+) 1/t` and `b' = (b (+) 1) / sqrt(2)` the kernel of `G_t = (I - b' b'^T) A_t` is `x (+) t e`, and
    the reflection of e about it lies along x with the probability `sin^2(2 arctan(||x|| / t))`. The filters are applied
    by products with the matrix, as exactly as the circuit applies them.

    `solution_norm` given: one reflection at that norm, repeated until it succeeds (`dalzell2024_known_norm`). None:
    Algorithm 3 at mu = 1/4, known from one transcription of its counts; how they are spent is our reading. Random
    guesses t, log-uniform in [1, kappa], a coarse reflection for each until one succeeds, then a projection onto the
    kernel of `(I - b b^T) A` in the given precision, and from the beginning where that fails. What happens is drawn,
    and the queries are those of what happened; several copies count as so many times the same.

    Success does not tell the length: `length` has to be a `LineFit`. Attributes as in `EmulatedQSVT`.

    Attributes:
        solution_norm: `||x||` for `||A|| = ||b|| = 1`, at least 1; None: it is not known.
    """

    precision: float = eqx.field(static=True, converter=plain, default=1e-2)
    solution_norm: float | None = eqx.field(static=True, converter=plain, default=None)
    encoding: AbstractEncoding = Ideal()
    measurement: AbstractMeasurement = Infinite()
    length: AbstractLength = LineFit()
    depolarising: float = eqx.field(static=True, converter=plain, default=0.0)
    kappa: float | None = eqx.field(static=True, converter=plain, default=None)
    norm: float | None = eqx.field(static=True, converter=plain, default=None)
    max_queries: int = eqx.field(static=True, converter=plain, default=2**20)
    seed: int = eqx.field(static=True, converter=plain, default=0)

    def __check_init__(self):
        check_scalars(self)
        if self.solution_norm is not None and not 1 <= self.solution_norm < math.inf:
            raise ValueError(f"solution_norm is {self.solution_norm}: ||x|| for ||A|| = ||b|| = 1 is at least 1")
        check_square_encoding(self)

    @property
    def queries(self) -> QueryModel:
        return dalzell2024_eq118 if self.solution_norm is None else dalzell2024_known_norm

    def count(self, encoding: Encoding, precision: Number) -> QuantumWorkload:
        return self.queries(encoding, precision, self.solution_norm)

    def plan(self, encoded: Encoded) -> tuple[Reflections, Float[Array, ""]]:
        # At a condition number of 1 the filters have nothing between their ends.
        kappa = jnp.maximum(encoded.kappa, 1.01)
        error = convert(jnp.asarray(self.precision, kappa.dtype), ErrorConvention.STATE, ErrorConvention.TRACE)
        if self.solution_norm is not None:
            reflecting = half_degree(kappa, jnp.minimum(error / math.sqrt(2), _COARSEST))
            return Reflections(reflecting, jnp.zeros_like(kappa), 1 / kappa), 2 * reflecting
        spread = 3 + 2 * jnp.log((kappa**2 + 1) / 2)
        coarse = _MU / (jnp.sqrt(spread) + _MU)
        fine = error * math.sqrt(1 - _MU**2) / (_MU * jnp.sqrt(1 - error**2))
        plan = Reflections(half_degree(kappa, coarse), half_degree(kappa, jnp.minimum(fine, 1.0)), 1 / kappa)
        return plan, 2 * (plan.reflecting + plan.projecting)

    def run(self, plan: PyTree, basis: PyTree, problem: EncodedSystem, key: Array) -> IdealRun:
        if self.solution_norm is None:
            return self._search(plan, problem, key)
        # The right-hand side is a unit vector and the matrix divided by alpha.
        guess = self.solution_norm * problem.encoded.alpha / problem.encoded.norm
        solution = _reflect(problem, plan, guess)
        amplitude = jnp.linalg.norm(solution)
        queries = 2 * plan.reflecting
        expected = 1 / jnp.maximum(amplitude**2, jnp.finfo(amplitude.dtype).tiny)
        return self._run(solution, amplitude, queries, Attempts(expected, jnp.ones_like(expected)), queries)

    def _search(self, plan: Reflections, problem: EncodedSystem, key: Array) -> IdealRun:
        log_kappa, zero = jnp.log(problem.encoded.kappa), jnp.zeros_like(plan.gap)
        once = lambda y: y - problem.vector * jnp.vdot(problem.vector, y)  # noqa: E731

        def square(v: Float[Array, " n"]) -> Float[Array, " n"]:
            return problem.transpose(once(problem.matvec(v)))

        def attempt(cycle: _Cycle) -> _Cycle:
            key, guessing, first, second = jax.random.split(cycle.key, 4)
            guess = jnp.exp(log_kappa * jax.random.uniform(guessing, dtype=zero.dtype))
            reflected = _reflect(problem, plan, guess)
            amplitude = jnp.linalg.norm(reflected)
            passed = jax.random.uniform(first, dtype=zero.dtype) < amplitude**2
            state = reflected / jnp.where(amplitude > 0, amplitude, 1)
            # No turn where the reflection has failed.
            turns = jnp.where(passed, plan.projecting, 0)
            projected = project(square, state, turns, plan.gap)
            kept = jax.random.uniform(second, dtype=zero.dtype) < jnp.vdot(projected, projected)
            return _Cycle(
                solution=projected,
                key=key,
                queries=cycle.queries + 2 * plan.reflecting + 2 * turns,
                attempts=cycle.attempts + 1,
                done=passed & kept,
            )

        start = _Cycle(jnp.zeros_like(problem.vector), key, zero, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        nothing = ~jnp.any(problem.vector != 0)
        last = jax.lax.while_loop(lambda c: ~c.done & ~nothing & (c.attempts < _MOST_ATTEMPTS), attempt, start)
        once_run = Attempts(zero + 1, zero + 1)
        chance = 1 / jnp.sqrt(jnp.maximum(last.attempts, 1).astype(zero.dtype))
        return self._run(last.solution, chance, last.queries, once_run, last.queries)

    def _run(
        self,
        solution: Float[Array, " n"],
        amplitude: Float[Array, ""],
        queries: Float[Array, ""],
        attempts: Attempts,
        products: Float[Array, ""],
    ) -> IdealRun:
        return state_run(solution, self.precision, amplitude, queries, attempts, products)


def _reflect(problem: EncodedSystem, plan: Reflections, guess: Float[Array, ""]) -> Float[Array, " n"]:
    """The part of `K(G_t) e` along the solution, `K = (2 F - 1 + F(D)) / (1 + F(D))` (Equation 62)."""
    b = jnp.append(problem.vector, 1) / math.sqrt(2)

    def square(v: Float[Array, " n+1"]) -> Float[Array, " n+1"]:
        image = jnp.append(problem.matvec(v[:-1]), v[-1] / guess)
        image = image - b * jnp.vdot(b, image)
        return jnp.append(problem.transpose(image[:-1]), image[-1] / guess)

    extra = jnp.zeros_like(b).at[-1].set(1)
    left = steepest(plan.reflecting, plan.gap)
    # Of e itself nothing lies along the solution.
    return 2 * project(square, extra, plan.reflecting, plan.gap)[:-1] / (1 + left)


def half_degree(kappa: Float[Array, ""], error: Float[Array, ""]) -> Float[Array, ""]:
    """Return `ceil(kappa ln(2 / error) / 2)`, half the degree of a filter (Equations 6 and 51)."""
    return jnp.ceil(kappa * jnp.log(2 / error) / 2)


def state_run(
    solution: Float[Array, " n"],
    precision: float,
    amplitude: Float[Array, ""],
    queries: Float[Array, ""],
    attempts: Attempts,
    products: Float[Array, ""],
) -> IdealRun:
    """Return the run of an algorithm that leaves a direction only."""
    return IdealRun(
        solution=solution,
        amplitude=amplitude,
        scale=jnp.full_like(amplitude, jnp.nan),
        error=jnp.full_like(amplitude, precision),
        queries=queries,
        attempts=attempts,
        products=products.astype(jnp.int32),
    )


def check_square_encoding(solver: AbstractEmulated) -> None:
    """Refuse encodings and lengths that an algorithm for square matrices cannot have: success does not give the length.

    Raises:
        ValueError: says what to use instead.
    """
    if solver.encoding.rectangular:
        raise ValueError(
            f"{type(solver).__name__} applies no pseudo-inverse, and the encoding {solver.encoding.name} is of a "
            "rectangular factor: use EmulatedQSVT, or another encoding"
        )
    if solver.length.needs_success:
        raise ValueError(
            f"{type(solver).__name__} does not tell the solution's length by its success: use length=LineFit()"
        )
