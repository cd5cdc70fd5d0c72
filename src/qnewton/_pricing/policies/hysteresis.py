"""Policy against frequent changes of candidate."""

import math
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from .base import AbstractPolicy, Choice, Offers, Turn, fastest_of, nobody_passed_over


class Hysteresis(AbstractPolicy):
    """Policy that keeps a block's last choice unless the fastest candidate is faster by a factor.

    Predictions that are close and noisy otherwise make a block change sides from step to step.

    Attributes:
        factor: at least 1; the fastest takes over where `factor` times its seconds are less than the last choice's.
            With 1 it is `Fastest`, but that the last choice wins a tie.
    """

    factor: float = eqx.field(static=True, default=1.25)
    remembers: ClassVar[bool] = True

    def __check_init__(self):
        if not 1 <= self.factor < math.inf:
            raise ValueError(f"factor is {self.factor}: it must be a finite number of at least 1, e.g. 1.25")

    def choose(self, offers: Offers, turn: Turn) -> Choice:
        best = fastest_of(offers, nobody_passed_over(offers))
        last = jnp.clip(turn.last, 0, len(offers.names) - 1).astype(jnp.int32)
        close = offers.seconds[last] <= self.factor * offers.seconds[best.index]
        stays = (turn.last == last) & offers.able[last] & close
        return Choice(jnp.where(stays, last, best.index), best.verdict, best.refusal)
