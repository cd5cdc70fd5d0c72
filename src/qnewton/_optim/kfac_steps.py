"""The steps of `kfac`: factors refreshed periodically, every layer's system scheduled, the length set by a rule."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, UInt32

from .._core.arrays import filled
from .._core.constants import unfolded
from .._core.kinds import known
from .._core.layout import Layout
from .._core.one_kernel import in_one_kernel
from .._core.operators import KroneckerFactors
from .._core.status import Status
from .._core.trees import check_gradients, check_params, ravel
from .._curvature.checks import check_batch
from .._curvature.factors import KnownInputs, estimate_factors
from .._curvature.fingerprint import fingerprint
from .._curvature.independence import Coupling, independence
from .._curvature.loss_scale import LossScale
from .._curvature.network import coverage_of
from .._curvature.objective import Batch, Objective
from .._curvature.point import Point
from .._curvature.stored import stored_rounding
from .._scheduling.families import scheduler_of
from .._scheduling.group_plan import PackedPlans
from .._scheduling.hybrid import Hybrid
from .applied import Left
from .divided import divided
from .inside_optax import needs_batch
from .kfac_pace import Begun, NoisyBatches, Pace
from .kfac_state import KFACInfo, KFACState
from .kronecker_solves import KroneckerSolves, LayerSystems
from .layer_structure import layers_and_layout, program_of_inputs
from .new_batches import Reached
from .step_rules import AbstractStepRule, QuadraticModel, Situation, StepOutcome

_PROBES = 0xFAC
WIDE = 128
"""Inputs of a layer from which on its factor takes longer to find than to see that the batch is the same."""
FEWEST = 5
"""Steps between two refreshes of narrow layers' factors."""


class _Refreshed(NamedTuple):
    scale: LossScale
    factors: KroneckerFactors
    solves: KroneckerSolves
    packed: PackedPlans
    inputs: UInt32[Array, "2"]


class _Ended(NamedTuple):
    """Scalars after the step: of the state and the info, and whether everything is finite."""

    count: Int[Array, ""]  # pyright: ignore[reportIncompatibleMethodOverride]
    age: Int[Array, ""]
    sound: Bool[Array, ""]
    accepted: Bool[Array, ""]
    damping: Float[Array, ""]
    radius: Float[Array, ""]
    reached: Reached
    applied_ratio: Float[Array, ""]


@dataclass(frozen=True)
class KFACSteps:
    """`init` and `update` of an optax transformation.

    Attributes:
        objective: what is minimised.
        rule: how far to go.
        pace: of the refreshes; None: as the layers' shapes suggest.
        noisy: what takes the place of both once a new batch is noticed; None: nothing does.
        probes: backward passes per refresh.
        example: the model's inputs, arrays or shapes, for `init`; None: plain features.
        scheduler: of the layers' systems.
    """

    objective: Objective
    rule: AbstractStepRule
    pace: Pace | None
    noisy: NoisyBatches | None
    probes: int
    example: PyTree | None
    scheduler: Hybrid

    @classmethod
    def for_batches(
        cls,
        objective: Objective,
        minibatch: bool | None,
        example: PyTree | None,
        solver: lx.AbstractLinearSolver | None,
    ) -> "KFACSteps":
        """Return the steps with the settings that `newton` uses.

        Args:
            objective: what is minimised.
            minibatch: whether a batch is a part of the data; None: new batches are noticed.
            example: as in the attribute.
            solver: of the systems.
        """
        noisy, scheduler = NoisyBatches(), scheduler_of(solver, "newton")
        if minibatch:
            return cls(objective, noisy.rule, noisy.pace, None, 1, example, scheduler)
        return cls(objective, QuadraticModel(), None, noisy if minibatch is None else None, 1, example, scheduler)

    def init(self, params: PyTree) -> KFACState:
        """The state before the first step."""
        check_params(params)
        dtype = jax.tree.leaves(params)[0].dtype
        program = program_of_inputs(self.objective, params, self.example)
        layers, layout = layers_and_layout(program, params)
        coverage = coverage_of(program, layers, [leaf.size for leaf in jax.tree.leaves(params)])
        lead = [(count,) if count > 1 else () for count in layout.copies]
        factors = KroneckerFactors(
            layout,
            tuple(filled((*c, i, i), 0, dtype) for c, (i, _) in zip(lead, layout.shapes, strict=True)),
            tuple(filled((*c, a, a), 0, dtype) for c, (_, a) in zip(lead, layout.shapes, strict=True)),
            filled((sum(size for _, size in layout.rest),), 0, dtype) if layout.rest else None,
        )
        solves, packed = self._systems(layout, dtype).blank(factors, dtype)
        zero, never, no = filled((), 0, dtype), filled((), -1, jnp.int32), filled((), False, bool)
        info = KFACInfo(
            zero,
            zero,
            zero,
            zero,
            zero,
            zero,
            zero,
            zero,
            no,
            never,
            no,
            no,
            zero,
            status=solves.status,
            packed=packed,
            coverage=coverage,
        )
        return KFACState(
            count=filled((), 0, jnp.int32),
            damping=filled((), self.rule.damping, dtype),
            damping_before=filled((), self.rule.damping, dtype),
            radius=filled((), self.rule.radius, dtype),
            scale=LossScale.unknown(dtype),
            reached=Reached.nowhere(dtype),
            age=never,
            inputs=filled((2,), 0, jnp.uint32),
            factors=factors,
            solves=solves,
            last=filled((layout.n,), 0, dtype),
            left=Left.nothing(dtype),
            info=info,
        )

    def update(
        self,
        updates: PyTree,
        state: KFACState,
        params: PyTree | None = None,
        *,
        batch: Batch | None = None,
        key: Key[Array, ""] | None = None,
        **_: Any,
    ) -> tuple[PyTree, KFACState]:
        """The step, and the state after it."""
        if params is None or batch is None:
            raise ValueError(needs_batch("kfac"))
        params, batch, key = unfolded((params, batch, key))
        check_batch(batch)
        check_gradients(updates, params)
        gradient = ravel(jax.tree.leaves(updates))
        finite = jnp.all(jnp.isfinite(gradient))
        pace = self._pace(state.factors.layout)
        # Made here, because it traces the model, which a branch must not do.
        verdict = independence(self.objective, params, batch, key)
        loss, flat = self.objective(params, batch, key).astype(gradient.dtype), ravel(jax.tree.leaves(params))
        begins = partial(Begun.of, state, loss, finite, verdict.rounding, pace, self.rule, self.noisy)
        found, begun = state.left.found(flat, batch, loss, begins)
        reached, average, due = begun.reached, begun.average, begun.due
        state = state._replace(damping=begun.damping, age=begun.age)
        if self.noisy is not None:
            # A new rule has no use for another one's last step.
            state = state._replace(last=jnp.where(begun.turned, 0, state.last))
        scale, factors, solves, packed, inputs = jax.lax.cond(
            due,
            lambda: self._refreshed(state, params, batch, key, average, verdict),
            lambda: _Refreshed(state.scale, state.factors, state.solves, state.info.packed, state.inputs),
        )
        gradient = gradient / scale.divisor
        solution, solved = self._systems(factors.layout, gradient.dtype).solve(solves, gradient)
        situation = Situation(
            objective=self.objective,
            params=params,
            batch=batch,
            key=key,
            scale=scale,
            gradient=gradient,
            direction=-solution,
            last=state.last,
            damping=state.damping,
            shift=state.damping,
            radius=state.radius,
            here=loss / scale.divisor,
        )
        outcome = self._taken(situation, reached.noisy).of_loss(scale)

        def ended() -> _Ended:
            sound = finite & jnp.isfinite(outcome.loss)
            accepted = outcome.accepted & sound
            age = jnp.where(due, 0, jnp.where(state.age < 0, -1, state.age + 1)).astype(jnp.int32)
            return _Ended(
                count=state.count + 1,
                age=age,
                sound=sound,
                accepted=accepted,
                damping=jnp.where(sound, outcome.damping, state.damping),
                radius=jnp.where(sound, outcome.radius, state.radius),
                reached=reached.after(outcome.loss, outcome.actual_decrease, accepted),
                applied_ratio=found.ratio.astype(gradient.dtype),
            )

        end = in_one_kernel(ended)
        age, accepted = end.age, end.accepted
        status = jnp.where(end.sound, jnp.where(scale.flat, Status.NO_CURVATURE, solved), Status.NOT_FINITE)
        step = jnp.where(accepted, outcome.step, 0)
        info = KFACInfo(
            loss=outcome.loss,
            damping=state.damping,
            radius=state.radius,
            learning_rate=outcome.learning_rate,
            momentum=outcome.momentum,
            predicted_decrease=outcome.predicted_decrease,
            actual_decrease=outcome.actual_decrease,
            reduction_ratio=outcome.reduction_ratio,
            accepted=accepted,
            staleness=age,
            noisy=reached.noisy,
            altered=found.altered,
            applied_ratio=end.applied_ratio,
            status=status.astype(jnp.int32),
            packed=packed,
            coverage=state.info.coverage,
        )
        following = KFACState(
            count=end.count,
            damping=end.damping,
            damping_before=state.damping,
            radius=end.radius,
            scale=scale,
            reached=end.reached,
            age=age,
            inputs=inputs,
            factors=factors,
            solves=solves,
            last=jnp.where(accepted, step, state.last),
            left=state.left.after(
                found,
                step,
                accepted,
                outcome.loss,
                outcome.predicted_decrease,
                stored_rounding(self.objective),
                gradient,
                scale.divisor,
            ),
            info=info,
        )
        return situation.tree(step), following

    def _pace(self, layout: Layout) -> Pace:
        return Pace(affordable(layout), 0.0) if self.pace is None else self.pace

    def _systems(self, layout: Layout, dtype: jnp.dtype) -> LayerSystems:
        refresh = self._pace(layout).refresh
        # Who could win is decided while the program is made: for the usual number of steps, if theirs may change.
        return LayerSystems.of(layout, self.scheduler, refresh if known(refresh) else FEWEST, dtype)

    def _taken(self, situation: Situation, noisy: Bool[Array, ""]) -> StepOutcome:
        if self.noisy is None:
            return self.rule.take(situation)
        clipped, ahead = self.noisy.rule, situation.ahead()
        return jax.lax.cond(noisy, lambda: clipped.take(situation), lambda: self.rule.take(ahead))

    def _refreshed(
        self,
        state: KFACState,
        params: PyTree,
        batch: Batch,
        key: Key[Array, ""] | None,
        average: Float[Array, ""] | float,
        verdict: Coupling,
    ) -> _Refreshed:
        point = Point.of(self.objective, params, batch, key, verdict).singly("K-FAC")
        layers, layout = layers_and_layout(point.program, params)
        if layout != state.factors.layout:
            raise ValueError(
                "the layers of the model on this batch are not those that the state was laid out for: pass "
                "example=inputs to kfac, with the shapes and dtypes of a batch's inputs"
            )
        # New probes each time, or the average would repeat one sample's error.
        noise = jax.random.fold_in(jax.random.key(_PROBES) if key is None else key, state.count)
        weight = jnp.where(state.age < 0, 0, average).astype(state.damping.dtype)
        constant = [
            k
            for k, layer in enumerate(layers)
            if not any(one.lead.upstream for one in layer.whole) and layer.shape[0] >= WIDE and key is None
        ]
        known, inputs = {}, state.inputs
        if constant:
            # By all of a batch's inputs, since nothing tells which of them a layer reads.
            seen = fingerprint(batch[0])
            same = jnp.all(seen == state.inputs) & jnp.any(seen != 0)
            known = {k: KnownInputs(state.factors.inputs[k], same) for k in constant}
            inputs = jnp.where(same | (weight == 0), seen, 0)
        fresh, scale = divided(
            lambda point: estimate_factors(point, layers, layout, state.scale, self.probes, noise, known),
            point,
            sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state.factors)),
        )
        # An array without entries is refused by what saves states.
        fresh = fresh if layout.rest else replace(fresh, rest=None)
        mixed = jax.tree.map(lambda old, new: weight * old + (1 - weight) * new, state.factors, fresh)
        damping = state.damping + scale.penalty(self.objective)
        solves, packed = self._systems(layout, state.damping.dtype).set_up(mixed, damping, state.info.packed)
        # A batch that overflows must not poison the averages for good. Traces tell: every entry once more takes longer
        # than all else of a refresh.
        sound = jnp.all(solves.status != Status.NOT_FINITE)
        if point.examples.good is not None:
            status = jnp.where(point.examples.good, solves.status, jnp.int32(Status.COUPLED))
            solves = eqx.tree_at(lambda all_of: all_of.status, solves, status)
        kept = jax.tree.map(lambda old, new: jnp.where(sound, new, old), state.factors, mixed)
        return _Refreshed(scale, kept, solves, packed, jnp.where(sound, inputs, 0))


def affordable(layout: Layout) -> int:
    """Return the refresh interval, 5 to 20 steps, at which refreshing takes about a third of the time.

    Counted in operations for each example: a step's passes take some `14 i a` in a layer of i inputs and a outputs (a
    gradient, two directions, one loss more), a refresh `6 i a` and the products `2 (i^2 + a^2)` of its factors.
    """
    shapes = list(zip(layout.copies, layout.shapes, strict=True))
    step = sum(14 * c * i * a for c, (i, a) in shapes)
    refresh = sum(c * (6 * i * a + 2 * (i**2 + a**2)) for c, (i, a) in shapes)
    return max(FEWEST, min(20, round(2 * refresh / max(step, 1))))
