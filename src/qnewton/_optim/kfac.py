"""K-FAC as a complete optimizer: direction, length, momentum and damping."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from .._core.constants import unfolded
from .._core.kinds import check_kind, numbers
from .._core.layout import Layout
from .._core.operators import KroneckerFactors
from .._core.renamed import renamed
from .._core.status import Status
from .._core.trees import check_gradients, check_params, ravel
from .._curvature.checks import check_batch
from .._curvature.factors import estimate_factors
from .._curvature.loss_scale import LossScale
from .._curvature.objective import Batch, Objective, check_objective
from .._curvature.point import Point
from .._scheduling.families import scheduler_of
from .._scheduling.groups import GroupPlan
from .kronecker_solves import KroneckerSolves, LayerSystems
from .layer_structure import layers_and_layout, program_of_inputs
from .step_rules import AbstractStepRule, QuadraticModel, Situation

_PROBES = 0xFAC


class KFACInfo(eqx.Module):
    """What happened in one step; diagnostics only, the next step does not read it.

    Attributes:
        loss: mean loss of the batch before the step, l2 included.
        damping: that this step was taken with, in units of the loss (`LossScale`).
        radius: longest step that was trusted; infinite without a trust region.
        learning_rate: coefficient of the K-FAC direction.
        momentum: coefficient of the last step.
        predicted_decrease, actual_decrease: of the loss on the step's own batch; NaN under a rule that does not look.
        reduction_ratio: actual over predicted decrease.
        accepted: False where the update is zero: the step would have raised the loss, or something is not finite.
        staleness: steps since the factors were refreshed; 0 in the step that refreshes them, -1 before the first.
        status: a `Status` for each recognised layer, in the layout's order, and one for the rest.
        systems: of each group of layers of equal shape, what its systems cost and who solves them.
    """

    loss: Float[Array, ""]
    damping: Float[Array, ""]
    radius: Float[Array, ""]
    learning_rate: Float[Array, ""]
    momentum: Float[Array, ""]
    predicted_decrease: Float[Array, ""]
    actual_decrease: Float[Array, ""]
    reduction_ratio: Float[Array, ""]
    accepted: Bool[Array, ""]
    staleness: Int[Array, ""]
    status: Int[Array, " blocks"]
    systems: tuple[GroupPlan, ...]


class KFACState(NamedTuple):
    """State of `kfac`.

    Attributes:
        count: steps taken.
        damping: for the next step, in units of the loss.
        radius: longest step that is trusted; infinite without a trust region.
        scale: the loss's unit.
        age: steps since the factors were refreshed, -1 before the first refresh.
        factors: running averages, in units of the loss; their `layout` says which parameters belong to which layer.
        solves: of the damped factors, as of the last refresh.
        last: the last step that was taken `[n]`, raveled parameters.
        info: of the last step; zeros before the first.
    """

    count: Int[Array, ""]  # pyright: ignore[reportIncompatibleMethodOverride]  # optax's name for it
    damping: Float[Array, ""]
    radius: Float[Array, ""]
    scale: LossScale
    age: Int[Array, ""]
    factors: KroneckerFactors
    solves: KroneckerSolves
    last: Float[Array, " n"]
    info: KFACInfo


@renamed(period="refresh")
def kfac(
    objective: Objective,
    *,
    step: AbstractStepRule | None = None,
    refresh: int = 5,
    average: float = 0.5,
    probes: int = 1,
    example: PyTree | None = None,
    solver: lx.AbstractLinearSolver | None = None,
) -> optax.GradientTransformationExtraArgs:
    """K-FAC as a complete optimizer: it sets direction, length, momentum and damping (Martens and Grosse 2015).

    Layers are found in the model's jaxpr; each gets Kronecker factors of the Gauss-Newton matrix from one forward and
    one backward pass per probe. Parameters that no layer owns (the scale of a layer norm, a weight used more than once)
    get a diagonal, estimated from squared probe gradients.

    `update(grads, state, params, batch=(inputs, targets), key=None)` returns the step, with `grads` those of
    `objective` (l2 included) on the batch. The loss's unit is taken from the first batch, so that multiples of a loss
    (with its l2) take the same steps. A loss without curvature in the outputs gets one that makes the step follow the
    gradient, its length by the same trial, and `Status.NO_CURVATURE`. It is pure, can be jitted and scanned; it must
    come last in an `optax.chain`, and `optax.MultiSteps` is not supported (it would show only the last batch). Compile
    the gradient together with the update, so that they share the forward pass.

    The default, `QuadraticModel()`, is for the full batch or large ones. For small random batches:
    `kfac(objective, step=KLClip(), refresh=10, average=0.95)`, judged by a running average of the parameters.

    Args:
        objective: what is minimised; `key` is handed on to its model.
        step: how far to go along the direction: `QuadraticModel()` (default), `TrustRegion()` or `KLClip()`.
        refresh: steps from one refresh of factors and inverses to the next; nothing is computed for them in between.
        average: weight of the old factors in the running average, in [0, 1).
        probes: backward passes per refresh; more make the output factors less noisy.
        example: the model's inputs, arrays or `jax.ShapeDtypeStruct` with a leading axis, for `init` to lay out its
            state; only shapes and dtypes are read. Not needed for a model of `[batch, features]`, whose width its
            parameters tell.
        solver: of the layers' systems: a `Hybrid`, which chooses among its candidates at each refresh, or one solver of
            ours for all. None: direct solvers and a quantum one at all its costs.

    Returns:
        The transformation. Its state is a `KFACState` whose `info` reports on the last step. A layer whose factors
        cannot be inverted takes its gradient for a direction, and its status says so; where the loss or the gradient is
        not finite no step is taken (`Status.NOT_FINITE`), and damping and factors stay as they were.

    Raises:
        ValueError: for arguments out of range; from `init`, for parameters without entries, or where `example` is
            needed; from `update`, without params or batch, or where the batch does not fit the state.
        TypeError: from `init`, for parameters that are not floating-point arrays of one dtype.
    """
    check_objective(objective, "kfac")
    if step is not None:
        check_kind(step, AbstractStepRule, "kfac: step", "KLClip()")
    refresh, average, probes = numbers("kfac", refresh=refresh, average=average, probes=probes)
    if not (isinstance(refresh, int) and refresh >= 1):
        raise ValueError(f"refresh is {refresh}: steps between two refreshes of the factors, an integer of at least 1")
    if not 0 <= average < 1:
        raise ValueError(f"average is {average}: the weight of the old factors must be in [0, 1)")
    if not (isinstance(probes, int) and probes >= 1):
        raise ValueError(f"probes is {probes}: backward passes per refresh, an integer of at least 1")
    rule = QuadraticModel() if step is None else step
    scheduler = scheduler_of(solver, "kfac")

    def systems(layout: Layout, dtype: jnp.dtype) -> LayerSystems:
        return LayerSystems.of(layout, scheduler, refresh, dtype)

    def init(params: PyTree) -> KFACState:
        check_params(params)
        dtype = jax.tree.leaves(params)[0].dtype
        _, layout = layers_and_layout(program_of_inputs(objective, params, example), params)
        factors = KroneckerFactors(
            layout,
            tuple(jnp.zeros((i, i), dtype) for i, _ in layout.shapes),
            tuple(jnp.zeros((a, a), dtype) for _, a in layout.shapes),
            jnp.zeros(sum(size for _, size in layout.rest), dtype),
        )
        solves = systems(layout, dtype).blank(factors)
        plans = tuple(group.plan for group in solves.groups)
        zero, never = jnp.zeros((), dtype), jnp.full((), -1, jnp.int32)
        info = KFACInfo(
            zero, zero, zero, zero, zero, zero, zero, zero, jnp.zeros((), bool), never, solves.status, plans
        )
        return KFACState(
            count=jnp.zeros((), jnp.int32),
            damping=jnp.asarray(rule.damping, dtype),
            radius=jnp.asarray(rule.radius, dtype),
            scale=LossScale.unknown(dtype),
            age=never,
            factors=factors,
            solves=solves,
            last=jnp.zeros(layout.n, dtype),
            info=info,
        )

    def refreshed(
        state: KFACState, params: PyTree, batch: Batch, key: Key[Array, ""] | None
    ) -> tuple[LossScale, KroneckerFactors, KroneckerSolves]:
        point = Point.of(objective, params, batch, key).singly("K-FAC")
        layers, layout = layers_and_layout(point.program, params)
        if layout != state.factors.layout:
            raise ValueError(
                "the layers of the model on this batch are not those that the state was laid out for: pass "
                "example=inputs to kfac, with the shapes and dtypes of a batch's inputs"
            )
        # New probes each time, or the average would repeat one sample's error.
        noise = jax.random.fold_in(jax.random.key(_PROBES) if key is None else key, state.count)
        fresh, scale = estimate_factors(point, layers, layout, state.scale, probes, noise)
        weight = jnp.where(state.age < 0, 0, average).astype(state.damping.dtype)
        mixed = jax.tree.map(lambda old, new: weight * old + (1 - weight) * new, state.factors, fresh)
        solves = systems(layout, state.damping.dtype).set_up(mixed, state.damping + scale.penalty(objective))
        if point.examples.good is not None:
            status = jnp.where(point.examples.good, solves.status, jnp.int32(Status.COUPLED))
            solves = eqx.tree_at(lambda all_of: all_of.status, solves, status)
        # A batch that overflows must not poison the averages for good. Asked once of all factors together.
        sound = jnp.all(jnp.isfinite(ravel(jax.tree.leaves(mixed))))
        kept = jax.tree.map(lambda old, new: jnp.where(sound, new, old), state.factors, mixed)
        return scale, kept, solves

    def update(
        updates: PyTree,
        state: KFACState,
        params: PyTree | None = None,
        *,
        batch: Batch | None = None,
        key: Key[Array, ""] | None = None,
        **_: Any,
    ) -> tuple[PyTree, KFACState]:
        if params is None or batch is None:
            raise ValueError("kfac needs update(grads, state, params, batch=(inputs, targets))")
        params, batch, key = unfolded((params, batch, key))
        check_batch(batch)
        check_gradients(updates, params)
        gradient = ravel(jax.tree.leaves(updates))
        finite = jnp.all(jnp.isfinite(gradient))
        due = finite & ((state.age < 0) | (state.age >= refresh - 1))
        scale, factors, solves = jax.lax.cond(
            due, lambda: refreshed(state, params, batch, key), lambda: (state.scale, state.factors, state.solves)
        )
        gradient = gradient / scale.divisor
        age = jnp.where(due, 0, jnp.where(state.age < 0, -1, state.age + 1)).astype(jnp.int32)
        solution, solved = systems(factors.layout, gradient.dtype).solve(solves, gradient)
        direction = -solution
        situation = Situation(
            objective=objective,
            params=params,
            batch=batch,
            key=key,
            scale=scale,
            gradient=gradient,
            direction=direction,
            last=state.last,
            damping=state.damping,
            shift=state.damping,
            radius=state.radius,
        )
        outcome = rule.take(situation).of_loss(scale)
        finite = finite & jnp.isfinite(outcome.loss)
        accepted = outcome.accepted & finite
        status = jnp.where(scale.flat, Status.NO_CURVATURE, solved)
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
            status=jnp.where(finite, status, Status.NOT_FINITE).astype(jnp.int32),
            systems=tuple(group.plan for group in solves.groups),
        )
        last = jnp.where(accepted, step, state.last)
        damping = jnp.where(finite, outcome.damping, state.damping)
        radius = jnp.where(finite, outcome.radius, state.radius)
        following = KFACState(state.count + 1, damping, radius, scale, age, factors, solves, last, info)
        return situation.tree(step), following

    # optax's types know states made of arrays alone; this one holds equinox modules.
    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]
