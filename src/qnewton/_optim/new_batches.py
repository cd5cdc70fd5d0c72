"""Detection of whether a step sees the last one's batch, by the loss that was reached there."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.arrays import filled
from .._curvature.loss_scale import LossScale
from .applied import Found

SAME = 1e-4
"""Relative difference of two losses that rounding, in programs that are compiled differently, may make."""
COARSE = 16
"""The same in rounding units of a model that computes with 16 bits."""
UNITS = 256
"""Rounding units of the loss's own unit that a loss near zero may be off by."""


class Reached(eqx.Module):
    """Loss at the end of the last step.

    Attributes:
        loss: after it, on its own batch; NaN before the first step, and where nobody looked.
        noisy: whether another batch has been noticed. It stays so: steps for noisy batches do not look where they end.
    """

    loss: Float[Array, ""]
    noisy: Bool[Array, ""]

    @classmethod
    def nowhere(cls, dtype: jnp.dtype) -> "Reached":
        """Return the initial record, before the first step."""
        return cls(filled((), float("nan"), dtype), filled((), False, bool))

    def compared(
        self, loss: Float[Array, ""], scale: LossScale, rounding: float = 0.0, found: Found | None = None
    ) -> "Reached":
        """Return the record updated with the loss before the next step.

        Args:
            loss: on that step's batch.
            scale: the loss's unit.
            rounding: unit of the narrowest float that the model computes with, or its parameters are stored in.
            found: what has become of the last step. Where another one was applied, losses tell nothing, and the
                batches themselves are compared. None: it was applied as it left.
        """
        coarse = COARSE * rounding
        # Of squares of outputs that are off by so much, something is left where the loss is zero.
        least = max(UNITS * float(jnp.finfo(loss.dtype).eps), coarse**2)
        slack = max(SAME, coarse) * jnp.abs(self.loss) + least * scale.divisor
        # False where either is not finite.
        other = (jnp.abs(loss - self.loss) > slack) & jnp.isfinite(loss) & jnp.isfinite(self.loss)
        if found is not None:
            other = jnp.where(found.altered, ~found.same, other)
        return Reached(self.loss, self.noisy | other)

    def after(self, loss: Float[Array, ""], decrease: Float[Array, ""], accepted: Bool[Array, ""]) -> "Reached":
        """Return the record after a step, taken or not.

        Args:
            loss: before it.
            decrease: that was seen; NaN where nobody looked.
            accepted: whether it is taken.
        """
        return Reached(jnp.where(accepted, loss - decrease, loss).astype(self.loss.dtype), self.noisy)
