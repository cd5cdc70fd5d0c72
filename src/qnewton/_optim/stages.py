"""The stages of one block's computation, as functions that can also be run and timed one by one."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Int

from .._core.arrays import first_of
from .._core.coordinates import AbstractCoordinates, Composed, Scaled, Standard
from .._core.operators import Path, Shifted, path_of
from .._core.powers_of_two import unit_of
from .._core.records import System, SystemEstimate
from .._core.status import Status, Verdict
from .._core.traces import inner, lengths
from .._curvature.layer_operator import LayerOperator
from .._devices.crew import EVERYONE
from .._pricing.policies import Turn
from .._scheduling import Executed, Plan, scheduler_in
from .._solvers import capabilities_of
from .._solvers.base import Options
from .correction import Correction, corrected, proven_decrease
from .solution import Asked, Found, Send, solved_here, tagged

if TYPE_CHECKING:
    from .._scheduling.group_plan import PackedPlans


class BlockInfo(eqx.Module):
    """Diagnostics of one block in one step.

    Attributes:
        plan: the scheduler's predictions and choice; None where the solver is not a `Hybrid`.
        status: a `Status`.
        relative_residual: `||A x - g|| / ||g||` of the solve that ran; 0 where `g` is 0.
        iterations: products with the operator that an iterative solver reports, 0 of a direct one.
        executed: what the circuits of an emulated solve did; None where the solver is not a `Hybrid`.
        outer_steps: solves that the outer correction took; 1 without one.
        exact_residual: `||A x - g|| / ||g||` of the step in the system before anything was left out of it or put in its
            place. Above 1 the step solves that worse than no step would: it means nothing.
        proven_decrease: fraction of the best decrease of the damped model that the step is proven to attain, in [0, 1];
            0 where no eigenvalue floor is known.
        path: how the curvature computed the block, a `Path`.
        independence: whether single examples served for the curvature, and how that is known, an `Independence`.
        damping, kept_fraction, perturbation: as in `System`.
        damping_scale: factor on the damping that this step was taken with.
        reduction_ratio: of the block's own part of the step; NaN where it has no damping scale of its own.
        owner: the device that solved it for all; -1 where every device did.
        packed: the plan of a block whose solver shapes chose; None where the user's schedules it, or is alone.
    """

    plan: Plan | None
    status: Int[Array, ""]
    relative_residual: Float[Array, ""]
    iterations: Int[Array, ""]
    executed: Executed | None
    outer_steps: Int[Array, ""]
    exact_residual: Float[Array, ""]
    proven_decrease: Float[Array, ""]
    path: Int[Array, ""]
    independence: Int[Array, ""]
    damping: Float[Array, ""]
    kept_fraction: Float[Array, ""]
    perturbation: Float[Array, ""]
    damping_scale: Float[Array, ""]
    reduction_ratio: Float[Array, ""]
    owner: Int[Array, ""]
    packed: "PackedPlans | None" = None


def in_units_only(coordinates: AbstractCoordinates) -> bool:
    """Return whether a change of coordinates only rescales parameters, without mixing them."""
    if isinstance(coordinates, Composed):
        return in_units_only(coordinates.first) and in_units_only(coordinates.second)
    return isinstance(coordinates, (Scaled, Standard))


def leaves_unformed(solver: lx.AbstractLinearSolver, system: System) -> bool:
    """Return whether the solver receives the block as an operator, and conditioning sees it as one."""
    scheduler = scheduler_in(solver)
    if scheduler is not None:
        return scheduler.keeps_unformed(floor=system.eigenvalue_floor is not None)
    able = capabilities_of(solver)
    # Who needs no matrix and takes no operator forms the triangle of a layer's block. Of other operators the largest
    # entry costs as much as the matrix.
    return able.matrix_free or (not able.needs_matrix and _layer_of(system.operator) is not None)


def stackable(solver: lx.AbstractLinearSolver, system: System) -> System | None:
    """Return the system as arrays alone, if the solver's result is the same from them; else None.

    Such systems can be stacked. An operator that is more than its arrays is formed if the solver would receive a matrix
    anyway.
    """
    shifted = system.operator
    if isinstance(shifted, lx.MatrixLinearOperator):
        return system
    unformed = leaves_unformed(solver, system)
    layer = _layer_of(shifted)
    if layer is not None:
        # The root is a closure, which who does not ask for it can do without. A scheduler may ask for it.
        if not unformed or (scheduler_in(solver) is None and not capabilities_of(solver).needs_root):
            return eqx.tree_at(lambda s: s.operator.base, system, layer.rootless())
        return None
    return None if unformed else system.formed()


def _layer_of(operator: lx.AbstractLinearOperator) -> LayerOperator | None:
    """Return the single layer of a damped block; None if it has more or none."""
    return operator.base if isinstance(operator, Shifted) and isinstance(operator.base, LayerOperator) else None


def solve_block(*system: Any, **known: Any) -> tuple[Float[Array, " n"], BlockInfo]:
    """Solve the conditioned system, and transform back to the user's coordinates; arguments as of `begin_block`."""
    return begin_block(*system, **known)()


def begin_block(
    solver: lx.AbstractLinearSolver,
    system: System,
    gradient: Float[Array, " n"],
    residual_tolerance: float,
    path: Path | Int[Array, ""] | None = None,
    start: Float[Array, " n"] | None = None,
    estimate: SystemEstimate | None = None,
    correction: Correction | None = None,
    turn: Turn | None = None,
    fallback: Float[Array, " n"] | None = None,
    send: Send | None = None,
) -> Callable[[], tuple[Float[Array, " n"], BlockInfo]]:
    """Begin to solve the conditioned system; what is returned completes that, and goes back to the user's coordinates.

    A block that cannot be solved gets `fallback` instead, and the info says so.

    Damping scale and reduction ratio of the info are left open, NaN.

    Args:
        solver: any lineax solver.
        system: the conditioned system.
        gradient: right-hand side `[n]`.
        residual_tolerance: largest relative residual that counts as solved.
        path: how the block was computed, where the system's operator no longer knows.
        start: first guess at the solution `[n]`, for an iterative solver; None: zero.
        estimate: of the system, for a `Hybrid`; None: it asks its own estimator.
        correction: of what conditioning left out, if any; of a block that was not formed nothing was.
        turn: the block's place in the training, for a `Hybrid`.
        fallback: the direction of a block that cannot be solved `[n]`; None: its gradient.
        send: takes the system of a `Hybrid` to a worker; None: it is solved here, once it is asked for.

    Raises:
        ValueError: for a first guess in other coordinates than the user's.
    """
    start = None if start is None else _start_in(system, start)
    user_gradient = gradient
    gradient = system.coordinates.into(gradient)
    # Everything in one unit, a power of two: no square leaves the floating-point range, and no digit changes.
    unit = unit_of(gradient)
    gradient = gradient / unit
    start = None if start is None else start / unit
    # The residual is judged below.
    options: Options = {"verify": False, "scale": False}
    of_system = {"eigenvalue_floor": system.eigenvalue_floor, "layout": system.layout}
    for name, value in (of_system | {"estimate": estimate, "turn": turn}).items():
        if value is not None:
            options[name] = value
    asked = Asked(solver, system, user_gradient, gradient, unit, start, options, correction)
    if send is None:
        return lambda: _judged(asked, solved_here(asked), residual_tolerance, path, fallback)
    scheduler = scheduler_in(solver)
    assert scheduler is not None, "who has workers is one"
    comes = send(scheduler, tagged(asked), gradient, options)
    return lambda: _judged(asked, comes(), residual_tolerance, path, fallback)


def _start_in(system: System, start: Float[Array, " n"]) -> Float[Array, " n"]:
    """Return a first guess in the system's coordinates."""
    if in_units_only(system.coordinates):
        # `R` is diagonal, so its inverse is that of its transpose.
        return system.coordinates.out_of(start)
    if not isinstance(system.coordinates, Standard):
        raise ValueError(
            f"warm_start=True, and conditioning changes the basis to {type(system.coordinates).__name__}: the last "
            "solution is no first guess in a basis that changes from step to step. Leave out one of them"
        )
    return start


def _judged(
    asked: Asked,
    found: Found,
    residual_tolerance: float,
    path: Path | Int[Array, ""] | None,
    fallback: Float[Array, " n"] | None,
) -> tuple[Float[Array, " n"], BlockInfo]:
    """Return the direction in the user's coordinates, and the record."""
    system, gradient, unit, correction = asked.system, asked.gradient, asked.unit, asked.correction
    operator, user_gradient, value, plan = system.operator, asked.user_gradient, found.value, found.plan
    # One product tells both: the residual, and, where there is no solution, whether the block itself is finite.
    product = operator.mv(jnp.where(jnp.isfinite(value), value, 1))
    left = gradient - product
    norm, missed = lengths(gradient, left)
    residual = jnp.where(norm > 0, missed / norm, 0)
    residual = jnp.where(jnp.all(jnp.isfinite(value)), residual, jnp.nan)
    finite = jnp.isfinite(norm) & jnp.all(jnp.isfinite(product))
    no_candidate = jnp.zeros((), bool) if plan is None else plan.verdict[0] == Verdict.NOBODY
    # A NaN residual fails the comparison, as it should.
    solved = (residual <= residual_tolerance) & jnp.all(jnp.isfinite(value))
    if found.old is not None:
        # The solution of a system of some steps ago is a direction of descent, or nothing.
        solved = solved | (found.old & (inner(gradient, value) > 0))
    outer_steps = jnp.ones((), jnp.int32)
    if correction is not None and found.again is not None:
        value, outer_steps = corrected(correction, system, gradient, value, found.again)
        # No step at all where the conditioned solution was no direction of descent.
        solved = solved & (jnp.any(value != 0) | (norm == 0))
    status = first_of(
        [~finite, no_candidate, ~solved],
        [jnp.int32(Status.NOT_FINITE), jnp.int32(Status.NO_CANDIDATE), jnp.int32(Status.NOT_SOLVED)],
        jnp.int32(Status.OK),
    )
    if system.exact is not None or correction is not None:
        left = gradient - system.unrepaired.operator.mv(value)
    user_norm, missed = lengths(user_gradient / unit, system.coordinates.out_of(left))
    exact_residual = missed / jnp.where(user_norm > 0, user_norm, 1)
    instead = _finite(user_gradient, user_gradient if fallback is None else fallback)
    direction = jnp.where(status == Status.OK, system.coordinates.back(value) * unit, instead)
    info = BlockInfo(
        plan=plan,
        status=status,
        relative_residual=residual,
        iterations=found.iterations,
        executed=found.executed,
        outer_steps=outer_steps,
        exact_residual=exact_residual,
        proven_decrease=proven_decrease(system, gradient, value, left),
        path=jnp.asarray(path_of(operator) if path is None else path, jnp.int32),
        # Not a system's to know.
        independence=jnp.zeros((), jnp.int32),
        damping=system.damping,
        kept_fraction=system.kept_fraction,
        perturbation=system.perturbation,
        # Not a solve's to know.
        damping_scale=jnp.full_like(residual, jnp.nan),
        reduction_ratio=jnp.full_like(residual, jnp.nan),
        owner=jnp.full((), EVERYONE, jnp.int32),
    )
    return direction, info


def _finite(gradient: Float[Array, " n"], fallback: Float[Array, " n"]) -> Float[Array, " n"]:
    # The gradient of a batch that is not finite would poison the parameters for good: no step at all then.
    return jnp.where(jnp.all(jnp.isfinite(gradient) & jnp.isfinite(fallback)), fallback, 0)


def quadratic_decrease(system: System, gradient: Float[Array, " n"], update: Float[Array, " n"]) -> Float[Array, ""]:
    """Decrease of the loss that the block's undamped quadratic model predicts for `w -> w + update`.

    `-(g.u + u.H u / 2)`, with `H` the curvature before conditioning.
    """
    return -inner(gradient + system.operator.mv(update) / 2, update)


def gradient_rate(
    damping: Float[Array, ""], scale: Float[Array, ""], gradient: Float[Array, " n"], params: Float[Array, " n"]
) -> Float[Array, ""]:
    """Return the rate of the gradient step that replaces a solution: the damping's inverse, within bounds.

    The step is at most as long as the parameters (1 where they are zero) over the damping scale, in the largest entry:
    under a damping scale that grows with every refusal, some step is short enough.

    Args:
        damping: on the diagonal; 0 where the curvature is.
        scale: factor on the damping.
        gradient: of the block.
        params: of the block.
    """
    steepest, longest = jnp.max(jnp.abs(gradient)), jnp.max(jnp.abs(params))
    bound = jnp.where(longest > 0, longest, 1) / (scale * jnp.where(steepest > 0, steepest, 1))
    known = (damping > 0) & jnp.isfinite(damping)
    return jnp.where(known, jnp.minimum(1 / jnp.where(known, damping, 1), bound), bound)
