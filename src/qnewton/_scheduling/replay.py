"""The decisions of a whole training at once, from recorded predictions."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._core.status import Verdict
from .._pricing.fastest import fastest
from .._pricing.offers import Offers
from .._pricing.policies import AbstractPolicy, Turn
from .._pricing.policies.base import NONE_YET, remembered
from .makespan import Machine, schedule_step


@eqx.filter_jit
def decide(
    policy: AbstractPolicy, offers: Offers, shares: Float[Array, " blocks"]
) -> tuple[Int[Array, "steps blocks"], Int[Array, "steps blocks"]]:
    """Return a policy's choices, step by step, as in a training with these predictions.

    Args:
        policy: any but `Assigned`, whose choices are not its own.
        offers: of every step and block under one assumption set `[steps, blocks, candidates]`, in the run's dtype.
        shares: of the blocks, as in `Turn`.

    Returns:
        The chosen candidates, and a `Verdict` for each.
    """

    def step(last: Int[Array, " blocks"], now: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        def block(s: Array, f: Array, kappa: Array, last: Array, share: Array) -> tuple[Array, Array, Array]:
            turn = Turn(last, share)
            choice = policy.choose(Offers(offers.names, offers.quantum, s, f, kappa), turn)
            return choice.index, choice.verdict, remembered(choice.index, choice.verdict, last)

        index, verdict, last = jax.vmap(block)(*now, last, shares)
        return last, (index, verdict)

    first = jnp.full(shares.shape, NONE_YET, jnp.int32)
    steps = offers.seconds, offers.feasible, offers.log_condition_number
    return jax.lax.scan(step, first, steps)[1]


def decide_makespan(machines: Callable[[int], Sequence[Machine]], offers: Offers) -> tuple[np.ndarray, np.ndarray]:
    """Return the choices of a training whose blocks `assign` scheduled: under `Assigned()`, on the host.

    Args:
        machines: who is there for a step, by its number.
        offers: as of `decide`.

    Returns:
        As `decide`.
    """
    seconds, feasible = np.asarray(offers.seconds), np.asarray(offers.feasible)
    choices, verdicts = np.zeros(seconds.shape[:2], int), np.zeros(seconds.shape[:2], int)
    given = np.full(seconds.shape[1], NONE_YET)
    for step, (now, may) in enumerate(zip(seconds, feasible, strict=True)):
        best, found = fastest(now, may)
        able = may & np.isfinite(now)
        column = np.maximum(given, 0)
        taken = (given >= 0) & np.take_along_axis(able, column[:, None], axis=1)[:, 0]
        choices[step] = np.where(taken, column, best)
        verdicts[step] = np.where(found, Verdict.CHOSEN, Verdict.NOBODY)
        if step + 1 < len(seconds):
            given = schedule_step(now, offers.names, machines(step + 1)).candidates
    return choices, verdicts
