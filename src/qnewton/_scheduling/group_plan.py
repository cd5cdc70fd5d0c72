"""What a group of equal systems costs in a step, and who solves them: the record of it."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from .._pricing.offers import Offers
from .hybrid import Hybrid


class GroupPlan(eqx.Module):
    """What a group of equal systems costs in a step, and who solves them.

    Attributes:
        name: what the systems are, in words.
        size: of one system in rows, how many there are, their right-hand sides, and the steps that a set-up serves.
        offers: of all candidates, `[sets, candidates]`, for the whole group and one step, classical set-ups shared out
            over the steps that they serve. Of one that was refused as `UNDERCUT` the seconds are the least it might
            take.
        choice: column chosen under each set; -1 where the bounds leave it open and nothing was estimated.
        verdict: a `Verdict` on each.
        estimated: whether the condition number was looked at; where it was not, no number of it would have changed the
            choice of the acting set, which is the first.
    """

    name: str = eqx.field(static=True)
    size: Int[Array, "4"]
    offers: Offers
    choice: Int[Array, " sets"]
    verdict: Int[Array, " sets"]
    estimated: Bool[Array, ""]

    @classmethod
    def blank(cls, scheduler: Hybrid, name: str, dtype: jnp.dtype) -> "GroupPlan":
        """Of no systems."""
        shape = (len(scheduler.assumptions), len(scheduler.solvers))
        numbers, none = jnp.zeros(shape, dtype), jnp.zeros(shape, jnp.int32)
        offers = Offers(
            names=scheduler.names,
            quantum=tuple(solver.capabilities.quantum for solver in scheduler.solvers),
            seconds=numbers,
            feasible=jnp.zeros(shape, bool),
            log_condition_number=jnp.zeros((), dtype),
            fixed_seconds=numbers,
            refusal=none,
            queries=numbers,
            copies=numbers,
            success_probability=numbers,
            clamped=jnp.zeros(shape, bool),
            expected_steps=numbers[0],
        )
        return cls(name, jnp.zeros(4, jnp.int32), offers, none[:, 0], none[:, 0], jnp.zeros((), bool))
