"""State of `newton` between steps, and its diagnostics."""

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import equinox as eqx
from jaxtyping import Array, Bool, Float, Int

from .._curvature.loss_scale import LossScale
from .applied import Left
from .stages import BlockInfo

if TYPE_CHECKING:
    from .._estimation import Remembered
    from .._scheduling.group_plan import GroupPlan
    from .kept_curvature import KeptBlock


class StepInfo(eqx.Module):
    """Diagnostics of one step; the next step does not read them.

    Attributes:
        loss: mean loss of the batch before the step.
        learning_rate: as applied; of a step rule, its coefficient of the direction.
        momentum: coefficient of the last step, 0 without a step rule.
        damping_scale: factor on the damping that this step was taken with; NaN where every block has its own, which
            then stands in `blocks`.
        radius: longest step that was trusted; infinite without a trust region.
        reduction_ratio: actual over predicted decrease of the batch loss; NaN where the step was not tried.
        accepted: False where the update is zero: the trial step raised the loss, or the loss is not finite.
        staleness: steps since the curvature was computed; 0 where it is this step's own.
        altered: whether the last step was not applied as it left: the parameters are not where it led.
        applied_ratio: reduction ratio of the step that was taken in its place; NaN where there is none, or another
            batch, on which nothing can be compared.
        blocks: one entry per block, in the partition's order.
        because: why `newton` chose this family; empty where the user did.
    """

    loss: Float[Array, ""]
    learning_rate: Float[Array, ""]
    momentum: Float[Array, ""]
    damping_scale: Float[Array, ""]
    radius: Float[Array, ""]
    reduction_ratio: Float[Array, ""]
    accepted: Bool[Array, ""]
    staleness: Int[Array, ""]
    altered: Bool[Array, ""]
    applied_ratio: Float[Array, ""]
    blocks: tuple[BlockInfo, ...]
    because: str = eqx.field(static=True, default="")
    family: ClassVar[str] = "blocks"

    @property
    def systems(self) -> "tuple[GroupPlan, ...]":
        """Plans of the blocks whose solver shapes chose; empty if a scheduler has a plan in each of `blocks`."""
        return tuple(plan for block in self.blocks if block.packed is not None for plan in block.packed.plans)


class NewtonState(NamedTuple):
    """State of `newton`.

    Attributes:
        count: steps taken.
        damping_scale: factor on the damping for the next step, a scalar, or one per block `[blocks]`.
        scale_before: the same of the last step, from which its factor is found anew if another step was applied.
        radius: longest step that is trusted; infinite without a trust region.
        scale: the loss's unit, in which a step rule sees it; unknown without a step rule.
        last: the last step `[n]`, raveled, for a step rule with momentum; None without a step rule.
        systems: the blocks' curvature, formed, where it is kept for several steps; otherwise empty.
        starts: the blocks' next first guesses `[n]` where iterative solves start warm; otherwise empty.
        estimates: what is remembered of each block's spectrum, where the scheduler's estimator is a `Reuse`; otherwise
            empty.
        choices: each block's last choice under each assumption set `[sets]`, -1 before the first, where the scheduler's
            policy remembers it; otherwise empty.
        factors: each block's `Turn.factors`, by which observed iterations correct predictions, where the scheduler has
            iterative candidates; otherwise empty.
        metrics: what each block's metric remembers `[k, n]`; empty where the damping is a multiple of the identity.
        left: by which the next step sees whether the last one was applied as it left.
        info: of the last step; zeros before the first.
    """

    count: Int[Array, ""]  # pyright: ignore[reportIncompatibleMethodOverride]  # optax's name for it
    damping_scale: Float[Array, "*blocks"]
    scale_before: Float[Array, "*blocks"]
    radius: Float[Array, ""]
    scale: LossScale
    last: Float[Array, " n"] | None
    systems: "tuple[KeptBlock, ...]"
    starts: tuple[Float[Array, " n"], ...]
    estimates: "tuple[Remembered, ...]"
    choices: tuple[Int[Array, " sets"], ...]
    factors: tuple[Float[Array, " candidates"], ...]
    metrics: tuple[Float[Array, "k n"], ...]
    left: Left
    info: StepInfo
