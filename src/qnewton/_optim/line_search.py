"""Backtracking along a direction."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._core.kinds import check_scalars, known, plain, varies
from .rounding import lowered
from .step_rules import AbstractStepRule, Situation, StepOutcome


class LineSearch(AbstractStepRule):
    """Line search over the rates 1, `shrink`, `shrink^2`, ... for the first that lowers the loss enough.

    Armijo 1966; Nocedal and Wright 2006, algorithm 3.1. Enough is `slope` times what the gradient promises. Every rate
    costs one forward pass on the step's own batch. In the place of a direction that is not downhill, as an indefinite
    Hessian may give, comes the gradient's, in the same length. A direction along which no rate is good enough gives no
    step. Where less is promised than the loss's own rounding, it is enough not to rise by more.

    Attributes:
        shrink: in (0, 1).
        slope: in (0, 1).
        tries: rates tried at most, at least 1.
        damping: constant.
    """

    radius: ClassVar[float] = math.inf
    shrink: float = eqx.field(static=True, converter=plain, default=0.5)
    slope: float = eqx.field(static=True, converter=plain, default=1e-4)
    tries: int = eqx.field(static=True, converter=plain, default=12)
    damping: float = varies(default=1.0)

    def __check_init__(self):
        check_scalars(self)
        if not (0 < self.shrink < 1 and 0 < self.slope < 1 and self.tries >= 1):
            raise ValueError(
                f"shrink is {self.shrink}, slope {self.slope}, tries {self.tries}: they must satisfy 0 < shrink < 1, "
                "0 < slope < 1 and tries >= 1"
            )
        if known(self.damping) and not 0 < self.damping < float("inf"):
            raise ValueError(f"damping is {self.damping}: it must be positive and finite")

    def take(self, situation: Situation) -> StepOutcome:
        before = situation.loss()
        direction = _downhill(situation)
        promised = -jnp.vdot(direction, situation.gradient)

        def decrease(rate: Float[Array, ""]) -> Float[Array, ""]:
            return before - situation.loss_after(rate * direction)

        def enough(rate: Float[Array, ""], actual: Float[Array, ""]) -> Array:
            better, drowned = lowered(before, actual, rate * promised)
            return (promised > 0) & better & (drowned | (actual >= self.slope * rate * promised))

        def unfinished(carry: tuple[Int[Array, ""], Float[Array, ""], Float[Array, ""]]) -> Array:
            count, rate, actual = carry
            return ~enough(rate, actual) & (count < self.tries) & (promised > 0)

        def shorter(
            carry: tuple[Int[Array, ""], Float[Array, ""], Float[Array, ""]],
        ) -> tuple[Int[Array, ""], Float[Array, ""], Float[Array, ""]]:
            count, rate, _ = carry
            rate = rate * self.shrink
            return count + 1, rate, decrease(rate)

        one = jnp.ones((), situation.gradient.dtype)
        _, rate, actual = jax.lax.while_loop(unfinished, shorter, (jnp.int32(1), one, decrease(one)))
        accepted = enough(rate, actual)
        predicted = rate * promised
        return StepOutcome(
            step=jnp.where(accepted, rate * direction, 0),
            damping=situation.damping,
            radius=situation.radius,
            loss=before,
            learning_rate=rate,
            momentum=jnp.zeros_like(rate),
            predicted_decrease=predicted,
            actual_decrease=actual,
            reduction_ratio=actual / predicted,
            accepted=accepted,
            solved=jnp.isfinite(before) & (promised > 0),
        )


def _downhill(situation: Situation) -> Float[Array, " n"]:
    """Return the direction if it is downhill, else the steepest in the metric, with the same length."""
    direction, roots = situation.direction, 1 if situation.roots is None else situation.roots
    steepest = -situation.gradient / roots
    length, size = jnp.linalg.norm(roots * direction), jnp.linalg.norm(steepest)
    steepest = length / jnp.where(size > 0, size, 1) * steepest / roots
    return jnp.where(jnp.vdot(direction, situation.gradient) < 0, direction, steepest)
