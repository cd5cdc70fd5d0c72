"""What CG and MINRES share: their state, the caller's options, and the frame around the iteration."""

import abc
import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float, Int, PyTree

from ...core.records import ClassicalWorkload, SystemEstimate
from ...core.status import Refusal
from ..base import AbstractSolver
from ..flat import Product, check_square_and_real, dtype_of, flatten, product, unflatten
from ..preconditioners import AbstractPreconditioner

RUNNING, BREAKDOWN, SINGULAR = 0, 1, 2


class KrylovState(eqx.Module):
    """The operator, linearised, and what its preconditioner computed; None where the caller brings one."""

    operator: lx.AbstractLinearOperator
    preconditioner: Any


class Problem(eqx.Module):
    """One system in flat vectors, scaled so that `max |vector|` lies in [1/2, 1).

    Attributes:
        apply: product with the operator.
        precondition: application of the preconditioner.
        vector, start: right-hand side and initial guess.
        residual: of the guess.
        target: 2-norm of the residual at which to stop.
        max_steps: iterations at most.
    """

    apply: Product
    precondition: Product
    vector: Float[Array, " n"]
    start: Float[Array, " n"]
    residual: Float[Array, " n"]
    target: Float[Array, ""]
    max_steps: int = eqx.field(static=True)


class Best(eqx.Module):
    """The iterate with the smallest residual so far.

    Attributes:
        value: the iterate.
        norm: 2-norm of its residual.
    """

    value: Float[Array, " n"]
    norm: Float[Array, ""]

    def or_better(self, value: Float[Array, " n"], norm: Float[Array, ""], allowed: Bool[Array, ""]) -> "Best":
        """The other iterate, where it is allowed and its residual is smaller."""
        better = allowed & (norm < self.norm)
        return Best(jnp.where(better, value, self.value), jnp.where(better, norm, self.norm))


class AbstractKrylov(AbstractSolver):
    """An iterative solver that sees the operator through products only.

    It takes the linear-solve options `y0`, a first guess in the structure of the solution, and `preconditioner`, a
    positive definite operator that goes before the solver's own. Of the guess the multiple with the least residual is
    taken, which costs one product more.

    Attributes:
        rtol: stop where `||r||_2 <= rtol ||b||_2`.
        max_steps: iterations at most; None: 10 times the rows.
        preconditioner: of the iteration.
    """

    rtol: eqx.AbstractVar[float]
    max_steps: eqx.AbstractVar[int | None]
    preconditioner: eqx.AbstractVar[AbstractPreconditioner]

    def __check_init__(self):
        if not 0 < self.rtol < 1:
            raise ValueError(f"rtol is {self.rtol}: it is relative to the right-hand side and must lie in (0, 1)")
        if self.max_steps is not None and self.max_steps < 1:
            raise ValueError(f"max_steps is {self.max_steps}: allow at least one iteration, or None for a default")

    @property
    def matrix_free(self) -> bool:
        return True

    @property
    def fidelity(self) -> None:
        return None

    @property
    def _kind(self) -> str:
        return type(self).__name__

    @property
    def name(self) -> str:
        inner = self.preconditioner.name
        return self._kind if inner == "Identity" else f"{self._kind}({inner})"

    @property
    def runs_as(self) -> str:
        return self.name

    @property
    def prior(self) -> float:
        """`AbstractPreconditioner.prior`."""
        return self.preconditioner.prior

    def refuses(self, operator: lx.AbstractLinearOperator) -> Refusal:
        return self.preconditioner.refuses(operator)

    @abc.abstractmethod
    def admit(self, operator: lx.AbstractLinearOperator) -> None:
        """Refuse an operator that is not tagged as the method needs it.

        Raises:
            ValueError: says which tag is missing.
        """

    @abc.abstractmethod
    def iterate(self, problem: Problem) -> tuple[Best, Int[Array, ""], Int[Array, ""]]:
        """The best iterate, the number of steps, and `RUNNING`, `BREAKDOWN` or `SINGULAR`."""

    @abc.abstractmethod
    def steps(self, estimate: SystemEstimate) -> Float[Array, ""]:
        """Iterations to be expected: from the Lanczos iteration behind the estimate where there is one.

        Never more than the bound for the worst spectrum with this condition number, which is all that is known without.
        """

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> KrylovState:
        """Set up the preconditioner.

        Raises:
            ValueError: if the operator is not square, real and tagged as needed, or lacks what the preconditioner is
                built from.
        """
        check_square_and_real(operator, self._kind)
        self.admit(operator)
        linear = lx.linearise(operator)
        if "preconditioner" in options:
            return KrylovState(linear, None)
        return KrylovState(linear, self.preconditioner.init(linear))

    def compute(
        self, state: KrylovState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        """Iterate.

        Returns:
            The iterate with the smallest residual; `RESULTS.successful`, `max_steps_reached`, `breakdown` (the
            operator or the preconditioner is not what its tag says) or `singular` (also: not finite); and
            `num_steps`, `max_steps` and `residual`, the returned iterate's `||r||_2 / ||b||_2`.
        """
        apply = product(state.operator)
        b = flatten(vector).astype(dtype_of(state.operator))
        # Squares of the entries stay inside the floating-point range; a power of two changes no digit.
        largest = jnp.max(jnp.abs(b))
        usual = (largest > 0) & jnp.isfinite(largest)
        scale = jnp.where(usual, jnp.ldexp(jnp.ones_like(largest), jnp.frexp(largest)[1]), 1)
        b = b / scale
        norm = jnp.linalg.norm(b)
        start, residual = jnp.zeros_like(b), b
        if "y0" in options:
            start = flatten(options["y0"]).astype(b.dtype) / scale
            if start.shape != b.shape:
                raise ValueError(f"the option y0 has {start.size} entries, and the system {b.size}")
            # The multiple with the least residual: a guess of the wrong length, as the last step of a converging
            # iteration is, would be worse than none. One that is not finite, or has no image, is none.
            image = apply(start)
            length = jnp.vdot(image, image)
            sound = (length > 0) & jnp.isfinite(length)
            factor = jnp.vdot(image, b) / jnp.where(sound, length, 1)
            start, residual = jnp.where(sound, factor * start, 0), jnp.where(sound, b - factor * image, b)
        max_steps = 10 * b.size if self.max_steps is None else self.max_steps
        problem = Problem(apply, self._precondition(state, options), b, start, residual, self.rtol * norm, max_steps)
        best, num_steps, status = self.iterate(problem)
        result = lx.RESULTS.where(best.norm <= problem.target, lx.RESULTS.successful, lx.RESULTS.max_steps_reached)
        result = lx.RESULTS.where(status == BREAKDOWN, lx.RESULTS.breakdown, result)
        result = lx.RESULTS.where(status == SINGULAR, lx.RESULTS.singular, result)
        stats = {
            "num_steps": num_steps,
            "max_steps": max_steps,
            "residual": best.norm / jnp.where(norm == 0, 1, norm),
        }
        return unflatten(best.value * scale, state.operator.in_structure()), result, stats

    def transpose(self, state: KrylovState, options: dict[str, Any]) -> tuple[KrylovState, dict[str, Any]]:
        # The operator is symmetric. A guess for the solution is none for the cotangents.
        return state, {name: option for name, option in options.items() if name == "preconditioner"}

    def conj(self, state: KrylovState, options: dict[str, Any]) -> tuple[KrylovState, dict[str, Any]]:
        return state, options

    def assume_full_rank(self) -> bool:
        return True

    def _precondition(self, state: KrylovState, options: dict[str, Any]) -> Product:
        given = options.get("preconditioner")
        if given is None:
            return lambda vector: self.preconditioner.apply(state.preconditioner, vector)
        if not isinstance(given, lx.AbstractLinearOperator):
            raise ValueError(
                f"the option preconditioner is a {type(given).__name__}: it must be a lineax operator; pass a "
                f"preconditioner of ours to the solver, {self._kind}(preconditioner=...)"
            )
        n = state.operator.in_size()
        if (given.out_size(), given.in_size()) != (n, n):
            raise ValueError(
                f"the option preconditioner has shape ({given.out_size()}, {given.in_size()}), and the system "
                f"({n}, {n})"
            )
        if not lx.is_positive_semidefinite(given):
            raise ValueError(
                "the option preconditioner must be positive definite: tag it with lineax.positive_semidefinite_tag"
            )
        return product(lx.linearise(given))

    def _workload(self, kernel: str, estimate: SystemEstimate) -> ClassicalWorkload:
        n, itemsize = estimate.n, estimate.max_entry.dtype.itemsize
        once, each = self.preconditioner.flops(n)
        # Rounding takes an ill-conditioned system far beyond the n steps of exact arithmetic.
        limit = 10 * n if self.max_steps is None else self.max_steps
        # An estimate without a finite condition number gives the limit.
        steps = jnp.fmin(jnp.ceil(self.steps(estimate)), limit)
        return ClassicalWorkload(
            kernel=kernel,
            flops=once,
            bytes=n * itemsize,
            steps=jnp.maximum(steps, 1),
            # A product, five inner products or vector updates, and the preconditioner.
            step_flops=estimate.access.product.flops + (10.0 * n + each),
            step_bytes=estimate.access.product.bytes + 12.0 * n * itemsize,
            setup_flops=once,
        )


def norm_of(vector: Float[Array, " n"]) -> Float[Array, ""]:
    """2-norm."""
    return jnp.sqrt(jnp.vdot(vector, vector))


def definite_steps(condition_number: Float[Array, ""], rtol: float) -> Float[Array, ""]:
    """`sqrt(kappa) / 2 ln(2 / rtol)`: the Chebyshev bound for a positive spectrum (Saad 2003, theorem 6.29)."""
    return jnp.sqrt(condition_number) / 2 * math.log(2 / rtol)


def expected_steps(estimate: SystemEstimate, rtol: float, bound: Float[Array, ""], *, minimal: bool) -> Array:
    """As the estimate's Lanczos iteration went and would have gone on, and no more than the bound.

    Its first vector is random, and stands for the right-hand side. In the long run the residual falls at least at the
    pace of the bound.
    """
    if estimate.recurrence is None:
        return bound
    pace = math.log(2 / rtol) / bound
    return jnp.fmin(estimate.recurrence.steps_to(math.log(rtol), pace, minimal=minimal), bound)


def indefinite_steps(condition_number: Float[Array, ""], rtol: float) -> Float[Array, ""]:
    """`kappa ln(2 / rtol)`: the bound for two intervals of equal length around zero (Greenbaum 1997, section 3.1)."""
    return condition_number * math.log(2 / rtol)
