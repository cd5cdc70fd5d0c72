"""Newton's method as an optax transformation."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from ..conditioning import AbstractConditioner, Damp, condition
from ..core.memory import check_block_fits
from ..core.trees import check_params
from ..curvature import AbstractCurvature, Batch, Block, GaussNewton, Objective, Partition, whole
from ..scheduling import Hybrid
from .adaptation import AbstractAdaptation, LevenbergMarquardt
from .stages import BlockInfo, quadratic_decrease, solve_block


class StepInfo(eqx.Module):
    """What happened in one step; diagnostics only, the next step does not read it.

    Attributes:
        loss: mean loss of the batch before the step.
        learning_rate: as applied.
        damping_scale: factor on the damping that this step was taken with.
        reduction_ratio: actual over predicted decrease of the batch loss; NaN where the step was not tried.
        accepted: False where the trial step raised the loss and the update is zero.
        blocks: one entry per block, in the partition's order.
    """

    loss: Float[Array, ""]
    learning_rate: Float[Array, ""]
    damping_scale: Float[Array, ""]
    reduction_ratio: Float[Array, ""]
    accepted: Bool[Array, ""]
    blocks: tuple[BlockInfo, ...]


class NewtonState(NamedTuple):
    """State of `newton`.

    Attributes:
        count: steps taken.
        damping_scale: factor on the damping for the next step.
        info: of the last step; zeros before the first.
    """

    count: Int[Array, ""]  # pyright: ignore[reportIncompatibleMethodOverride]  # optax's name for it
    damping_scale: Float[Array, ""]
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
    clip: float | None = None,
    residual_tolerance: float = 0.1,
) -> optax.GradientTransformationExtraArgs:
    """Newton's method: every block's system `A x = g` goes to the solver that is predicted to finish it soonest.

    `update(grads, state, params, batch=(inputs, targets))` returns `-learning_rate x`. It is pure and can be jitted; it
    must come last in an `optax.chain`, and `optax.MultiSteps` is not supported (it would show only the last batch).

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
        clip: largest absolute entry of the direction before the learning rate, positive; None does not clip.
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
    if not residual_tolerance > 0:
        raise ValueError(f"residual_tolerance is {residual_tolerance}: it must be positive, e.g. 0.1")
    curvature = GaussNewton() if curvature is None else curvature
    solver = Hybrid() if solver is None else solver
    adaptation = LevenbergMarquardt() if adaptation is None else adaptation

    def init(params: PyTree) -> NewtonState:
        check_params(params)
        blocks = partition(params)
        _check_partition(blocks, params)
        dtype = jax.tree.leaves(params)[0].dtype
        for block in blocks:
            check_block_fits(block.name, block.n, dtype.itemsize)
        scale = jnp.asarray(adaptation.initial(), dtype)
        return NewtonState(jnp.zeros((), jnp.int32), scale, blank_info(blocks, dtype))

    def blank_info(blocks: Sequence[Block], dtype: jnp.dtype) -> StepInfo:
        # The state must have one structure from the first step on, or the user's jit compiles twice.
        def trace(block: Block) -> BlockInfo:
            system = condition(
                conditioning, curvature.system(jnp.zeros((block.n, block.n), dtype)), jnp.ones((), dtype)
            )
            return solve_block(solver, system, jnp.zeros(block.n, dtype), residual_tolerance)[1]

        infos = tuple(jax.eval_shape(lambda block=block: trace(block)) for block in blocks)
        zero = jnp.zeros((), dtype)
        blank = StepInfo(zero, zero, zero, zero, jnp.zeros((), bool), infos)
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), blank)

    def update(
        updates: PyTree, state: NewtonState, params: PyTree | None = None, *, batch: Batch | None = None, **_: Any
    ) -> tuple[PyTree, NewtonState]:
        if params is None or batch is None:
            raise ValueError("newton needs update(grads, state, params, batch=(inputs, targets))")
        blocks = partition(params)
        gradients = [block.take(updates) for block in blocks]
        rate = jnp.asarray(learning_rate(state.count) if callable(learning_rate) else learning_rate)
        rate = rate.astype(gradients[0].dtype)

        raw, steps, infos = [], [], []
        for block, gradient in zip(blocks, gradients, strict=True):
            system = curvature.form(objective, params, batch, block)
            conditioned = condition(conditioning, system, state.damping_scale)
            direction, info = solve_block(solver, conditioned, gradient, residual_tolerance)
            if clip is not None:
                direction = jnp.clip(direction, -clip, clip)
            raw.append(system)
            steps.append(-rate * direction)
            infos.append(info)

        step = params
        for block, vector in zip(blocks, steps, strict=True):
            step = block.put(step, vector)
        loss = objective(params, batch)
        ratio, accepted = jnp.full_like(loss, jnp.nan), jnp.ones((), bool)
        if adaptation.tries:
            decrease = loss - objective(optax.apply_updates(params, step), batch)
            ratio = decrease / quadratic_decrease(raw, gradients, steps)
            accepted = adaptation.accept(decrease)
            step = jax.tree.map(lambda leaf: jnp.where(accepted, leaf, 0), step)
        info = StepInfo(loss, rate, state.damping_scale, ratio, accepted, tuple(infos))
        # Where a rise was predicted and came, the ratio is positive all the same: a refused step is never a good one.
        scale = adaptation.adapt(state.damping_scale, jnp.where(accepted, ratio, -jnp.inf))
        return step, NewtonState(state.count + 1, scale, info)

    # optax's types know states made of arrays alone; this one holds an equinox module.
    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


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
