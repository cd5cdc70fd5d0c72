"""Newton steps whose systems are blocks of parameters, dense or left to products."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from .. import _estimation, _scheduling
from .._conditioning import AbstractConditioner, AbstractMetric, condition
from .._core.constants import unfolded
from .._core.kinds import flag, numbers
from .._core.memory import check_block_fits
from .._core.operators import Path, path_of
from .._core.records import System
from .._core.status import Status
from .._core.trees import check_gradients, check_params
from .._curvature import AbstractCurvature, Batch, Block, GaussNewton, Objective, Partition, Point, selected, whole
from .._curvature.checks import check_batch
from .._curvature.flat import StandInHessian, linear_in_outputs
from .._curvature.loss_scale import LossScale
from .._pricing.policies import Turn
from .._pricing.policies.base import remembered as chosen_last
from .._scheduling import Executed, Plan, scheduler_in
from .._solvers import capabilities_of
from .._solvers.refusals import check_linear_solver
from .adaptation import AbstractAdaptation, LevenbergMarquardt
from .arguments import check_arguments, check_numbers
from .assembly import check_partition, joined, plain
from .blank import blank_system, stand_in
from .blocks import Given, SolvedBlock, solve_blocks
from .by_rule import by_rule, flagged, or_coupled, seen_in_units, stands_for
from .correction import Correction
from .metrics import Damping, damping_of, measure, needs_layers, roots_of, unless_lost
from .stages import BlockInfo, gradient_rate, leaves_unformed, quadratic_decrease, solve_block
from .state import NewtonState, StepInfo
from .step_rules import AbstractStepRule
from .trial import try_blocks, try_whole


def block_newton(
    objective: Objective,
    learning_rate: optax.ScalarOrSchedule = 1.0,
    *,
    curvature: AbstractCurvature | None = None,
    partition: Partition = whole,
    conditioning: Sequence[AbstractConditioner] | None = None,
    metric: AbstractMetric | None = None,
    correction: Correction | None = None,
    solver: lx.AbstractLinearSolver | None = None,
    adaptation: AbstractAdaptation | None = None,
    step: AbstractStepRule | None = None,
    refresh: int = 1,
    clip: float | None = None,
    weight_decay: float = 0.0,
    residual_tolerance: float = 0.1,
    warm_start: bool = False,
    where: Callable[[Block], bool] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Newton's method block by block: every block's system `A x = g` goes to a scheduler, or to one solver.

    The family `blocks` of `newton`, where its arguments are described; None stands for the defaults told there.
    """
    check_arguments(
        objective, learning_rate, curvature, partition, conditioning, metric, correction, adaptation, step, where
    )
    warm_start = flag(warm_start, "newton: warm_start")
    refresh, clip, weight_decay, residual_tolerance = numbers(
        "newton",
        ("clip",),
        refresh=refresh,
        clip=clip,
        weight_decay=weight_decay,
        residual_tolerance=residual_tolerance,
    )
    check_numbers(refresh, clip, weight_decay, residual_tolerance)
    curvature = GaussNewton() if curvature is None else curvature
    solver = _scheduling.Hybrid() if solver is None else solver
    check_linear_solver(solver, "solver for newton")
    adaptation = LevenbergMarquardt() if adaptation is None else adaptation
    if where is not None and (step is not None or adaptation.tries):
        raise ValueError(
            "newton got where=..., and the damping follows the decrease that a step predicts: blocks without a system "
            "predict none. Use adaptation=Fixed(), without a step rule"
        )
    able, scheduler = capabilities_of(solver), scheduler_in(solver)
    if warm_start and not able.warm_start:
        raise ValueError(
            f"warm_start=True, and the solver {type(solver).__name__} takes no first guess: use CG or MINRES"
        )
    reuse = (
        scheduler.estimator if scheduler is not None and isinstance(scheduler.estimator, _estimation.Reuse) else None
    )
    remembers = scheduler is not None and scheduler.policy.remembers
    counts = scheduler is not None and scheduler.iterates
    never_forms = able.matrix_free or (scheduler is not None and scheduler.never_forms(floor=curvature.semidefinite))
    adapted = step is None and adaptation.tries and not needs_layers(solver)
    shifted = objective.l2 + curvature.shift > 0
    per_block = step is None and adaptation.tries and adaptation.per_block

    def solved_blocks(params: PyTree) -> tuple[Block, ...]:
        return selected(partition(params), where)

    def init(params: PyTree) -> NewtonState:
        check_params(params)
        check_partition(partition(params), params)
        blocks = solved_blocks(params)
        dtype = jax.tree.leaves(params)[0].dtype
        for block in () if never_forms and refresh == 1 else blocks:
            check_block_fits(block.name, block.n, dtype.itemsize)
        shape = (len(blocks),) if per_block else ()
        scale = jnp.full(shape, adaptation.initial() if step is None else step.damping, dtype)
        radius = jnp.asarray(jnp.inf if step is None else step.radius, dtype)
        last = jnp.zeros(0 if step is None else sum(block.n for block in blocks), dtype)
        known = curvature.semidefinite
        systems = () if refresh == 1 else tuple(blank_system(block, dtype, semidefinite=known) for block in blocks)
        starts = tuple(jnp.zeros(block.n, dtype) for block in blocks) if warm_start else ()
        estimates = () if reuse is None else tuple(reuse.init(dtype) for _ in blocks)
        turns = [turn for turn in first_turns(blocks, dtype) if turn is not None]
        choices = tuple(turn.last for turn in turns) if remembers else ()
        factors = tuple(turn.factors for turn in turns if turn.factors is not None) if counts else ()
        damping = damping_of(params, metric, conditioning, adapted)
        metrics = () if damping.metric.fixed else tuple(damping.metric.init(block.n, dtype) for block in blocks)
        info = blank_info(damping, blocks, dtype)
        zero = jnp.zeros((), jnp.int32)
        unit = LossScale.unknown(dtype)
        return NewtonState(zero, scale, radius, unit, last, systems, starts, estimates, choices, factors, metrics, info)

    def first_turns(blocks: Sequence[Block], dtype: jnp.dtype) -> list[Turn | None]:
        if scheduler is None:
            return [None] * len(blocks)
        rows = sum(block.n for block in blocks)
        return [scheduler.first_turn(block.n / rows, dtype) for block in blocks]

    def formed(curvature: AbstractCurvature, point: Point, block: Block) -> System:
        return dataclasses.replace(curvature.system(point, block).formed(), layout=None)

    def blank_info(damping: Damping, blocks: Sequence[Block], dtype: jnp.dtype) -> StepInfo:
        # The state must have one structure from the first step on, or the user's jit compiles twice.
        def plan_of(block: Block) -> Plan | None:
            blank = stand_in(block, dtype, semidefinite=curvature.semidefinite)
            conditioned = condition(damping.conditioning, blank, jnp.ones((), dtype))
            estimate = None if reuse is None else reuse.after(conditioned, reuse.init(dtype))[0]
            vector = jnp.zeros(block.n, dtype)
            return solve_block(solver, conditioned, vector, residual_tolerance, estimate=estimate)[1].plan

        # One per size. Also refuses, before any work, a solver that needs definiteness where nothing can be proven.
        plans = (
            {}
            if able.matrix_free
            else {b.n: jax.eval_shape(lambda b=b: plan_of(b)) for b in {b.n: b for b in blocks}.values()}
        )

        def blank(block: Block) -> BlockInfo:
            plan = plans.get(block.n)
            status = jnp.zeros((), jnp.int32)
            executed = None if plan is None else Executed(zero, zero, status)
            counts = status, executed, status
            return BlockInfo(plan, status, zero, *counts, zero, zero, status, status, zero, zero, zero, zero, zero)

        zero = jnp.zeros((), dtype)
        infos = tuple(blank(block) for block in blocks)
        empty = StepInfo(zero, zero, zero, zero, zero, zero, jnp.zeros((), bool), jnp.zeros((), jnp.int32), infos)
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), empty)

    def build(curvature: AbstractCurvature, block: Block, kept: System | None, point: Point) -> tuple[System, Path]:
        system = curvature.system(point, block)
        path = path_of(system.operator)
        # The layers are no part of the state: they are the same in every step, and not known before the first.
        return (system if kept is None else dataclasses.replace(kept, layout=system.layout)), path

    def solve(
        damping: Damping, rate: Float[Array, ""], system: System, path: Path | Int[Array, ""], given: Given
    ) -> SolvedBlock:
        system = system if leaves_unformed(solver, system) else system.formed()
        measured, fallback, memory = system, given.gradient, given.metric
        if memory is not None:
            memory, roots, measured = measure(damping.metric, memory, system, given.params, shifted)
            fallback = given.gradient / roots / roots
        conditioned = condition(damping.conditioning, measured, given.scale)
        estimate = remembered = None
        if reuse is not None and given.remembered is not None:
            estimate, remembered = reuse.after(conditioned, given.remembered)
        value, info = solve_block(
            solver,
            conditioned,
            given.gradient,
            residual_tolerance,
            path,
            given.start,
            estimate,
            correction,
            given.turn,
            fallback,
        )
        if step is not None or adaptation.tries:
            shorter = gradient_rate(info.damping, given.scale, fallback, given.params)
            value = jnp.where(info.status == Status.OK, value, shorter * value)
        direction = value if clip is None else jnp.clip(value, -clip, clip)
        if weight_decay:
            # A block whose gradient is not finite stays where it is.
            direction = direction + jnp.where(jnp.all(jnp.isfinite(given.gradient)), weight_decay, 0) * given.params
        predicted = jnp.zeros_like(rate)
        if step is None and adaptation.tries:
            predicted = quadratic_decrease(system, given.gradient, -rate * direction)
        # The gradient that stands in for a solution is no guess at one.
        start = None if given.start is None else jnp.where(info.status == Status.OK, value, 0)
        return SolvedBlock(direction, start, remembered, predicted, info, memory)

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
        params, batch, key = unfolded((params, batch, key))
        check_batch(batch)
        check_gradients(updates, params)
        blocks, damping = solved_blocks(params), damping_of(params, metric, conditioning, adapted)
        point = Point.of(objective, params, batch, key)
        gradients = [block.take(updates) for block in blocks]
        rate = jnp.asarray(learning_rate(state.count) if callable(learning_rate) else learning_rate)
        rate = rate.astype(gradients[0].dtype)

        kept, age, taken = state.systems, state.count % refresh, curvature
        # A Hessian has no square root.
        if isinstance(curvature, GaussNewton) and not able.needs_root:
            taken = StandInHessian() if linear_in_outputs(objective, params, batch, key) else curvature
        if refresh > 1:
            kept = jax.lax.cond(age == 0, lambda: tuple(formed(taken, point, block) for block in blocks), lambda: kept)
        builds = [partial(build, taken, block, kept[k] if refresh > 1 else None) for k, block in enumerate(blocks)]
        scales = jnp.broadcast_to(state.damping_scale, len(blocks))
        turns = first_turns(blocks, gradients[0].dtype)
        if remembers:
            turns = [
                None if turn is None else Turn(last, turn.share, turn.factors)
                for turn, last in zip(turns, state.choices, strict=True)
            ]
        if counts:
            turns = [
                None if turn is None else Turn(turn.last, turn.share, factors)
                for turn, factors in zip(turns, state.factors, strict=True)
            ]
        givens = [
            Given(
                gradient,
                block.take(params),
                scales[k],
                state.starts[k] if warm_start else None,
                state.estimates[k] if reuse is not None else None,
                turns[k],
                state.metrics[k] if state.metrics else None,
            )
            for k, (block, gradient) in enumerate(zip(blocks, gradients, strict=True))
        ]
        solved = solve_blocks(point, builds, givens, partial(solve, damping, rate), solver)
        directions = [result.direction for result in solved]
        infos = [
            dataclasses.replace(
                result.info,
                damping_scale=scale,
                independence=jnp.asarray(point.examples.verdict.kind, jnp.int32),
                status=or_coupled(result.info.status, point.examples.good),
            )
            for result, scale in zip(solved, scales, strict=True)
        ]
        starts = tuple(result.start for result in solved) if warm_start else ()
        estimates = tuple(result.remembered for result in solved) if reuse is not None else ()
        choices = (
            tuple(
                chosen_last(info.plan.choice, info.plan.verdict, last)
                for info, last in zip(infos, state.choices, strict=True)
                if info.plan is not None
            )
            if remembers
            else ()
        )
        factors = ()
        if counts and scheduler is not None:
            factors = tuple(
                scheduler.observed(last, info.plan, info.iterations)
                for info, last in zip(infos, state.factors, strict=True)
                if info.plan is not None
            )
        following = state._replace(
            count=state.count + 1,
            systems=kept,
            starts=starts,
            estimates=estimates,
            choices=choices,
            factors=factors,
            metrics=tuple(result.metric for result in solved) if state.metrics else (),
        )
        if step is not None:
            roots = roots_of(damping, params, blocks, following.metrics)
            shifts = [stands_for(info, given) for info, given in zip(infos, givens, strict=True)]
            parts = blocks, directions, shifts
            situation = seen_in_units(objective, params, batch, key, updates, parts, roots, state)
            moved, after = by_rule(step, situation, age, infos, following)
            return moved, after._replace(metrics=unless_lost(after.info.loss, after.metrics, state.metrics))
        moved = params
        if where is not None:
            moved = jax.tree.map(lambda g, w: -rate * plain(g, w, weight_decay), updates, params)
        moved = joined(moved, blocks, [-rate * direction for direction in directions])

        def batch_loss(params: PyTree) -> Float[Array, ""]:
            return objective(params, batch, key)

        loss = batch_loss(params)
        ratio, accepted = jnp.full_like(loss, jnp.nan), jnp.isfinite(loss)
        scale = state.damping_scale if adaptation.tries else adaptation.adapt(state.damping_scale, ratio)
        if adaptation.tries:
            predictions = jnp.stack([result.predicted for result in solved])
            if per_block:
                trial = try_blocks(batch_loss, params, moved, loss, predictions, blocks, gradients)
            else:
                trial = try_whole(batch_loss, params, moved, loss, predictions)
            ratio, accepted = trial.ratio, trial.accepted(adaptation)
            failed = [(info.status == Status.NOT_SOLVED) & (info.damping > 0) for info in infos]
            following_scale = trial.adapted(adaptation, scale, accepted)
            # Rounding of products does not grow with the rows as that of a factorisation does.
            rows = [1 if able.matrix_free else block.n for block in blocks]
            scale = adaptation.after_solves(scale, following_scale, jnp.stack(failed), rows)
            infos = [
                dataclasses.replace(info, reduction_ratio=own) for info, own in zip(infos, trial.ratios, strict=True)
            ]
        moved = jax.tree.map(lambda leaf: jnp.where(accepted, leaf, 0), moved)
        infos = flagged(infos, loss)
        shared = jnp.full_like(rate, jnp.nan) if per_block else state.damping_scale
        info = StepInfo(loss, rate, jnp.zeros_like(rate), shared, state.radius, ratio, accepted, age, tuple(infos))
        metrics = unless_lost(loss, following.metrics, state.metrics)
        return moved, following._replace(damping_scale=scale, metrics=metrics, info=info)

    # optax's types know states made of arrays alone; this one holds an equinox module.
    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]
