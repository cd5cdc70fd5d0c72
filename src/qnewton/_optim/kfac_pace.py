"""Refreshes of `kfac`'s factors, and its rule for new batches: the scalars that a step begins with."""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .applied import Found
from .kfac_state import KFACState
from .new_batches import Reached
from .step_rules import AbstractStepRule, KLClip


@dataclass(frozen=True)
class Pace:
    """Refresh rate of the factors, and their running average.

    Attributes:
        refresh: steps from one refresh of factors and set-ups to the next.
        average: weight of the old factors in the running average.
    """

    refresh: int
    average: float


@dataclass(frozen=True)
class NoisyBatches:
    """Settings that apply once a step's loss differs from the one that the last step ended with.

    The two-dimensional model follows a small batch's own loss, and stalls.

    Attributes:
        rule: how far to go.
        pace: of the refreshes.
    """

    rule: AbstractStepRule = field(default_factory=KLClip)
    pace: Pace = Pace(10, 0.8)


class Begun(NamedTuple):
    """What the loss before a step decides.

    Attributes:
        reached: the state's, with what is known of new batches.
        damping: of the step.
        age: of the factors; -1 where there are none.
        average: weight of the old factors.
        due: whether there are to be new ones.
        turned: whether another rule takes over.
    """

    reached: Reached
    damping: Float[Array, ""]
    age: Int[Array, ""]
    average: Float[Array, ""]
    due: Bool[Array, ""]
    turned: Bool[Array, ""]

    @classmethod
    def of(
        cls,
        state: KFACState,
        loss: Float[Array, ""],
        finite: Bool[Array, ""],
        rounding: float,
        pace: Pace,
        rule: AbstractStepRule,
        noisy: NoisyBatches | None,
        found: Found,
    ) -> "Begun":
        """Return the scalars from the state before the step.

        Args:
            state: before it.
            loss: before it.
            finite: whether the gradient is.
            rounding: unit of the narrowest float that the model computes with.
            pace: as long as no new batch was noticed.
            rule: likewise.
            noisy: from then on; None: nothing changes.
            found: what has become of the last one.
        """
        damping, reached, turned = _revised(rule, state, found), state.reached, jnp.zeros((), bool)
        age, refresh, average = state.age, jnp.int32(pace.refresh), jnp.asarray(pace.average, damping.dtype)
        if noisy is not None:
            reached = reached.compared(loss, state.scale, rounding, found)
            turned = reached.noisy & ~state.reached.noisy
            # A new rule has a damping of its own, and begins anew: no use for another one's averages.
            damping = jnp.where(turned, noisy.rule.damping, damping).astype(damping.dtype)
            age = jnp.where(turned, -1, age)
            refresh = jnp.where(reached.noisy, noisy.pace.refresh, refresh)
            average = jnp.where(reached.noisy, noisy.pace.average, average).astype(damping.dtype)
        return cls(reached, damping, age, average, finite & ((age < 0) | (age >= refresh - 1)), turned)


def _revised(rule: AbstractStepRule, state: KFACState, found: Found) -> Float[Array, ""]:
    """Return the damping, by the ratio of the step that was taken if that differs from the one tried."""
    following = rule.revised(state.damping_before, found.ratio, found.lower)
    if following is None:
        return state.damping
    # Once batches are noisy another rule steps, whose damping follows no ratio.
    judges = found.judges & ~state.reached.noisy
    return jnp.where(judges, following, state.damping).astype(state.damping.dtype)
