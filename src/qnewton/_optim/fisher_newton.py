"""Newton's method with the empirical Fisher matrix of each unit, for language models and other noisy batches."""

from functools import partial
from typing import Any, ClassVar, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from .._core.constants import unfolded
from .._core.kinds import check_rate, known, number, numbers, typed, varying
from .._core.placement import in_context
from .._core.renamed import renamed
from .._core.status import Status
from .._core.trees import check_gradients, check_params
from .._curvature.checks import check_batch
from .._curvature.independence import independence
from .._curvature.loss_scale import LossScale
from .._curvature.objective import Batch, Objective, check_objective
from .._curvature.point import Point
from .._devices.mapped import AxisName
from .._scheduling.families import scheduler_of, scheduler_of_many
from .._scheduling.group_plan import GroupPlan, PackedPlans
from .border import transformation
from .inside_optax import inside_optax, needs_batch
from .unit_fisher import second_moments, units_of
from .unit_solves import UnitSolves, UnitSystems
from .working_types import Steps, in_working_types

REFRESH = 20
"""Steps from one refresh of the blocks to the next."""


class FisherNewtonInfo(eqx.Module):
    """Diagnostics of one step; the next step does not read them.

    Attributes:
        loss: mean loss of the batch before the step, l2 included.
        learning_rate: of this step.
        damping: relative to each block's mean diagonal entry.
        reduction_ratio: NaN, since the step is not tried.
        accepted: False where the loss or the gradient is not finite, and nothing moves.
        staleness: steps since the blocks were refreshed; 0 in the step that refreshes them, -1 before the first.
        status: a `Status` for each tensor.
        packed: the plans of `systems`.
        because: why `newton` chose this family; empty where the user did.
    """

    loss: Float[Array, ""]
    learning_rate: Float[Array, ""]
    damping: Float[Array, ""]
    reduction_ratio: Float[Array, ""]
    accepted: Bool[Array, ""]
    staleness: Int[Array, ""]
    status: Int[Array, " tensors"]
    packed: PackedPlans
    because: str = eqx.field(static=True, default="")
    family: ClassVar[str] = "fisher"

    @property
    def systems(self) -> tuple[GroupPlan, ...]:
        """Cost and choice of solver for each group of units of equal size."""
        return self.packed.plans


class FisherNewtonState(NamedTuple):
    """State of `fisher_newton`.

    Attributes:
        count: steps taken.
        refreshes: of the blocks.
        age: steps since the last one, -1 before the first.
        unit: of the loss: the largest entry of the first gradient that was not zero; 0 before.
        momentum: sum of past gradients in units, each weighted by `momentum` to the power of its age.
        weights: the sum of those weights.
        moments: running averages of the blocks, in squared units, one stack for each tensor `[units, d, d]`.
        solves: of the damped blocks, as of the last refresh.
        info: of the last step; zeros before the first.
    """

    count: Int[Array, ""]  # pyright: ignore[reportIncompatibleMethodOverride]  # optax's name for it
    refreshes: Int[Array, ""]
    age: Int[Array, ""]
    unit: Float[Array, ""]
    momentum: PyTree
    weights: Float[Array, ""]
    moments: tuple[Float[Array, "units d d"], ...]
    solves: UnitSolves
    info: FisherNewtonInfo

    like_params = ("momentum",)


@renamed(period="refresh")
@inside_optax
def fisher_newton(
    objective: Objective,
    learning_rate: optax.ScalarOrSchedule = 0.01,
    *,
    damping: float = 0.1,
    momentum: float = 0.9,
    refresh: int = REFRESH,
    average: float = 0.9,
    bound: float = 1.0,
    weight_decay: float = 0.01,
    largest: int = 128,
    solver: lx.AbstractLinearSolver | None = None,
    axis_name: AxisName = None,
) -> optax.GradientTransformationExtraArgs:
    """Return an optimizer with the empirical Fisher matrix of each unit as a running average, for small batches.

    A unit is a row of a matrix (what feeds one output of a layer, or one token's embedding) or a whole vector. Its
    block `F = sum_n w_n g_n g_n^T / sum_n w_n` holds the gradients of single examples; for a sequence that is the
    gradient of its mean loss. The step is

        -learning_rate ((1 + damping) sqrt(t) (F + damping t I)^-1 v + weight_decay params),    t = tr F / d,

    with v the running mean of the gradients. `F^-1 v` alone has the unit of a reciprocal gradient and grows like 1/|g|
    as gradients vanish; the factor `sqrt(t)` gives it the unit of parameters, so that a step does not depend on the
    scale of the loss, and rare tokens move as far as frequent ones. Blocks that are multiples of the identity give
    what one second moment per block would (Adam-mini, Zhang et al. 2024, arXiv 2406.16793, but for its schedule);
    the rest of F is what this adds. Where the gradients have outgrown the average, or lie where it has seen none, the
    direction of a unit is shortened to `bound`. One block per tensor, as Q-Newton has it, is `newton` with
    `EmpiricalFisher()`.

    `update(grads, state, params, batch=(inputs, targets), key=None, value=None)` returns the step, with `grads` those
    of `objective` (l2 included) on the batch, and `value` the loss that `jax.value_and_grad` found with them: the info
    reports it, and without it may take a forward pass of its own. It is pure and
    can be jitted and scanned. Between two refreshes a step costs what one of Adam costs, and a product with each block;
    a refresh costs the gradients of the examples, one by one, and a factorisation of each block.

    Args:
        objective: what is minimised; `key` is handed on to its model.
        learning_rate: typical change of a parameter in a step, or a schedule of it. Positive.
        damping: relative to each block's mean diagonal entry, positive.
        momentum: weight of the past in the mean of gradients, in [0, 1).
        refresh: steps from one refresh of the blocks to the next, at least 1.
        average: weight of the past in a block, in [0, 1); the first refreshes weigh alike.
        bound: largest root mean square of a unit's direction, positive; infinity does not bound.
        weight_decay: decoupled, at least 0.
        largest: most parameters of a unit; a tensor whose units have more gets one variance per parameter. At least 1.
        solver: of the units' systems: a `Hybrid`, which chooses among its candidates at each refresh, for all units of
            one size together, or one solver of ours for all. None: direct solvers and a quantum one at all its costs.
        axis_name: of the mapped axes that batches are spread over, as of `newton`.

    Returns:
        The transformation. Its state is a `FisherNewtonState` whose `info` reports on the last step. A unit whose block
        cannot be inverted takes its gradient over `sqrt(t)`, and its tensor's status says so; where the loss or
        the gradient is not finite nothing moves (`Status.NOT_FINITE`). The loss after the step is not looked at.

    Raises:
        ValueError: for arguments out of range; from `init`, for parameters without entries; from `update`, without
            params or batch, or for a model that couples its examples.
        TypeError: from `init`, for parameters that are not floating-point arrays.
    """
    check_objective(objective, "fisher_newton")
    damping, momentum, refresh, average, bound, weight_decay = varying(
        "fisher_newton",
        damping=damping,
        momentum=momentum,
        refresh=refresh,
        average=average,
        bound=bound,
        weight_decay=weight_decay,
    )
    (largest,) = numbers("fisher_newton", largest=largest)
    check_rate(learning_rate, "fisher_newton: learning_rate")
    constant = not callable(learning_rate) and known(learning_rate)
    if constant and not 0 < number(learning_rate, "fisher_newton: learning_rate") < float("inf"):
        raise ValueError(f"learning_rate is {learning_rate}: it must be positive and finite, e.g. 0.01, or a schedule")
    if known(damping) and not 0 < damping < float("inf"):
        raise ValueError(
            f"damping is {damping}: blocks of few examples are singular, so it must be positive, e.g. 0.1, and finite"
        )
    if known(bound) and not bound > 0:
        raise ValueError(f"bound is {bound}: the largest root mean square of a unit's direction must be positive")
    for name, value in (("momentum", momentum), ("average", average)):
        if known(value) and not 0 <= value < 1:
            raise ValueError(f"{name} is {value}: the weight of the past must be in [0, 1)")
    for name, value, what in (
        ("refresh", refresh, "steps between two refreshes of the blocks"),
        ("largest", largest, "most parameters of a block"),
    ):
        if known(value) and not (isinstance(value, int) and value >= 1):
            raise ValueError(f"{name} is {value}: {what}, an integer of at least 1")
    if known(weight_decay) and not 0 <= weight_decay < float("inf"):
        raise ValueError(f"weight_decay is {weight_decay}: it must be finite and at least 0")

    scheduler = scheduler_of(solver, "fisher_newton", scheduler_of_many)

    def units(params: PyTree) -> list[tuple[int, int]]:
        return [units_of(leaf.shape, largest) for leaf in jax.tree.leaves(params)]

    def systems(params: PyTree, dtype: jnp.dtype) -> UnitSystems:
        # Who could win is decided while the program is made: for the usual number of steps, if theirs may change.
        serves = refresh if known(refresh) else REFRESH
        return UnitSystems.of(units(params), scheduler, serves, dtype, typed(damping, dtype))

    def init(params: PyTree) -> FisherNewtonState:
        check_params(params)
        dtype = jax.tree.leaves(params)[0].dtype
        moments = tuple(jnp.zeros((count, size, size), dtype) for count, size in units(params))
        solves, packed = systems(params, dtype).blank(moments)
        zero, number, never = jnp.zeros((), dtype), jnp.zeros((), jnp.int32), jnp.full((), -1, jnp.int32)
        info = FisherNewtonInfo(zero, zero, zero, zero, jnp.zeros((), bool), never, solves.status, packed)
        past = jax.tree.map(jnp.zeros_like, params)
        return FisherNewtonState(number, number, never, zero, past, zero, moments, solves, info)

    def refreshed(
        state: FisherNewtonState, params: PyTree, point: Point
    ) -> tuple[tuple[Array, ...], UnitSolves, PackedPlans, Int[Array, ""]]:
        point = point.singly("fisher_newton")
        fresh = second_moments(point, units(params))
        done = state.refreshes.astype(state.weights.dtype)
        weight = jnp.minimum(typed(average, done.dtype), done / (done + 1))
        mixed = tuple(weight * old + (1 - weight) * new for old, new in zip(state.moments, fresh, strict=True))
        # A batch that overflows must not poison the averages for good.
        finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(moment)) for moment in mixed]))
        kept = tuple(jnp.where(finite, new, old) for old, new in zip(state.moments, mixed, strict=True))
        solves, packed = systems(params, kept[0].dtype).set_up(kept, state.info.packed)
        if point.examples.good is not None:
            status = jnp.where(point.examples.good, solves.status, jnp.int32(Status.COUPLED))
            solves = eqx.tree_at(lambda all_of: all_of.status, solves, status)
        return kept, solves, packed, state.refreshes + finite.astype(jnp.int32)

    def update(
        objective: Objective,
        updates: PyTree,
        state: FisherNewtonState,
        params: PyTree | None = None,
        *,
        batch: Batch | None = None,
        key: Key[Array, ""] | None = None,
        value: Float[Array, ""] | None = None,
        **_: Any,
    ) -> tuple[PyTree, FisherNewtonState]:
        if params is None or batch is None:
            raise ValueError(needs_batch("fisher_newton"))
        params, batch, key = unfolded((params, batch, key))
        check_batch(batch)
        check_gradients(updates, params)
        loss = objective(params, batch, key) if value is None else value
        finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(updates)]))
        finite = finite & jnp.isfinite(loss)
        # Squares of gradients leave the floating-point range long before gradients do.
        largest_entry = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(updates)]))
        unit = jnp.where(finite & (state.unit == 0), largest_entry.astype(state.unit.dtype), state.unit)
        scale = LossScale(unit, jnp.zeros_like(unit))
        updates = jax.tree.map(lambda leaf: leaf / scale.divisor, updates)
        # Made here, because it traces the model, which a branch must not do.
        verdict = independence(objective, params, batch, key)
        point = Point.of(scale.applied(objective), params, batch, key, verdict)
        due = finite & ((state.age < 0) | (state.age >= refresh - 1))
        moments, solves, packed, refreshes = jax.lax.cond(
            due,
            lambda: refreshed(state, params, point),
            lambda: (state.moments, state.solves, state.info.packed, state.refreshes),
        )
        age = jnp.where(due, 0, jnp.where(state.age < 0, -1, state.age + 1)).astype(jnp.int32)

        def mixed(old: Array, new: Array) -> Array:
            return jnp.where(finite, typed(momentum, old.dtype) * old + new, old)

        past = jax.tree.map(mixed, state.momentum, updates)
        weights = mixed(state.weights, jnp.ones_like(state.weights))
        count = jnp.where(weights > 0, weights, 1)
        rate = jnp.asarray(in_context(learning_rate(state.count) if callable(learning_rate) else learning_rate))
        rate = rate.astype(weights.dtype)
        leaves, structure = jax.tree.flatten(past)
        found, solved = systems(params, weights.dtype).solve(
            solves, [leaf / count for leaf in leaves], typed(bound, rate.dtype)
        )
        directions = jax.tree.unflatten(structure, found)
        step = jax.tree.map(
            lambda direction, w: jnp.where(finite, -rate * (direction + typed(weight_decay, w.dtype) * w), 0),
            directions,
            params,
        )
        info = FisherNewtonInfo(
            loss=loss.astype(rate.dtype),
            learning_rate=rate,
            damping=jnp.full_like(rate, damping),
            reduction_ratio=jnp.full_like(rate, jnp.nan),
            accepted=finite,
            staleness=age,
            status=jnp.where(finite, solved, Status.NOT_FINITE).astype(jnp.int32),
            packed=packed,
        )
        following = FisherNewtonState(state.count + 1, refreshes, age, unit, past, weights, moments, solves, info)
        return step, following

    def steps_for(own: Objective) -> Steps:
        return cast(Steps, optax.GradientTransformationExtraArgs(init, partial(update, own)))  # pyright: ignore[reportArgumentType]

    inner = in_working_types(objective, steps_for)
    return transformation("fisher_newton", objective, inner.init, inner.update, axis_name)
