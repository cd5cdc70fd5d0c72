"""Assignment of blocks to machines that work at once, between two steps of `newton`."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from .._pricing.policies import Assigned
from .._scheduling import Hybrid
from .._scheduling.makespan import Machine, StepSchedule, schedule_step
from .state import NewtonState


def assign(
    state: NewtonState, hybrid: Hybrid, machines: Sequence[Machine], *, tolerance: float = 0.01
) -> tuple[NewtonState, StepSchedule]:
    """Schedule the blocks of the next step from the predictions of the last one, on the host.

    The next step gives each block to the candidate that the schedule found for it, in the same compiled program: only
    numbers in the state change. Before the first step there are no predictions, so let that be taken by the fastest.
    Predictions are a step old; where a candidate can no longer take a block, the fastest does.

    Args:
        state: of `newton` with `hybrid`, after at least one step.
        hybrid: whose policy is `Assigned()`.
        machines: that work at once; the candidates that they run are among those of `hybrid`.
        tolerance: relative gap to the shortest schedule that is good enough.

    Returns:
        The state for the next step, and the schedule under the acting assumption set.

    Raises:
        ValueError: for another policy, before the first step, without machines, or for an unknown candidate.
    """
    if not isinstance(hybrid.policy, Assigned):
        raise ValueError(
            f"the scheduler's policy is {type(hybrid.policy).__name__}, which chooses by itself: use "
            "Hybrid(..., policy=Assigned())"
        )
    if int(state.count) == 0:
        raise ValueError("before the first step nothing was predicted yet: take one step, then assign")
    plans = [info.plan for info in jax.device_get(state.info.blocks) if info.plan is not None]
    if not plans or len(state.choices) < len(plans):
        raise ValueError("the state remembers no choices: it is not one of newton with this scheduler")
    choices = np.stack([np.asarray(last) for last in state.choices])
    acting: StepSchedule | None = None
    for row in range(len(hybrid.assumptions)):
        seconds = np.stack([plan.offers.seconds[row] for plan in plans])
        found = schedule_step(seconds, hybrid.names, machines, tolerance=tolerance)
        choices[:, row] = found.candidates
        acting = found if acting is None else acting
    assert acting is not None, "a scheduler has an assumption set"
    return state._replace(choices=tuple(jnp.asarray(own, jnp.int32) for own in choices)), acting
