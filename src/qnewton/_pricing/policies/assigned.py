"""A choice made elsewhere, for all blocks of a step at once."""

from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from .base import AbstractPolicy, Choice, Offers, Turn, fastest_of, nobody_passed_over


class Assigned(AbstractPolicy):
    """The candidate that `qnewton.scheduling.assign` put into the state between two steps, else the fastest.

    A makespan is a matter of all blocks of a step and of the machines that work at once, which no block's own turn can
    decide. The host schedules the blocks from their last predictions (`_scheduling.makespan`) and leaves each one's
    candidate in the state; a block without one, or whose candidate can no longer take it, goes to the fastest. Between
    two assignments a block stays with what it had.
    """

    remembers: ClassVar[bool] = True

    def contenders(
        self,
        names: Sequence[str],
        least: np.ndarray,
        most: np.ndarray,
        quantum: Sequence[bool] = (),
        share: float = 1.0,
    ) -> tuple[int, ...]:
        # Who is assigned is decided elsewhere, and later.
        return tuple(range(len(names)))

    def choose(self, offers: Offers, turn: Turn) -> Choice:
        best = fastest_of(offers, nobody_passed_over(offers))
        given = jnp.clip(turn.last, 0, len(offers.names) - 1).astype(jnp.int32)
        taken = (turn.last == given) & offers.able[given]
        return Choice(jnp.where(taken, given, best.index), best.verdict, best.refusal)
