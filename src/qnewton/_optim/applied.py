"""Whether a step was applied as it left, and what the loss says of the step that was taken instead.

Whatever stands behind an optimizer in a chain may change its update: a factor, a clip, decayed weights. The trial of
the step is then of a step that nobody took. Parameters tell: they are not where the step led. Keeping a copy of those
would cost as much memory as they do, so two numbers of them are kept, sums with weights that look random.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree, UInt32

from .._core.arrays import filled
from .._core.one_kernel import in_one_kernel
from .._curvature.fingerprint import fingerprint
from .rounding import lowered

SEEN = 0.01
"""Part of a step by which another one must differ from it to count as another."""
UNIFORM = 0.05
"""Relative difference of the two sums' own factors up to which a step was only made longer or shorter."""
EXAMPLES = 64
"""Of a batch these many tell it from others."""


class Found(NamedTuple):
    """What is seen of the last step before the next one.

    Attributes:
        altered: whether the parameters are not where it led.
        same: whether it was taken on the same batch, as far as is known; True where it was not altered.
        decrease: of the loss since, on that batch; NaN where it was not altered, or the batch is another.
        predicted: that its own model has for the step that was taken: of a step that was made longer or shorter that
            for the length that it has, else the whole one's.
        sums: over the parameters at present.
        prints: of this batch where it was altered, else zeros.
    """

    altered: Bool[Array, ""]
    same: Bool[Array, ""]
    decrease: Float[Array, ""]
    predicted: Float[Array, ""]
    sums: Float[Array, "2"]
    prints: UInt32[Array, "2"]

    @property
    def ratio(self) -> Float[Array, ""]:
        """Actual over predicted decrease of the step that was taken; NaN where it is that which was tried."""
        usable = jnp.isfinite(self.decrease) & (self.predicted > 0)
        return jnp.where(usable, self.decrease / jnp.where(usable, self.predicted, 1), jnp.nan)

    def judges(self, loss: Float[Array, ""]) -> Bool[Array, ""]:
        """Whether the ratio says more than rounding.

        Args:
            loss: at present.
        """
        return jnp.isfinite(self.ratio) & ~lowered(loss, self.decrease, self.predicted)[1]


class Left(NamedTuple):
    """What a step leaves behind for the next one to look at.

    Attributes:
        numbers: sums over the parameters that it led to, two; the same of the step itself, two; the rounding of such a
            sum; the loss before it; the decrease that the slope promised, and the one that was predicted, both 0 where
            nobody predicts any.
        prints: of its batch, where the step before it was altered; else zeros.
    """

    numbers: Float[Array, "8"]
    prints: UInt32[Array, "2"]

    @classmethod
    def nothing(cls, dtype: jnp.dtype) -> "Left":
        """Before the first step."""
        dtype = jnp.promote_types(dtype, jnp.float32)
        numbers = np.zeros(8, dtype)
        numbers[4] = jnp.finfo(dtype).max  # no sum differs by more
        return cls(jax.device_put(numbers), filled((2,), 0, jnp.uint32))

    def found(self, flat: Float[Array, " n"], batch: PyTree, loss: Float[Array, ""]) -> Found:
        """What has become of it.

        Args:
            flat: the parameters at present.
            batch: of the next step.
            loss: at present, on that batch.
        """
        sums = _weights(flat.size, self.numbers.dtype) @ flat.astype(self.numbers.dtype)
        altered = in_one_kernel(lambda: self._elsewhere(sums))
        # Only a batch that is needed is looked through.
        prints = jax.lax.cond(altered, lambda: _prints(batch, EXAMPLES), lambda: _prints(batch, 0))

        def judged() -> Found:
            moves, (before, slope, predicted) = self.numbers[2:4], self.numbers[5:]
            lengths = 1 + (sums - self.numbers[:2]) / moves
            length = (lengths[0] + lengths[1]) / 2
            uniform = jnp.abs(lengths[0] - lengths[1]) <= UNIFORM * jnp.abs(length)
            shorter = length * slope - length**2 * (slope - predicted)
            same = ~altered | jnp.all(self.prints == 0) | jnp.all(self.prints == prints)
            decrease = jnp.where(altered & same, before - loss.astype(before.dtype), jnp.nan)
            return Found(altered, same, decrease, jnp.where(uniform, shorter, predicted), sums, prints)

        return in_one_kernel(judged)

    def after(
        self,
        found: Found,
        flat: Float[Array, " n"],
        step: Float[Array, " n"],
        loss: Float[Array, ""],
        slope: Float[Array, ""],
        predicted: Float[Array, ""],
        stored: float,
    ) -> "Left":
        """Once the next step is known.

        Args:
            found: of the last one.
            flat: the parameters.
            step: that is to be added to them.
            loss: before it.
            slope: the loss's decrease along it to first order.
            predicted: decrease; NaN where nobody predicts one.
            stored: unit of rounding of the parameters as they are stored (`stored_rounding`).
        """
        dtype = self.numbers.dtype
        moves = _weights(flat.size, dtype) @ step.astype(dtype)
        square = jnp.vdot(flat.astype(dtype), flat.astype(dtype))
        # Of a sum in the working precision, and of the parameters in theirs.
        own = max(stored, float(jnp.finfo(flat.dtype).eps))
        rounding = 4 * (own + float(jnp.finfo(dtype).eps) * (1 + flat.size**0.5 / 16))

        def numbers() -> Float[Array, "8"]:
            told = [jnp.where(jnp.isfinite(predicted), one, 0) for one in (slope, predicted)]
            scalars = [one.astype(dtype) for one in (rounding * jnp.sqrt(square), loss, *told)]
            return jnp.concatenate([found.sums + moves, moves, jnp.stack(scalars)])

        return Left(in_one_kernel(numbers), found.prints)

    def _elsewhere(self, sums: Float[Array, "2"]) -> Bool[Array, ""]:
        gaps = jnp.abs(sums - self.numbers[:2])
        return jnp.any(gaps > self.numbers[4] + SEEN * jnp.abs(self.numbers[2:4]))


def _prints(batch: PyTree, examples: int) -> UInt32[Array, "2"]:
    """Of the first examples; of none zeros, which are spread over devices as those are."""
    return fingerprint([leaf[:examples] for leaf in jax.tree.leaves(batch) if jnp.ndim(leaf)])


def _weights(n: int, dtype: jnp.dtype) -> Float[Array, "2 n"]:
    """Weights between -1 and 1 that do not repeat: both halves of a mixed count."""
    mixed = jnp.arange(1, n + 1, dtype=jnp.uint32) * jnp.uint32(2654435761)
    mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(2246822519)
    mixed = mixed ^ (mixed >> 13)
    halves = jnp.stack([mixed >> 16, mixed & 0xFFFF])
    return halves.astype(dtype) / 2**15 - 1
