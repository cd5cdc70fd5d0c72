"""Adaptation of the damping during training."""

import abc
import math
from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.arrays import first_of
from .._core.kinds import check_scalars, plain
from .._core.renamed import renamed


class AbstractAdaptation(eqx.Module):
    """Rule that derives the damping scale of the next step from the reduction ratio of the last one.

    Attributes:
        tries: whether the step must be tried on its batch to know the ratio, one more evaluation of the loss.
        per_block: whether every block has a scale of its own, one more gradient; only where the step is tried.
    """

    tries: eqx.AbstractClassVar[bool]
    per_block: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def initial(self) -> float:
        """The scale of the first step."""

    @abc.abstractmethod
    def adapt(self, scale: Float[Array, ""], ratio: Float[Array, ""]) -> Float[Array, ""]:
        """Return the next scale, from the actual over the predicted decrease of the loss (NaN if unknown)."""

    @abc.abstractmethod
    def accept(self, decrease: Float[Array, ""]) -> Bool[Array, ""]:
        """Return whether to take a step that lowered the batch loss by `decrease` (negative if it rose)."""

    def least(self, rows: int, dtype: jnp.dtype) -> float:
        """Return the lower limit of the scale for a block of `rows` rows."""
        return 0.0

    def after_solves(
        self,
        scale: Float[Array, "*blocks"],
        following: Float[Array, "*blocks"],
        failed: Bool[Array, " blocks"],
        rows: Sequence[int],
    ) -> Float[Array, "*blocks"]:
        """Return the next scale, given the blocks that could not be solved.

        A system that rounding made unsolvable was damped too little, however well the gradient that replaced its
        solution did.

        Args:
            scale: of this step.
            following: from the reduction ratio.
            failed: of each block, whether it has curvature and was not solved.
            rows: of each block.
        """
        if not following.ndim:
            failed, rows = jnp.any(failed), (max(rows),)
        more = jnp.maximum(following, self.adapt(scale, jnp.full_like(scale, -jnp.inf)))
        least = jnp.asarray([self.least(n, following.dtype) for n in rows], following.dtype).reshape(following.shape)
        return jnp.maximum(jnp.where(failed, more, following), least)


class Fixed(AbstractAdaptation):
    """Constant damping as its rule states, with every step taken: Q-Newton's way."""

    tries: ClassVar[bool] = False
    per_block: ClassVar[bool] = False

    def initial(self) -> float:
        return 1.0

    def adapt(self, scale: Float[Array, ""], ratio: Float[Array, ""]) -> Float[Array, ""]:
        return scale

    def accept(self, decrease: Float[Array, ""]) -> Bool[Array, ""]:
        return jnp.ones((), bool)


@renamed(start="damping")
class LevenbergMarquardt(AbstractAdaptation):
    """Levenberg-Marquardt adaptation by the quality of the quadratic model (Marquardt 1963; Martens 2010, 4.1).

    Damping falls while the model predicts well, and rises where it fails.

    A step that would raise the loss of its own batch is not taken; the next one is damped more. Where
    something behind `newton` in an `optax.chain` changes the update, the ratio is that of the step that was taken.

    Attributes:
        damping: first factor on the damping of the conditioning, positive.
        shrink: factor in (0, 1) where the ratio exceeds `good`.
        grow: factor above 1 where the ratio falls below `poor`, squared where the loss rose.
        good, poor: thresholds on the reduction ratio.
        smallest: lower limit of the scale; None: as many rounding units of the float type as the block has rows, with
            less of which beside the largest entry a factorisation may break down (Higham 2002, theorem 10.7).
        largest: upper limit of the scale, above what a start needs whose residuals are 1e9 times what the parameters
            can move, or one far out in the tails of a loss, where there is next to no curvature.
        per_block: each block follows its own ratio: its share of the decrease (`_optim.trial.try_blocks`) over what its
            own model predicted. Whether the step is taken is still decided for the whole.
    """

    tries: ClassVar[bool] = True

    damping: float = eqx.field(static=True, converter=plain, default=1.0)
    shrink: float = eqx.field(static=True, converter=plain, default=0.3)
    grow: float = eqx.field(static=True, converter=plain, default=3.0)
    good: float = eqx.field(static=True, converter=plain, default=0.75)
    poor: float = eqx.field(static=True, converter=plain, default=0.25)
    smallest: float | None = eqx.field(static=True, converter=plain, default=None)
    largest: float = eqx.field(static=True, converter=plain, default=1e12)
    per_block: bool = eqx.field(static=True, converter=plain, default=False)

    def __check_init__(self):
        check_scalars(self)
        smallest = math.ulp(0.0) if self.smallest is None else self.smallest
        if not 0 < smallest <= self.damping <= self.largest:
            raise ValueError(
                f"the damping starts at {self.damping} with limits {self.smallest} to {self.largest}: all must be "
                "positive, in the order smallest <= damping <= largest. Damping is never negative"
            )
        if not (0 < self.shrink < 1 < self.grow and self.poor < self.good):
            raise ValueError(
                f"shrink is {self.shrink}, grow {self.grow}, poor {self.poor}, good {self.good}: they must satisfy "
                "0 < shrink < 1 < grow and poor < good"
            )

    def initial(self) -> float:
        return self.damping

    def adapt(self, scale: Float[Array, ""], ratio: Float[Array, ""]) -> Float[Array, ""]:
        factor = first_of(
            [ratio > self.good, ratio >= self.poor, ratio > 0], [self.shrink, 1.0, self.grow], self.grow**2
        )
        smallest = jnp.finfo(scale.dtype).eps if self.smallest is None else self.smallest
        return jnp.clip(scale * factor.astype(scale.dtype), smallest, self.largest)

    def accept(self, decrease: Float[Array, ""]) -> Bool[Array, ""]:
        return decrease > 0

    def least(self, rows: int, dtype: jnp.dtype) -> float:
        return min(self.damping, rows * float(jnp.finfo(dtype).eps)) if self.smallest is None else self.smallest
