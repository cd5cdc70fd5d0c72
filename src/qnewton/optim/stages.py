"""One block's way through the stages, as functions that can also be run and timed one by one."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Int

from ..core.records import System
from ..core.status import Status
from ..scheduling import Hybrid, Plan


class BlockInfo(eqx.Module):
    """What happened to one block in one step.

    Attributes:
        plan: the scheduler's predictions and choice; None where the solver is not a `Hybrid`.
        status: a `Status`.
        relative_residual: `||A x - g|| / ||g||` of the solve that ran; 0 where `g` is 0.
        damping, kept_fraction, perturbation: as in `System`.
    """

    plan: Plan | None
    status: Int[Array, ""]
    relative_residual: Float[Array, ""]
    damping: Float[Array, ""]
    kept_fraction: Float[Array, ""]
    perturbation: Float[Array, ""]


def solve_block(
    solver: lx.AbstractLinearSolver,
    system: System,
    gradient: Float[Array, " n"],
    residual_tolerance: float,
) -> tuple[Float[Array, " n"], BlockInfo]:
    """Solve the conditioned system; a block that cannot be solved gets its gradient instead, and the info says so.

    Args:
        solver: any lineax solver.
        system: the conditioned system.
        gradient: right-hand side `[n]`.
        residual_tolerance: largest relative residual that counts as solved.
    """
    matrix = system.matrix
    operator = lx.MatrixLinearOperator(matrix, _tags(solver, system))
    options = {} if system.eigenvalue_floor is None else {"eigenvalue_floor": system.eigenvalue_floor}
    solution = lx.linear_solve(operator, gradient, solver, options=options, throw=False)
    plan = solution.stats.get("plan")

    norm = jnp.linalg.norm(gradient)
    residual = jnp.where(norm > 0, jnp.linalg.norm(matrix @ solution.value - gradient) / norm, 0)
    finite = jnp.isfinite(norm) & jnp.isfinite(jnp.sum(matrix))
    no_candidate = jnp.zeros((), bool) if plan is None else ~jnp.any(plan.feasible[0])
    # A NaN residual fails the comparison, as it should.
    solved = (residual <= residual_tolerance) & jnp.all(jnp.isfinite(solution.value))
    status = jnp.select(
        [~finite, no_candidate, ~solved],
        [jnp.int32(Status.NOT_FINITE), jnp.int32(Status.NO_CANDIDATE), jnp.int32(Status.NOT_SOLVED)],
        jnp.int32(Status.OK),
    )
    # The gradient of a batch that is not finite would poison the parameters for good: no step at all then.
    fallback = jnp.where(jnp.all(jnp.isfinite(gradient)), gradient, 0)
    direction = jnp.where(status == Status.OK, solution.value, fallback)
    info = BlockInfo(
        plan=plan,
        status=status,
        relative_residual=residual,
        damping=system.damping,
        kept_fraction=system.kept_fraction,
        perturbation=system.perturbation,
    )
    return direction, info


def quadratic_decrease(
    systems: Sequence[System],
    gradients: Sequence[Float[Array, " n"]],
    updates: Sequence[Float[Array, " n"]],
) -> Float[Array, ""]:
    """Decrease of the loss that the undamped quadratic model, block by block, predicts for `w -> w + update`.

    `-sum_b (g_b.u_b + u_b.H_b u_b / 2)`, with `H_b` the curvature before conditioning.
    """
    terms = [
        jnp.vdot(g, u) + jnp.vdot(u, system.matrix @ u) / 2
        for system, g, u in zip(systems, gradients, updates, strict=True)
    ]
    return -jnp.sum(jnp.stack(terms))


def _tags(solver: lx.AbstractLinearSolver, system: System) -> object:
    # `Hybrid` finds out about definiteness itself. A plain solver gets the benefit of the floor, though whether it was
    # proven for this batch is known at run time only: the residual tells. One that needs definiteness where nothing can
    # be proven (lineax.Cholesky on a Hessian) refuses at trace time.
    if system.eigenvalue_floor is not None and not isinstance(solver, Hybrid):
        return lx.positive_semidefinite_tag
    return lx.symmetric_tag if system.symmetric else ()
