"""The decisions of a whole training at once, from recorded predictions."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..core.status import Verdict
from .policies import AbstractPolicy, Offers, Turn
from .policies.base import NONE_YET


class Recorded(eqx.Module):
    """The predictions of a training under one assumption set, in the dtype of the run.

    Attributes:
        names, quantum: of the candidates, as in `Offers`.
        seconds, feasible, log_condition_number: as in `Offers`, for every step and block.
        shares: of the blocks, as in `Turn`.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    quantum: tuple[bool, ...] = eqx.field(static=True)
    seconds: Float[Array, "steps blocks candidates"]
    feasible: Bool[Array, "steps blocks candidates"]
    log_condition_number: Float[Array, "steps blocks"]
    shares: Float[Array, " blocks"]


@eqx.filter_jit
def decide(policy: AbstractPolicy, recorded: Recorded) -> tuple[Int[Array, "steps blocks"], Int[Array, "steps blocks"]]:
    """What a policy chooses, step after step: as a training with these predictions would have.

    Args:
        policy: any but `Assigned`, whose choices are not its own.
        recorded: the predictions.

    Returns:
        The chosen candidates, and a `Verdict` for each.
    """

    def step(last: Int[Array, " blocks"], now: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        def block(s: Array, f: Array, kappa: Array, last: Array, share: Array) -> tuple[Array, Array, Array]:
            turn = Turn(last, share)
            choice = policy.choose(Offers(recorded.names, recorded.quantum, s, f, kappa), turn)
            return choice.index, choice.verdict, remembered(choice.index, choice.verdict, last)

        index, verdict, last = jax.vmap(block)(*now, last, recorded.shares)
        return last, (index, verdict)

    first = jnp.full(recorded.shares.shape, NONE_YET, jnp.int32)
    steps = recorded.seconds, recorded.feasible, recorded.log_condition_number
    return jax.lax.scan(step, first, steps)[1]


def remembered(choice: Int[Array, "*sets"], verdict: Int[Array, "*sets"], last: Int[Array, "*sets"]) -> Array:
    """What the next turn's `last` is: a choice that nobody could carry out is none."""
    return jnp.where(verdict == Verdict.NOBODY, last, choice)
