"""Length of the step along a preconditioned direction: the exact quadratic model, or a clipped rate."""

import abc
import math
from dataclasses import dataclass, replace
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from .._core.arrays import first_of
from .._core.kinds import check_scalars, known, plain, typed, varies
from .._core.one_kernel import in_one_kernel
from .._core.trees import ravel, unravel
from .._curvature.loss_scale import LossScale
from .._curvature.objective import Batch, Objective
from .quadratic_model import Linearised, PlaneModel
from .rounding import lowered


@dataclass(frozen=True)
class Situation:
    """Starting point of a step; vectors are raveled parameters `[n]`.

    Attributes:
        objective, params, batch, key: as in `update`.
        scale: unit of the loss, in which everything here is counted that is a loss or a derivative of one.
        gradient: as given to `update`, in units.
        direction: to go along, downhill: the preconditioned gradient, negative.
        last: the step before, zero at first.
        damping: for this step, as the rule keeps it.
        shift: what it stands for on the curvature's diagonal, in units: one number, or one per parameter `[n]`.
        radius: longest step that is trusted; infinite without a trust region.
        roots: diagonal of the metric's `D`; None where it is the identity.
        here: the objective here, where it is known; None computes it.
        linearised: of the plane's model, where it is known; None computes it.
    """

    objective: Objective
    params: PyTree
    batch: Batch
    key: Key[Array, ""] | None
    scale: LossScale
    gradient: Float[Array, " n"]
    direction: Float[Array, " n"]
    last: Float[Array, " n"]
    damping: Float[Array, ""]
    shift: Float[Array, "*n"]
    radius: Float[Array, ""]
    roots: Float[Array, " n"] | None = None
    here: Float[Array, ""] | None = None
    linearised: Linearised | None = None

    def tree(self, vector: Float[Array, " n"]) -> PyTree:
        """The vector in the structure of the parameters."""
        leaves, structure = jax.tree.flatten(self.params)
        return jax.tree.unflatten(structure, unravel(vector, leaves))

    def loss(self) -> Float[Array, ""]:
        """The objective here; its forward pass is the gradient's where both are compiled together."""
        return self._in_units(self.params) if self.here is None else self.here

    def loss_after(self, step: Float[Array, " n"]) -> Float[Array, ""]:
        """The objective on the same batch after the step: one more forward pass."""
        moved = ravel(jax.tree.leaves(self.params)) + step
        return self._in_units(self.tree(moved))

    def plane(
        self, first: Float[Array, " n"], second: Float[Array, " n"], metric: Float[Array, " n"] | None = None
    ) -> PlaneModel:
        """The exact quadratic model in the plane of two vectors, in units."""
        objective, lift = self.scale.applied(self.objective), self.scale.lift / self.scale.divisor
        directions = [self.tree(first), self.tree(second)]
        return PlaneModel.of(
            objective, self.params, self.batch, self.gradient, directions, self.key, metric, lift, self.linearised
        )

    def ahead(self) -> "Situation":
        """The same with the plane's model linearised now, and not in the branch of a `lax.cond` that needs it."""
        objective = self.scale.applied(self.objective)
        return replace(self, linearised=PlaneModel.linearised(objective, self.params, self.batch, self.key))

    @property
    def l2(self) -> Float[Array, ""] | float:
        """The objective's `l2`, in units."""
        return self.scale.penalty(self.objective)

    def _in_units(self, params: PyTree) -> Float[Array, ""]:
        return self.objective(params, self.batch, self.key).astype(self.gradient.dtype) / self.scale.divisor


class StepOutcome(eqx.Module):
    """A step with its predicted and observed effect, in units of the loss; NaN for what the rule does not compute.

    Attributes:
        step: the update `[n]`.
        damping: for the next step.
        radius: for the next step.
        loss: the objective before the step.
        learning_rate: coefficient of the preconditioned gradient.
        momentum: coefficient of the last step.
        predicted_decrease, actual_decrease: of the objective on this batch.
        reduction_ratio: actual over predicted.
        accepted: False where the step was refused; it is zero then.
        solved: False where the model has no minimum or the step is not finite; it is zero then, too.
    """

    step: Float[Array, " n"]
    damping: Float[Array, ""]
    radius: Float[Array, ""]
    loss: Float[Array, ""]
    learning_rate: Float[Array, ""]
    momentum: Float[Array, ""]
    predicted_decrease: Float[Array, ""]
    actual_decrease: Float[Array, ""]
    reduction_ratio: Float[Array, ""]
    accepted: Bool[Array, ""]
    solved: Bool[Array, ""]

    def of_loss(self, scale: LossScale) -> "StepOutcome":
        """The same with losses as the objective counts them."""
        losses = self.loss, self.predicted_decrease, self.actual_decrease
        return eqx.tree_at(
            lambda outcome: (outcome.loss, outcome.predicted_decrease, outcome.actual_decrease),
            self,
            tuple(value * scale.divisor for value in losses),
        )


class AbstractStepRule(eqx.Module):
    """Rule that turns a direction into a step.

    Attributes:
        damping: of the first step, positive.
        radius: longest first step, positive; infinite without a trust region.
    """

    damping: eqx.AbstractVar[float]
    radius: eqx.AbstractVar[float]

    @abc.abstractmethod
    def take(self, situation: Situation) -> StepOutcome:
        """The step from here."""

    def revised(
        self, damping: Float[Array, ""], ratio: Float[Array, ""], lower: Bool[Array, ""]
    ) -> Float[Array, ""] | None:
        """Return the next step's damping if another step was applied; None keeps the value of `take`.

        Args:
            damping: that the rule's step was taken with.
            ratio: actual over predicted decrease of the other one.
            lower: whether it lowered the loss.
        """
        return None


class QuadraticModel(AbstractStepRule):
    """Learning rate and momentum from the exact quadratic model, damping by the Levenberg-Marquardt rule.

    The coefficients minimise the damped model in the plane of the direction and the last step (Martens and Grosse 2015,
    section 7). The damping follows the ratio of actual to predicted decrease (section 6.5; the prediction is the damped
    model's). A decrease that is predicted below the rounding of the loss itself is no evidence, and leaves the damping
    as it is. The rule is for batches with little noise: on small random batches the model follows the batch, and
    stalls.

    Attributes:
        damping: first damping, in units of the largest curvature of the loss in the outputs on the first batch.
        shrink: factor in (0, 1): on the damping where the ratio exceeds `good`; it divides the damping where the ratio
            is below `poor`, and its fourth power where the loss rose.
        good, poor: thresholds on the reduction ratio.
        smallest, largest: limits of the damping.
    """

    radius: ClassVar[float] = math.inf
    damping: float = varies(default=0.03)
    shrink: float = eqx.field(static=True, converter=plain, default=0.9)
    good: float = eqx.field(static=True, converter=plain, default=0.9)
    poor: float = eqx.field(static=True, converter=plain, default=0.25)
    smallest: float = eqx.field(static=True, converter=plain, default=1e-8)
    largest: float = eqx.field(static=True, converter=plain, default=1e8)

    def __check_init__(self):
        check_scalars(self)
        if known(self.damping) and not 0 < self.smallest <= self.damping <= self.largest < float("inf"):
            raise ValueError(
                f"the damping starts at {self.damping} with limits {self.smallest} to {self.largest}: all must be "
                "positive and finite, in the order smallest <= damping <= largest"
            )
        if not (0 < self.shrink < 1 and 0 <= self.poor < self.good):
            raise ValueError(
                f"shrink is {self.shrink}, good {self.good}, poor {self.poor}: they must satisfy 0 < shrink < 1 and "
                "0 <= poor < good"
            )

    def take(self, situation: Situation) -> StepOutcome:
        shift, metric = situation.shift + situation.l2, None
        if shift.ndim:
            metric, shift = shift, jnp.ones((), shift.dtype)
        plane = situation.plane(situation.direction, situation.last, metric)

        def minimum() -> tuple[Float[Array, "2"], Bool[Array, ""], Float[Array, ""]]:
            coefficients, bounded = plane.minimiser(shift)
            return coefficients, bounded, plane.decrease(coefficients, shift)

        coefficients, bounded, predicted = in_one_kernel(minimum)
        step = coefficients[0] * situation.direction + coefficients[1] * situation.last
        before, after = situation.loss(), situation.loss_after(step)
        finite = jnp.all(jnp.isfinite(step))

        def judged() -> StepOutcome:
            actual = before - after
            ratio = actual / predicted
            solved = bounded & finite & jnp.isfinite(before)
            better, drowned = lowered(before, actual, predicted)
            accepted = solved & better
            still = ~jnp.isfinite(before) | (solved & drowned)
            return StepOutcome(
                step=jnp.zeros(0, step.dtype),
                damping=jnp.where(still, situation.damping, self._adapt(situation.damping, ratio, accepted)),
                radius=situation.radius,
                loss=before,
                learning_rate=coefficients[0],
                momentum=coefficients[1],
                predicted_decrease=predicted,
                actual_decrease=actual,
                reduction_ratio=ratio,
                accepted=accepted,
                solved=solved,
            )

        outcome = in_one_kernel(judged)
        return eqx.tree_at(lambda outcome: outcome.step, outcome, jnp.where(outcome.accepted, step, 0))

    def revised(
        self, damping: Float[Array, ""], ratio: Float[Array, ""], lower: Bool[Array, ""]
    ) -> Float[Array, ""] | None:
        return self._adapt(damping, ratio, lower)

    def _adapt(self, damping: Float[Array, ""], ratio: Float[Array, ""], accepted: Bool[Array, ""]) -> Float[Array, ""]:
        factor = first_of(
            [~accepted, ratio > self.good, ratio >= self.poor], [self.shrink**-4, self.shrink, 1.0], 1 / self.shrink
        )
        return jnp.clip(damping * factor.astype(damping.dtype), self.smallest, self.largest)


class KLClip(AbstractStepRule):
    """A fixed rate with momentum for mini-batches; a step that would change the predictions too much is shortened.

    With `d` the preconditioned gradient, `v <- f (momentum v - rate d)`, `f = min(1, sqrt(clip / (rate^2 d.g)))`:
    `rate^2 d.g` is the squared length of `rate d` in the metric of the curvature, twice the KL divergence for a Fisher
    matrix (Ba, Grosse and Martens 2017, section 5, who shorten `d` alone). The momentum is shortened likewise, or the
    first steps, which are all clipped, would add up to ten times what the clip allows. Fragile without the clip. The
    noise of the last steps remains in the parameters: evaluate a running average of them (decay .98, say), which is
    left to the user.

    Attributes:
        rate: on the preconditioned gradient; a float.
        momentum: in [0, 1).
        clip: largest squared length of the step, without momentum; infinity does not clip.
        damping: constant.

    Both are in units of the largest curvature of the loss in the outputs on the first batch, so that a multiple of the
    loss takes the same steps. The loss after the step is not looked at; where the one before it is not finite, nothing
    moves.
    """

    radius: ClassVar[float] = math.inf
    rate: float = varies(default=0.15)
    momentum: float = varies(default=0.9)
    clip: float = varies(default=1e-2)
    damping: float = varies(default=3e-3)

    def __check_init__(self):
        check_scalars(self)
        # Of what is traced nothing is known, so it stands at a value that is right.
        rate, momentum, clip, damping = (
            value if known(value) else 0.5 for value in (self.rate, self.momentum, self.clip, self.damping)
        )
        if not (0 < rate < float("inf") and 0 <= momentum < 1 and clip > 0):
            raise ValueError(
                f"rate is {self.rate}, momentum {self.momentum}, clip {self.clip}: they must satisfy rate > 0, "
                "0 <= momentum < 1 and clip > 0"
            )
        if not 0 < damping < float("inf"):
            raise ValueError(f"damping is {damping}: it must be positive and finite, e.g. 1e-3")

    def take(self, situation: Situation) -> StepOutcome:
        rate, momentum, clip = (
            typed(value, situation.gradient.dtype) for value in (self.rate, self.momentum, self.clip)
        )
        length = rate**2 * jnp.abs(jnp.vdot(situation.direction, situation.gradient))
        factor = jnp.minimum(1, jnp.sqrt(clip / jnp.where(length > 0, length, 1)))
        factor = jnp.where(length > 0, factor, 1)
        rate, momentum = rate * factor, momentum * factor
        step = rate * situation.direction + momentum * situation.last
        loss = situation.loss()
        solved = jnp.all(jnp.isfinite(step)) & jnp.isfinite(loss)
        unknown = jnp.full_like(rate, jnp.nan)
        return StepOutcome(
            step=jnp.where(solved, step, 0),
            damping=situation.damping,
            radius=situation.radius,
            loss=loss,
            learning_rate=rate,
            momentum=momentum,
            predicted_decrease=unknown,
            actual_decrease=unknown,
            reduction_ratio=unknown,
            accepted=solved,
            solved=solved,
        )
