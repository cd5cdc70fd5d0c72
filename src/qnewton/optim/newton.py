"""Newton's method as an optax transformation."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from ..conditioning import AbstractConditioner, Damp, condition
from ..core.memory import check_block_fits
from ..core.operators import path_of
from ..core.records import System
from ..core.trees import check_params, ravel
from ..curvature import AbstractCurvature, Batch, Block, GaussNewton, Objective, Partition, Point, whole
from ..scheduling import Hybrid, Plan
from ..solvers import AbstractSolver
from .adaptation import AbstractAdaptation, LevenbergMarquardt
from .stages import BlockInfo, leaves_unformed, quadratic_decrease, solve_block
from .step_rules import AbstractStepRule, Situation


class StepInfo(eqx.Module):
    """What happened in one step; diagnostics only, the next step does not read it.

    Attributes:
        loss: mean loss of the batch before the step.
        learning_rate: as applied; of a step rule, its coefficient of the direction.
        momentum: coefficient of the last step, 0 without a step rule.
        damping_scale: factor on the damping that this step was taken with.
        reduction_ratio: actual over predicted decrease of the batch loss; NaN where the step was not tried.
        accepted: False where the trial step raised the loss and the update is zero.
        staleness: steps since the curvature was computed; 0 where it is this step's own.
        blocks: one entry per block, in the partition's order.
    """

    loss: Float[Array, ""]
    learning_rate: Float[Array, ""]
    momentum: Float[Array, ""]
    damping_scale: Float[Array, ""]
    reduction_ratio: Float[Array, ""]
    accepted: Bool[Array, ""]
    staleness: Int[Array, ""]
    blocks: tuple[BlockInfo, ...]


class NewtonState(NamedTuple):
    """State of `newton`.

    Attributes:
        count: steps taken.
        damping_scale: factor on the damping for the next step.
        last: the last step `[n]`, raveled, for a step rule with momentum; empty without a step rule.
        systems: the blocks' curvature, formed, where it is kept for several steps; otherwise empty.
        info: of the last step; zeros before the first.
    """

    count: Int[Array, ""]  # pyright: ignore[reportIncompatibleMethodOverride]  # optax's name for it
    damping_scale: Float[Array, ""]
    last: Float[Array, " n"]
    systems: tuple[System, ...]
    info: StepInfo


def newton(
    objective: Objective,
    learning_rate: optax.ScalarOrSchedule = 1.0,
    *,
    curvature: AbstractCurvature | None = None,
    partition: Partition = whole,
    conditioning: Sequence[AbstractConditioner] = (Damp(0.5),),
    solver: lx.AbstractLinearSolver | None = None,
    adaptation: AbstractAdaptation | None = None,
    step: AbstractStepRule | None = None,
    refresh: int = 1,
    clip: float | None = None,
    weight_decay: float = 0.0,
    residual_tolerance: float = 0.1,
) -> optax.GradientTransformationExtraArgs:
    """Newton's method: every block's system `A x = g` goes to the solver that is predicted to finish it soonest.

    `update(grads, state, params, batch=(inputs, targets), key=None)` returns `-learning_rate x`, with `grads` those of
    `objective(params, batch, key)`. It is pure and can be jitted; it must come last in an `optax.chain`, and
    `optax.MultiSteps` is not supported (it would show only the last batch).

    Args:
        objective: what is minimised; supplies the curvature.
        learning_rate: factor on the Newton direction, or a schedule of the step count.
        curvature: default `GaussNewton()`.
        partition: which parameters share a system: `whole`, `per_layer`, `per_tensor` or any function of `params` that
            returns blocks.
        conditioning: applied to each block from first to last. The default suits the adapted damping; with `Fixed()`,
            `Damp(5e-3)` is Q-Newton's.
        solver: default `Hybrid()`, which needs about a second for calibration when first traced; any lineax solver
            serves.
        adaptation: of the damping; default `LevenbergMarquardt()`, `Fixed()` for constant rules.
        step: how far to go along the direction, in the place of `learning_rate` and `adaptation`: `QuadraticModel()`
            takes learning rate and momentum from the exact two-dimensional model, and its damping is the factor on
            that of `conditioning` (which `Shift(1)` makes the same quantity); `LineSearch()` backtracks.
        refresh: steps that one curvature serves, damped anew in each; above 1 the formed blocks are part of the state.
        clip: largest absolute entry of the direction before the learning rate, positive; None does not clip.
        weight_decay: decoupled (Loshchilov and Hutter 2019): `learning_rate * weight_decay * params` is subtracted as
            well, and the objective does not know; at least 0. A penalty in the objective is its `l2`.
        residual_tolerance: a solve whose relative residual exceeds it counts as failed (0.1 asks for a direction, not
            for an accurate solution).

    Returns:
        The transformation. Its state is a `NewtonState` whose `info` reports on the last step. A block that cannot be
        solved takes its gradient for a direction and says so in its status; one whose gradient is not finite stays.

    Raises:
        ValueError, TypeError: from `init`, for parameters that are empty, not floating-point, or missed or repeated by
            the partition.
        MemoryError: from `init`, for a block that would not fit in memory.
    """
    if clip is not None and not clip > 0:
        raise ValueError(f"clip is {clip}: it bounds the entries of the direction and must be positive, or None")
    if not (isinstance(refresh, int) and refresh >= 1):
        raise ValueError(f"refresh is {refresh}: steps that one curvature serves, an integer of at least 1")
    if not 0 <= weight_decay < float("inf"):
        raise ValueError(f"weight_decay is {weight_decay}: it must be finite and at least 0")
    if not residual_tolerance > 0:
        raise ValueError(f"residual_tolerance is {residual_tolerance}: it must be positive, e.g. 0.1")
    if step is not None and (adaptation is not None or learning_rate != 1.0):
        raise ValueError(
            f"newton got a step rule, {type(step).__name__}, and a learning rate or an adaptation: the rule stands in "
            "for both, so leave them away"
        )
    curvature = GaussNewton() if curvature is None else curvature
    solver = Hybrid() if solver is None else solver
    adaptation = LevenbergMarquardt() if adaptation is None else adaptation
    matrix_free = isinstance(solver, AbstractSolver) and solver.matrix_free
    never_forms = matrix_free or (isinstance(solver, Hybrid) and solver.never_forms(floor=curvature.semidefinite))

    def init(params: PyTree) -> NewtonState:
        check_params(params)
        blocks = partition(params)
        _check_partition(blocks, params)
        dtype = jax.tree.leaves(params)[0].dtype
        for block in () if never_forms and refresh == 1 else blocks:
            check_block_fits(block.name, block.n, dtype.itemsize)
        scale = jnp.asarray(adaptation.initial() if step is None else step.damping, dtype)
        last = jnp.zeros(0 if step is None else sum(block.n for block in blocks), dtype)
        systems = () if refresh == 1 else tuple(blank_system(block, dtype) for block in blocks)
        return NewtonState(jnp.zeros((), jnp.int32), scale, last, systems, blank_info(blocks, dtype))

    def blank_system(block: Block, dtype: jnp.dtype) -> System:
        floor = jnp.zeros((), dtype) if curvature.semidefinite else None
        return System.of(jnp.zeros((block.n, block.n), dtype), symmetric=True, eigenvalue_floor=floor)

    def blank_info(blocks: Sequence[Block], dtype: jnp.dtype) -> StepInfo:
        # The state must have one structure from the first step on, or the user's jit compiles twice.
        def plan_of(block: Block) -> Plan | None:
            conditioned = condition(conditioning, blank_system(block, dtype), jnp.ones((), dtype))
            return solve_block(solver, conditioned, jnp.zeros(block.n, dtype), residual_tolerance)[1].plan

        def blank(block: Block) -> BlockInfo:
            # Also refuses, before any work, a solver that needs definiteness where nothing can be proven.
            plan = None if matrix_free else jax.eval_shape(lambda: plan_of(block))
            status = jnp.zeros((), jnp.int32)
            return BlockInfo(plan, status, zero, status, status, zero, zero, zero)

        zero = jnp.zeros((), dtype)
        infos = tuple(blank(block) for block in blocks)
        empty = StepInfo(zero, zero, zero, zero, zero, jnp.zeros((), bool), jnp.zeros((), jnp.int32), infos)
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), empty)

    def update(
        updates: PyTree,
        state: NewtonState,
        params: PyTree | None = None,
        *,
        batch: Batch | None = None,
        key: Key[Array, ""] | None = None,
        **_: Any,
    ) -> tuple[PyTree, NewtonState]:
        if params is None or batch is None:
            raise ValueError("newton needs update(grads, state, params, batch=(inputs, targets))")
        blocks = partition(params)
        point = Point.of(objective, params, batch, key)
        gradients = [block.take(updates) for block in blocks]
        rate = jnp.asarray(learning_rate(state.count) if callable(learning_rate) else learning_rate)
        rate = rate.astype(gradients[0].dtype)

        kept, age = state.systems, state.count % refresh
        if refresh > 1:
            kept = jax.lax.cond(
                age == 0, lambda: tuple(curvature.system(point, block).formed() for block in blocks), lambda: kept
            )
        raw, directions, infos = [], [], []
        for k, (block, gradient) in enumerate(zip(blocks, gradients, strict=True)):
            system = curvature.system(point, block)
            path = path_of(system.operator)
            if refresh > 1:
                system = kept[k]
            elif not leaves_unformed(solver, system):
                system = system.formed()
            conditioned = condition(conditioning, system, state.damping_scale)
            direction, info = solve_block(solver, conditioned, gradient, residual_tolerance, path)
            if clip is not None:
                direction = jnp.clip(direction, -clip, clip)
            raw.append(system)
            # A block whose gradient is not finite stays where it is.
            decay = jnp.where(jnp.all(jnp.isfinite(gradient)), weight_decay, 0) * block.take(params)
            directions.append(direction + decay if weight_decay else direction)
            infos.append(info)
            point = point.after(direction)

        if step is not None:
            return by_rule(step, updates, state, params, batch, key, blocks, directions, infos, kept)
        steps = [-rate * direction for direction in directions]
        moved = _joined(params, blocks, steps)
        loss = objective(params, batch, key)
        ratio, accepted = jnp.full_like(loss, jnp.nan), jnp.ones((), bool)
        if adaptation.tries:
            decrease = loss - objective(optax.apply_updates(params, moved), batch, key)
            ratio = decrease / quadratic_decrease(raw, gradients, steps)
            accepted = adaptation.accept(decrease)
            moved = jax.tree.map(lambda leaf: jnp.where(accepted, leaf, 0), moved)
        info = StepInfo(loss, rate, jnp.zeros_like(rate), state.damping_scale, ratio, accepted, age, tuple(infos))
        # Where a rise was predicted and came, the ratio is positive all the same: a refused step is never a good one.
        scale = adaptation.adapt(state.damping_scale, jnp.where(accepted, ratio, -jnp.inf))
        return moved, NewtonState(state.count + 1, scale, state.last, kept, info)

    def by_rule(
        rule: AbstractStepRule,
        updates: PyTree,
        state: NewtonState,
        params: PyTree,
        batch: Batch,
        key: Key[Array, ""] | None,
        blocks: Sequence[Block],
        directions: Sequence[Float[Array, " n"]],
        infos: Sequence[BlockInfo],
        kept: tuple[System, ...],
    ) -> tuple[PyTree, NewtonState]:
        downhill = -ravel(jax.tree.leaves(_joined(params, blocks, directions)))
        gradient = ravel(jax.tree.leaves(updates))
        situation = Situation(objective, params, batch, key, gradient, downhill, state.last, state.damping_scale)
        outcome = rule.take(situation)
        info = StepInfo(
            outcome.loss,
            outcome.learning_rate,
            outcome.momentum,
            state.damping_scale,
            outcome.reduction_ratio,
            outcome.accepted,
            state.count % refresh,
            tuple(infos),
        )
        last = jnp.where(outcome.accepted, outcome.step, state.last)
        return situation.tree(outcome.step), NewtonState(state.count + 1, outcome.damping, last, kept, info)

    # optax's types know states made of arrays alone; this one holds an equinox module.
    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def _joined(params: PyTree, blocks: Sequence[Block], vectors: Sequence[Float[Array, " n"]]) -> PyTree:
    """The blocks' vectors in the structure of the parameters."""
    tree = params
    for block, vector in zip(blocks, vectors, strict=True):
        tree = block.put(tree, vector)
    return tree


def _check_partition(blocks: Sequence[Block], params: PyTree) -> None:
    covered = sorted(i for block in blocks for i in block.leaves)
    expected = list(range(len(jax.tree.leaves(params))))
    if covered != expected:
        missing = sorted(set(expected) - set(covered))
        repeated = sorted({i for i in covered if covered.count(i) > 1})
        raise ValueError(
            f"the partition misses the parameter leaves {missing} and repeats {repeated} (positions in "
            "jax.tree.leaves(params)): every leaf must belong to exactly one block"
        )
