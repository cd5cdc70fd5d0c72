"""State of `kfac` between steps, and its diagnostics."""

from typing import ClassVar, NamedTuple

import equinox as eqx
from jaxtyping import Array, Bool, Float, Int, UInt32

from .._core.operators import KroneckerFactors
from .._curvature.loss_scale import LossScale
from .._curvature.network import Coverage
from .._scheduling.group_plan import GroupPlan, PackedPlans
from .applied import Left
from .kronecker_solves import KroneckerSolves
from .new_batches import Reached


class KFACInfo(eqx.Module):
    """Diagnostics of one step, of which the next step reads nothing but the plans.

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
        noisy: whether another batch than the last step's was noticed, now or before, and acted upon.
        altered: whether the last step was not applied as it left: the parameters are not where it led.
        applied_ratio: reduction ratio of the step that was taken in its place; NaN where there is none, or another
            batch, on which nothing can be compared.
        status: a `Status` for each recognised layer, in the layout's order, and one for the rest.
        packed: the plans of `systems`.
        coverage: which parameters the recognised layers hold, by construct, and why others are in none; `print` it.
        because: why `newton` chose this family; empty where the user did.
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
    noisy: Bool[Array, ""]
    altered: Bool[Array, ""]
    applied_ratio: Float[Array, ""]
    status: Int[Array, " blocks"]
    packed: PackedPlans
    coverage: Coverage = eqx.field(static=True, default=Coverage(0, (), ()))
    because: str = eqx.field(static=True, default="")
    family: ClassVar[str] = "kfac"

    @property
    def systems(self) -> tuple[GroupPlan, ...]:
        """Cost and choice of solver for each group of layers of equal shape."""
        return self.packed.plans


class KFACState(NamedTuple):
    """State of `kfac`.

    Attributes:
        count: steps taken.
        damping: for the next step, in units of the loss.
        damping_before: of the last step, from which it is found anew if another step was applied.
        radius: longest step that is trusted; infinite without a trust region.
        scale: the loss's unit.
        reached: the loss that the last step ended at, by which a new batch is noticed.
        age: steps since the factors were refreshed, -1 before the first refresh.
        inputs: fingerprint of the batch's inputs where the factors are of that batch alone, else 0: where it is the
            same again, factors that no parameter changes need not be found anew.
        factors: running averages, in units of the loss; their `layout` says which parameters belong to which layer.
        solves: of the damped factors, as of the last refresh.
        last: the last step that was taken `[n]`, raveled parameters.
        left: by which the next step sees whether the last one was applied as it left.
        info: of the last step; zeros before the first.
    """

    count: Int[Array, ""]  # pyright: ignore[reportIncompatibleMethodOverride]  # optax's name for it
    damping: Float[Array, ""]
    damping_before: Float[Array, ""]
    radius: Float[Array, ""]
    scale: LossScale
    reached: Reached
    age: Int[Array, ""]
    inputs: UInt32[Array, "2"]
    factors: KroneckerFactors
    solves: KroneckerSolves
    last: Float[Array, " n"]
    left: Left
    info: KFACInfo
