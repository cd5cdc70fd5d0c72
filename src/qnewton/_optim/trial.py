"""Trial of a step on its own batch: the decrease of the loss, and each block's share of it."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PyTree

from .._core.pieces import dividing
from .._curvature import Block
from .adaptation import AbstractAdaptation
from .rounding import lowered, rounding


class StepTrial(eqx.Module):
    """Decreases of the batch loss, actual and predicted.

    Attributes:
        decrease: of the whole step.
        predicted: by the undamped quadratic models of the blocks, summed.
        shares: each block's part of `decrease`; None where it was not asked for.
        predictions: each block's part of `predicted`.
        loss: before the step.
    """

    decrease: Float[Array, ""]
    predicted: Float[Array, ""]
    shares: Float[Array, " blocks"] | None
    predictions: Float[Array, " blocks"]
    loss: Float[Array, ""]

    @property
    def ratio(self) -> Float[Array, ""]:
        """Reduction ratio of the whole step."""
        return self.decrease / self.predicted

    @property
    def ratios(self) -> Float[Array, " blocks"]:
        """Reduction ratio of each block's part; NaN where the shares are not known."""
        return jnp.full_like(self.predictions, jnp.nan) if self.shares is None else self.shares / self.predictions

    def accepted(self, adaptation: AbstractAdaptation) -> Bool[Array, ""]:
        """Return whether the step is taken.

        A loss that is not finite always refuses it; a difference within rounding does not.
        """
        better, drowned = lowered(self.loss, self.decrease, self.predicted)
        finite = jnp.isfinite(self.loss) & jnp.isfinite(self.decrease)
        return finite & (adaptation.accept(self.decrease) | (drowned & better))

    def adapted(
        self, adaptation: AbstractAdaptation, scale: Float[Array, "*blocks"], accepted: Bool[Array, ""]
    ) -> Float[Array, "*blocks"]:
        """The damping scale of the next step, or each block's.

        Where a rise was predicted and came, a ratio is positive all the same: it counts as a failure here, as every
        step does that was refused. Of a refused step's blocks some may have done well: they are damped no less. A block
        that did not move keeps its scale; so does every block where the loss before the step was not finite, and one
        whose part was predicted below the loss's rounding, and is.
        """
        still = ~jnp.isfinite(self.loss)
        if self.shares is None:
            still = still | lowered(self.loss, self.decrease, self.predicted)[1]
            following = adaptation.adapt(scale, jnp.where(accepted, self.ratio, -jnp.inf))
            return jnp.where(still, scale, following)
        following = jax.vmap(adaptation.adapt)(scale, jnp.where(self.shares > 0, self.ratios, -jnp.inf))
        following = jnp.where(accepted, following, jnp.maximum(following, scale))
        still = still | ((self.shares == 0) & (self.predictions == 0))
        noise = rounding(self.loss).astype(self.predictions.dtype)
        still = still | ((jnp.abs(self.predictions) <= noise) & (self.shares >= -noise))
        return jnp.where(still, scale, following)


def try_whole(
    objective: Callable[[PyTree], Float[Array, ""]],
    params: PyTree,
    moved: PyTree,
    loss: Float[Array, ""],
    predictions: Float[Array, " blocks"],
) -> StepTrial:
    """Evaluate the loss after the step: one more forward pass.

    Args:
        objective: loss of the step's batch as a function of the parameters.
        params: before the step.
        moved: the step, like `params`.
        loss: before the step.
        predictions: each block's predicted decrease.
    """
    decrease = loss - objective(optax.apply_updates(params, moved))
    return StepTrial(decrease, jnp.sum(predictions), None, predictions, loss)


def try_blocks(
    objective: Callable[[PyTree], Float[Array, ""]],
    params: PyTree,
    moved: PyTree,
    loss: Float[Array, ""],
    predictions: Float[Array, " blocks"],
    blocks: Sequence[Block],
    gradients: Sequence[Float[Array, " n"]],
) -> StepTrial:
    """Evaluate loss and gradient after the step, and share the decrease among the blocks.

    Along the straight way from `w` to `w + u` the loss falls by `-sum_b int_0^1 g_b(w + t u).u_b dt` (Aumann and
    Shapley 1974; "integrated gradients", Sundararajan, Taly and Yan 2017), so block b's share is its term. The
    trapezium of both ends gives it, exactly for a quadratic loss: `-(g_b(w) + g_b(w + u)).u_b / 2`. What the ends miss
    of the decrease that was seen is added in proportion to the predictions. So the shares sum to the decrease, and the
    mean of the blocks' ratios, weighted with their predictions, is the ratio of the whole step.

    This costs one backward pass, however many blocks there are, and depends on no order. The loss after each block's
    step in turn costs a forward pass per block, and whatever two blocks lose by moving at once would be laid to the
    charge of the later one; moving each alone would not see that loss at all.

    Args:
        objective: loss of the step's batch as a function of the parameters.
        params: before the step.
        moved: the step, like `params`.
        loss: before the step.
        predictions: each block's predicted decrease.
        blocks: of the partition.
        gradients: before the step, each block's.
    """
    with dividing(None):
        after, slopes = jax.value_and_grad(objective)(optax.apply_updates(params, moved))
    decrease = loss - after
    ends = jnp.stack(
        [
            -jnp.vdot(gradient + block.take(slopes), block.take(moved)) / 2
            for block, gradient in zip(blocks, gradients, strict=True)
        ]
    )
    predicted = jnp.sum(predictions)
    weights = jnp.where(predicted > 0, predictions / predicted, 1 / len(blocks))
    shares = ends + (decrease - jnp.sum(ends)) * weights
    return StepTrial(decrease, predicted, shares, predictions, loss)
