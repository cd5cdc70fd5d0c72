"""A system that is to be solved, its solution here, and what a solution elsewhere is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float, Int

from .._core.records import System
from .._scheduling import Executed, Hybrid, Plan, scheduler_in
from .._solvers import capabilities_of
from .._solvers.base import Options
from .correction import Correction
from .reduction import solve_on_support


class Found(NamedTuple):
    """A solution, before it is judged.

    Attributes:
        value: in the system's coordinates and the unit of the right-hand side `[n]`.
        plan: of a scheduler; None of another solver.
        iterations: products with the operator, 0 of a direct solver.
        executed: what circuits did; None as `plan`.
        again: solves with the same factorisation, for the outer correction; None where nothing was factorised.
        old: whether it is the solution of an earlier step's system, which a late answer is replaced with.
    """

    value: Float[Array, " n"]
    plan: Plan | None
    iterations: Int[Array, ""]
    executed: Executed | None
    again: Callable[[Float[Array, " n"]], Float[Array, " n"]] | None = None
    old: Bool[Array, ""] | None = None


Send = Callable[[Hybrid, lx.AbstractLinearOperator, Float[Array, " n"], Options], Callable[[], Found]]
"""Begin a solve elsewhere; what it returns waits for the solution."""


@dataclass(frozen=True)
class Asked:
    """A system that is to be solved, in the unit of its right-hand side."""

    solver: lx.AbstractLinearSolver
    system: System
    user_gradient: Float[Array, " n"]
    gradient: Float[Array, " n"]
    unit: Float[Array, ""]
    start: Float[Array, " n"] | None
    options: Options
    correction: Correction | None


def tagged(asked: Asked) -> lx.AbstractLinearOperator:
    """Return the operator; a matrix says what is known of it."""
    operator = asked.system.operator
    if not isinstance(operator, lx.MatrixLinearOperator):
        return operator
    return lx.MatrixLinearOperator(operator.matrix, _tags(asked.solver, asked.system))


def solved_here(asked: Asked) -> Found:
    """Solve here."""
    solver, operator, gradient, options = asked.solver, asked.system.operator, asked.gradient, asked.options
    scheduler, start = scheduler_in(solver), asked.start
    if isinstance(operator, lx.MatrixLinearOperator) and scheduler is not None and asked.correction is None:
        state = scheduler.init(tagged(asked), options | {"once": True})
        value, _, stats = scheduler.compute(state, gradient, options)
        return Found(value, stats["plan"], stats["num_steps"], stats["executed"])
    if isinstance(operator, lx.MatrixLinearOperator):
        guess = {} if start is None else {"y0": start}
        # Factorised once, however many solves the correction takes. Called directly: `lineax.linear_solve`, for the
        # sake of derivatives, traces every solve twice.
        state = solver.init(tagged(asked), options)
        value, _, stats = solver.compute(state, gradient, options | guess)
        iterations = jnp.asarray(stats.get("num_steps", 0), jnp.int32)

        def again(vector: Float[Array, " n"]) -> Float[Array, " n"]:
            return solver.compute(state, vector, options)[0]

        return Found(value, stats.get("plan"), iterations, stats.get("executed"), again)
    if scheduler is not None:
        # Called directly as below; on the whole block, since a plan is for one size.
        value, _, stats = scheduler.compute(scheduler.init(operator, options), gradient, options)
        return Found(value, stats["plan"], stats["num_steps"], stats["executed"])
    # A factorisation costs the cube of the size, products only the size itself.
    every = 4 if capabilities_of(solver).matrix_free else 1

    def solve(
        cut: lx.AbstractLinearOperator, vector: Float[Array, " m"], guess: Float[Array, " m"] | None
    ) -> tuple[Float[Array, " m"], Int[Array, ""]]:
        return _solve_unformed(solver, cut, vector, options if guess is None else options | {"y0": guess})

    return Found(*_on_support(solve_on_support(operator, gradient, solve, every, start)))


def _on_support(
    found: tuple[Float[Array, " n"], Int[Array, ""]],
) -> tuple[Float[Array, " n"], None, Int[Array, ""], None]:
    return found[0], None, found[1], None


def _solve_unformed(
    solver: lx.AbstractLinearSolver,
    operator: lx.AbstractLinearOperator,
    vector: Float[Array, " n"],
    options: Options,
) -> tuple[Float[Array, " n"], Int[Array, ""]]:
    # A solver that needs definiteness gets the benefit of the doubt: it finds negative curvature on its way, and the
    # residual tells. An operator that was not formed closes over what is being traced, which lineax's own primitive
    # cannot carry, so the solver is called directly.
    tagged = lx.TaggedLinearOperator(operator, lx.positive_semidefinite_tag)
    value, _, stats = solver.compute(solver.init(tagged, options), vector, options)
    return value, jnp.asarray(stats.get("num_steps", 0), jnp.int32)


def _tags(solver: lx.AbstractLinearSolver, system: System) -> object:
    # `Hybrid` finds out about definiteness itself. A plain solver gets the benefit of the floor, though whether it was
    # proven for this batch is known at run time only: the residual tells. One that needs definiteness where nothing can
    # be proven (lineax.Cholesky on a Hessian) refuses at trace time.
    if system.eigenvalue_floor is not None and scheduler_in(solver) is None:
        return lx.positive_semidefinite_tag
    return lx.symmetric_tag if system.symmetric else ()
