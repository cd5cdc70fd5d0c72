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
    policy: AbstractPolicy, offers: Offers, shares: Float[Array, " blocks"], last: Int[Array, " blocks"] | None = None
) -> tuple[Int[Array, "steps blocks"], Int[Array, "steps blocks"], Int[Array, " blocks"]]:
    """Return a policy's choices, step by step, as in a training with these predictions.

    Args:
        policy: any but `Assigned`, whose choices are not its own.
        offers: of every step and block under one assumption set `[steps, blocks, candidates]`, in the run's dtype.
        shares: of the blocks, as in `Turn`.
        last: what the steps before these remember; None: these are the first ones.

    Returns:
        The chosen candidates, a `Verdict` for each, and what the steps behind these remember.
    """

    def step(last: Int[Array, " blocks"], now: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        def block(s: Array, f: Array, kappa: Array, last: Array, share: Array) -> tuple[Array, Array, Array]:
            turn = Turn(last, share)
            choice = policy.choose(Offers(offers.names, offers.quantum, s, f, kappa), turn)
            return choice.index, choice.verdict, remembered(choice.index, choice.verdict, last)

        index, verdict, last = jax.vmap(block)(*now, last, shares)
        return last, (index, verdict)

    first = jnp.full(shares.shape, NONE_YET, jnp.int32) if last is None else last
    steps = offers.seconds, offers.feasible, offers.log_condition_number
    last, (index, verdict) = jax.lax.scan(step, first, steps)
    return index, verdict, last


def decide_makespan(
    machines: Callable[[int], Sequence[Machine]], offers: Offers, begin: int = 0, before: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the choices of a training whose blocks `assign` scheduled: under `Assigned()`, on the host.

    Args:
        machines: who is there for a step, by its number.
        offers: as of `decide`.
        begin: number of the first of these steps.
        before: seconds of the step before that `[blocks, candidates]`; None: there is none.

    Returns:
        The chosen candidates, and a `Verdict` for each.
    """
    seconds, feasible = np.asarray(offers.seconds), np.asarray(offers.feasible)
    choices, verdicts = np.zeros(seconds.shape[:2], int), np.zeros(seconds.shape[:2], int)
    given = np.full(seconds.shape[1], NONE_YET)
    if before is not None:
        given = schedule_step(before, offers.names, machines(begin)).candidates
    for step, (now, may) in enumerate(zip(seconds, feasible, strict=True)):
        best, found = fastest(now, may)
        able = may & np.isfinite(now)
        column = np.maximum(given, 0)
        taken = (given >= 0) & np.take_along_axis(able, column[:, None], axis=1)[:, 0]
        choices[step] = np.where(taken, column, best)
        verdicts[step] = np.where(found, Verdict.CHOSEN, Verdict.NOBODY)
        if step + 1 < len(seconds):
            given = schedule_step(now, offers.names, machines(begin + step + 1)).candidates
    return choices, verdicts
