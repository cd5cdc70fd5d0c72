"""The steps of `newton` on blocks: each block's system is built, conditioned and solved, then scaled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key, PyTree

from .._conditioning import AbstractConditioner, AbstractMetric
from .._core.arrays import filled
from .._core.constants import unfolded
from .._core.memory import check_block_fits
from .._core.placement import in_context
from .._core.trees import check_gradients, check_params, ravel
from .._curvature import Batch, Block, Objective, Partition, Point, selected
from .._curvature.checks import check_batch
from .._curvature.loss_scale import LossScale
from .._devices.crew import crew
from .adaptation import AbstractAdaptation
from .applied import Found, Left
from .assembly import check_partition, joined, plain
from .blank_info import blank_info, plan_shapes
from .block_records import recorded
from .blocks import Build, Given, SolvedBlock, solve_blocks
from .by_adaptation import by_adaptation, scales_each
from .by_rule import by_rule
from .elsewhere import solve_elsewhere
from .inside_optax import needs_batch
from .kept_curvature import KeptBlock, KeptCurvature
from .metrics import Damping, damping_of, needs_layers
from .one_block import BlockSolve
from .stages import BlockInfo
from .state import NewtonState, StepInfo
from .step_rules import AbstractStepRule
from .step_start import StepStart
from .turns import choices_after, factors_after, first_choices, first_factors, first_turns, turns_of


@dataclass(frozen=True)
class BlockSteps:
    """`init` and `update` of an optax transformation.

    Attributes:
        objective: what is minimised.
        learning_rate: number or schedule; without a step rule.
        curvature: of the blocks.
        partition: of the parameters into blocks.
        where: which blocks get a system; None: all of them.
        metric: what the damping is a multiple of; None: the default for the parameters.
        conditioning: of the systems; None: the default for the metric.
        one_block: how each is solved.
        adaptation: of the damping, without a step rule.
        step: how far to go; None: as the learning rate says.
        warm_start: whether a solve starts from the block's last solution.
    """

    objective: Objective
    learning_rate: optax.ScalarOrSchedule
    curvature: KeptCurvature
    partition: Partition
    where: Callable[[Block], bool] | None
    metric: AbstractMetric | None
    conditioning: Sequence[AbstractConditioner] | None
    one_block: BlockSolve
    adaptation: AbstractAdaptation
    step: AbstractStepRule | None
    warm_start: bool

    def init(self, params: PyTree) -> NewtonState:
        """The state before the first step."""
        check_params(params)
        check_partition(self.partition(params), params)
        blocks, damping = self._blocks(params), self._damping(params)
        dtype = jax.tree.leaves(params)[0].dtype
        self._check_sizes(blocks, dtype)
        each = (len(blocks),) if self.step is None and scales_each(self.adaptation) else ()
        scale = self.adaptation.initial() if self.step is None else self.step.damping
        reuse, scheduler = self.one_block.known.reuse, self.one_block.known.scheduler
        turns = first_turns(scheduler, blocks, dtype)
        return NewtonState(
            count=filled((), 0, jnp.int32),
            damping_scale=filled(each, scale, dtype),
            scale_before=filled(each, scale, dtype),
            radius=filled((), float("inf") if self.step is None else self.step.radius, dtype),
            scale=LossScale.unknown(dtype),
            last=None if self.step is None else filled((sum(block.n for block in blocks),), 0, dtype),
            systems=self.curvature.blank(blocks, dtype),
            starts=tuple(filled((block.n,), 0, dtype) for block in blocks) if self.warm_start else (),
            estimates=() if reuse is None else tuple(reuse.init(dtype) for _ in blocks),
            choices=first_choices(scheduler, turns),
            factors=first_factors(scheduler, turns),
            metrics=() if damping.metric.fixed else tuple(damping.metric.init(block.n, dtype) for block in blocks),
            left=Left.nothing(dtype),
            info=self._blank_info(damping, blocks, dtype),
        )

    def update(
        self,
        updates: PyTree,
        state: NewtonState,
        params: PyTree | None = None,
        *,
        batch: Batch | None = None,
        key: Key[Array, ""] | None = None,
        **_: Any,
    ) -> tuple[PyTree, NewtonState]:
        """The step, and the state after it."""
        if params is None or batch is None:
            raise ValueError(needs_batch("newton"))
        params, batch, key = unfolded((params, batch, key))
        check_batch(batch)
        check_gradients(updates, params)
        start = self._start(updates, state, params, batch, key)
        blocks, state = start.blocks, start.state
        curvature = self.curvature.on(self.objective, params, batch, key)
        kept = self.curvature.refreshed(curvature, start.point, blocks, state.systems, start.age)
        builds = self.curvature.builds(curvature, blocks, kept)
        scales = jnp.broadcast_to(state.damping_scale, len(blocks))
        givens = self._givens(start, scales)
        solved = self._solved(start, builds, givens)
        infos = recorded(solved, scales, start.point)
        following = self._following(state, kept, solved, infos)
        directions = [result.direction for result in solved]
        if self.step is not None:
            return by_rule(self.step, start, directions, givens, infos, following)
        predicted = [result.predicted for result in solved]
        rows = self._rows(blocks)
        return by_adaptation(self.adaptation, start, self._moved(start, directions), predicted, rows, infos, following)

    def _solved(self, start: StepStart, builds: Sequence[Build], givens: Sequence[Given]) -> list[SolvedBlock]:
        one, scheduler = self.one_block, self.one_block.known.scheduler
        if scheduler is not None and scheduler.workers is not None:
            begin = Partial(one.begin, start.damping, start.rate)
            return solve_elsewhere(start.point, start.blocks, builds, givens, begin, scheduler, one.residual_tolerance)
        solve = Partial(one.solve, start.damping, start.rate)
        devices = None if one.traced else crew()
        return solve_blocks(start.point, builds, givens, solve, one.known.solver, devices)

    def _blocks(self, params: PyTree) -> tuple[Block, ...]:
        return selected(self.partition(params), self.where)

    def _damping(self, params: PyTree) -> Damping:
        adapted = self.step is None and self.adaptation.tries and not needs_layers(self.one_block.known.solver)
        return damping_of(params, self.metric, self.conditioning, adapted)

    def _check_sizes(self, blocks: Sequence[Block], dtype: jnp.dtype) -> None:
        """Refuse blocks that will be formed and do not fit into memory."""
        never_forms = self.one_block.known.never_forms(floor=self.curvature.curvature.semidefinite)
        for block in () if never_forms and self.curvature.refresh == 1 else blocks:
            check_block_fits(block.name, block.n, dtype.itemsize)

    def _blank_info(self, damping: Damping, blocks: Sequence[Block], dtype: jnp.dtype) -> StepInfo:
        semidefinite, one = self.curvature.curvature.semidefinite, self.one_block
        plans = plan_shapes(
            one.known, damping.conditioning, one.residual_tolerance, blocks, dtype, semidefinite=semidefinite
        )
        return blank_info(one.known, plans, blocks, dtype)

    def _start(
        self, updates: PyTree, state: NewtonState, params: PyTree, batch: Batch, key: Key[Array, ""] | None
    ) -> StepStart:
        blocks, damping = self._blocks(params), self._damping(params)
        point = Point.of(self.objective, params, batch, key)
        before, flat = self.objective(params, batch, key), ravel(jax.tree.leaves(params))
        rows = self._rows(blocks)
        found, scale = state.left.found(flat, batch, before, lambda found: self._revised(state, found, rows))
        state = state._replace(damping_scale=scale)
        gradients = [block.take(updates) for block in blocks]
        rate = self.learning_rate(state.count) if callable(self.learning_rate) else self.learning_rate
        rate = jnp.asarray(in_context(rate))
        rate = rate.astype(gradients[0].dtype)
        age = state.count % self.curvature.refresh
        return StepStart(
            self.objective,
            updates,
            state,
            params,
            batch,
            key,
            blocks,
            damping,
            point,
            gradients,
            rate,
            age,
            before,
            flat,
            found,
        )

    def _rows(self, blocks: Sequence[Block]) -> list[int]:
        """Return each block's rows, which rounding in its solve grows with; 1 for a solve by products."""
        return [1 if self.one_block.known.able.matrix_free else block.n for block in blocks]

    def _revised(self, state: NewtonState, found: Found, rows: Sequence[int]) -> Float[Array, "*blocks"]:
        """Return the damping scale, by the ratio of the step that was taken if that differs from the one tried."""
        if self.step is None and not self.adaptation.tries:
            return state.damping_scale
        scale, ratio = state.scale_before, jnp.where(found.lower, found.ratio, -jnp.inf)
        if self.step is not None:
            following = self.step.revised(scale, found.ratio, found.lower)
        else:
            adapted = jax.vmap(self.adaptation.adapt, (0, None)) if scale.ndim else self.adaptation.adapt
            none = jnp.zeros(len(rows), bool)
            following = self.adaptation.after_solves(scale, adapted(scale, ratio), none, rows)
        if following is None:
            return state.damping_scale
        return jnp.where(found.judges, following, state.damping_scale).astype(scale.dtype)

    def _givens(self, start: StepStart, scales: Float[Array, " blocks"]) -> list[Given]:
        """Return each block's solve arguments besides its curvature; None for what the state does not keep."""
        state, blocks, none = start.state, start.blocks, [None] * len(start.blocks)
        turns = turns_of(self.one_block.known.scheduler, blocks, state, start.gradients[0].dtype)
        kept = zip(state.starts or none, state.estimates or none, turns, state.metrics or none, strict=True)
        return [
            Given(gradient, block.take(start.params), scales[k], *of_block)
            for k, (block, gradient, of_block) in enumerate(zip(blocks, start.gradients, kept, strict=True))
        ]

    def _following(
        self, state: NewtonState, kept: tuple[KeptBlock, ...], solved: Sequence[SolvedBlock], infos: Sequence[BlockInfo]
    ) -> NewtonState:
        """Return the next step's state, as far as the solves determine it."""
        scheduler = self.one_block.known.scheduler
        choices = choices_after(scheduler, infos, state.choices)
        factors = factors_after(scheduler, infos, state.factors)
        return state._replace(
            count=state.count + 1,
            systems=kept,
            starts=tuple(result.start for result in solved) if state.starts else (),
            estimates=tuple(result.remembered for result in solved) if state.estimates else (),
            choices=choices,
            factors=factors,
            metrics=tuple(result.metric for result in solved) if state.metrics else (),
        )

    def _moved(self, start: StepStart, directions: Sequence[Float[Array, " n"]]) -> PyTree:
        """Return the step of the learning rate, laid out as the parameters; without a system, along the gradient."""
        rate, decay, moved = start.rate, self.one_block.weight_decay, start.params
        if self.where is not None:
            moved = jax.tree.map(lambda g, w: -rate * plain(g, w, decay), start.updates, start.params)
        return joined(moved, start.blocks, [-rate * direction for direction in directions])
