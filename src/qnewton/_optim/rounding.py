"""The effect of rounding on comparisons of two losses that are nearly equal."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Of the loss's rounding a difference of two losses holds this many; a mean over a batch adds a little to one.
_ROUNDINGS = 4


def rounding(loss: Float[Array, ""]) -> Float[Array, ""]:
    """The difference of two losses of this size that rounding alone can make."""
    return _ROUNDINGS * jnp.finfo(loss.dtype).eps * jnp.abs(loss)


def lowered(
    before: Float[Array, ""], actual: Float[Array, ""], predicted: Float[Array, ""]
) -> tuple[Bool[Array, ""], Bool[Array, ""]]:
    """Whether a step may be taken, and whether its reduction ratio is nothing but rounding.

    If a decrease is predicted below the loss's own rounding, the trial cannot judge it, unless the loss rose by more
    than that. The step is then taken on the model's prediction, and the ratio must count neither for nor against the
    damping.

    Args:
        before: the loss; where it is not finite nothing can be compared, and no step may be taken.
        actual: decrease that was seen; not finite for a step that must not be taken.
        predicted: decrease that was predicted.
    """
    noise = rounding(before)
    finite = jnp.isfinite(before) & jnp.isfinite(actual)
    predicted = predicted.astype(before.dtype)
    drowned = finite & (jnp.abs(predicted) <= noise) & (actual >= -noise)
    return finite & ((actual > 0) | (drowned & (predicted > 0))), drowned
