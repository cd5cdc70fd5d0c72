"""Iterative refinement around any solver."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float, Inexact, Int, PyTree

from .._core.arrays import Number
from .._core.kinds import check_scalars, plain
from .._core.powers_of_two import lost_below, norm, normalised, unit_of
from .._core.records import ClassicalWorkload, Encoding, QuantumWorkload, SystemEstimate, Workload
from .._core.status import Refusal
from .around import AbstractAround
from .base import AbstractSolver, Stats
from .capabilities import Capabilities
from .flat import Product, dtype_of, flatten, product, unflatten
from .refusals import check_solver
from .residual import Residual
from .verified import as_held, at_scale, judge


class RefineState(eqx.Module):
    """The operator, for residuals, and the inner solver's state."""

    operator: lx.AbstractLinearOperator
    inner: PyTree


class _Round(eqx.Module):
    x: Inexact[Array, " n"]
    residual: Inexact[Array, " n"]
    norm: Float[Array, ""]
    result: lx.RESULTS
    growth: Float[Array, ""]
    count: Int[Array, ""]
    products: Int[Array, ""]
    queries: Float[Array, ""]
    moved: Bool[Array, ""]


class Refine(AbstractAround):
    """Iterative refinement that adds up a coarse solver's solutions for successive residuals.

    Each round takes one product with the operator in its own float type, and one solve, whose relative error xi it
    leaves of the error before: `xi^k` after k rounds. So a quantum solver that is read out coarsely, for `1 / xi^2`
    copies, serves for any precision that the residual resolves. It ends where `||r|| <= tolerance ||b||`; at what
    rounding allows, which is a success where an exact solver claims no more (`_solvers.verified`), else
    `RESULTS.stagnation`; where a round does not make the residual less, with `RESULTS.stagnation` and the best value so
    far; or after `rounds`, with `RESULTS.max_steps_reached`. The inner solver's own verdict on its bounds
    (`RESULTS.conlim`) does not count, since the residual is what is judged here; a value that is not finite does.

    `LineFit` suits its inner solvers: a length that fits never makes the residual more.

    Attributes:
        inner: the solver.
        rounds: solves at most.
        tolerance: relative residual at which to stop, in (0, 1).
    """

    inner: AbstractSolver
    rounds: int = eqx.field(static=True, converter=plain, default=8)
    tolerance: float = eqx.field(static=True, converter=plain, default=1e-6)

    def __check_init__(self):
        check_scalars(self)
        check_solver(self.inner, "inner solver of Refine", "which states its inner solver's workload and needs")
        if not (isinstance(self.rounds, int) and self.rounds >= 1):
            raise ValueError(f"rounds is {self.rounds}: solves at most, an integer of at least 1")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance is {self.tolerance}: a relative residual, in (0, 1)")

    @property
    def capabilities(self) -> Capabilities:
        # Each round starts from zero, and its steps are not what a prediction counts.
        inner = self.inner.capabilities
        return dataclasses.replace(
            inner,
            iterative=False,
            needs_matrix=not inner.matrix_free,
            notices_indefinite=False,
            warm_start=False,
        )

    def refuses(self, operator: lx.AbstractLinearOperator) -> Refusal:
        return self.inner.refuses(operator)

    @property
    def name(self) -> str:
        return f"Refine({self.inner.name})"

    @property
    def runs_as(self) -> str:
        return f"Refine({self.inner.runs_as})"

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> RefineState:
        """Set up the inner solver, which states its requirements."""
        # The residual is taken here.
        inner = self.inner.init(operator, options | {"verify": False, "scale": False})
        return RefineState(lx.linearise(operator), inner)

    def compute(
        self, state: RefineState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        """Solve in rounds.

        Returns:
            The value with the least residual; how it went; and `num_steps` and `queries` of the inner solver in all,
            `rounds` and `residual`, `||r|| / ||b||`.
        """
        like = state.operator.in_structure()
        apply, b = product(state.operator), flatten(vector).astype(dtype_of(state.operator))
        b, exponent = normalised(b)
        size = jnp.linalg.norm(b)

        def solve(residual: Inexact[Array, " n"]) -> tuple[Inexact[Array, " n"], lx.RESULTS, Stats]:
            unit = unit_of(residual)
            answer, result, stats = self.inner.compute(state.inner, unflatten(residual / unit, vector), options)
            return flatten(answer) * unit, result, stats

        true = Residual.of(state.operator)
        last, on = self._in_rounds(solve, apply, true, b, size, exponent)
        # What failed in the first round has not been solved at all.
        failed = (last.norm == size) & (size > 0) | ~jnp.isfinite(size)
        seen = lost_below(last.x) <= 0.01 * self.tolerance * size
        stable = judge(last.residual, last.x, b, last.growth, off=true.off)[0]
        reached = seen & (last.norm <= self.tolerance * size) | stable
        short = lx.RESULTS.where(on, lx.RESULTS.max_steps_reached, lx.RESULTS.stagnation)
        result = lx.RESULTS.where((last.result == lx.RESULTS.successful) & ~reached, short, last.result)
        value, result = at_scale(jnp.where(failed, jnp.nan, last.x), exponent, result)
        stats = {
            "num_steps": last.products,
            "queries": last.queries,
            "rounds": last.count,
            "residual": jnp.where(failed, jnp.nan, last.norm / jnp.where(size > 0, size, 1)),
        }
        return unflatten(value, like), result, stats

    def _in_rounds(
        self,
        solve: Callable[[Inexact[Array, " n"]], tuple[Inexact[Array, " n"], lx.RESULTS, Stats]],
        apply: Product,
        true: Residual,
        b: Inexact[Array, " n"],
        size: Float[Array, ""],
        exponent: Int[Array, ""],
    ) -> tuple[_Round, Bool[Array, ""]]:
        """Return the last round, and whether only the number of rounds ended them."""
        eps, zero, nothing = jnp.finfo(b.dtype).eps, jnp.zeros_like(size), jnp.zeros((), jnp.int32)

        def advance(last: _Round) -> _Round:
            step, result, stats = solve(last.residual)
            x = as_held(last.x + step, exponent)
            image = apply(step)
            # Not updated, or rounding would be left out.
            residual = true.left(x, b)
            length = norm(residual)
            better = length < last.norm
            stretch = norm(image) / jnp.maximum(norm(step), jnp.finfo(b.dtype).tiny)
            return _Round(
                x=jnp.where(better, x, last.x),
                residual=jnp.where(better, residual, last.residual),
                norm=jnp.where(better, length, last.norm),
                result=lx.RESULTS.where(jnp.isfinite(length), last.result, result),
                growth=jnp.maximum(last.growth, jnp.where(jnp.isfinite(stretch), stretch, 0)),
                count=last.count + 1,
                products=last.products + jnp.asarray(stats.get("num_steps", 0), jnp.int32),
                queries=last.queries + jnp.asarray(stats.get("queries", 0), size.dtype),
                moved=better,
            )

        def target(last: _Round) -> Float[Array, ""]:
            # No residual is less than what rounding x does to it; the norm is at least what was seen of it.
            return jnp.maximum(self.tolerance * size, 4 * eps * last.growth * norm(last.x))

        def proceed(last: _Round) -> Bool[Array, ""]:
            return last.moved & (last.norm > target(last)) & (last.count < self.rounds)

        good = lx.RESULTS.where(jnp.isfinite(size), lx.RESULTS.successful, lx.RESULTS.singular)
        first = _Round(
            x=jnp.zeros_like(b),
            residual=b,
            norm=size,
            result=good,
            growth=zero,
            count=nothing,
            products=nothing,
            queries=zero,
            moved=jnp.ones((), bool),
        )
        last = jax.lax.while_loop(proceed, advance, first)
        return last, last.moved & (last.norm > target(last))

    def transpose(self, state: RefineState, options: dict[str, Any]) -> tuple[RefineState, dict[str, Any]]:
        inner, options = self.inner.transpose(state.inner, options)
        return RefineState(state.operator.transpose(), inner), options

    def conj(self, state: RefineState, options: dict[str, Any]) -> tuple[RefineState, dict[str, Any]]:
        inner, options = self.inner.conj(state.inner, options)
        return RefineState(lx.conj(state.operator), inner), options

    def count(self, encoding: Encoding, precision: Number) -> QuantumWorkload:
        """Return `rounds` times the inner solver's count, the most that it may take."""
        return _times(self.rounds, self.charged.count(encoding, precision))

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> Workload:
        """Return `rounds` times the inner solver's workload, its maximum; a classical one includes the residuals."""
        once = self.inner.workload(estimate, encoding)
        k = self.rounds
        if not isinstance(once, ClassicalWorkload):
            return _times(k, once)
        extra = estimate.access.product
        return ClassicalWorkload(
            kernel=once.kernel,
            flops=once.flops + (k - 1) * 2.0 * estimate.n**2 + k * extra.flops,
            bytes=once.bytes + k * extra.bytes,
            steps=k * once.steps,
            step_flops=once.step_flops,
            step_bytes=once.step_bytes,
        )


def _times(rounds: int, once: QuantumWorkload) -> QuantumWorkload:
    queries, preparations = rounds * once.queries, rounds * once.state_preparations
    return eqx.tree_at(lambda w: (w.queries, w.state_preparations), once, (queries, preparations))
