"""One candidate for everything."""

from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..._core.status import Refusal
from ..._core.suggest import unknown
from .base import AbstractPolicy, Choice, Offers, Turn, verdict_of


class FixedCandidate(AbstractPolicy):
    """The candidate of a given name, or none if it cannot take the system; the others are only predicted.

    Attributes:
        name: of a candidate, e.g. `LU` (`Hybrid.names` lists them).
    """

    name: str = eqx.field(static=True)
    remembers: ClassVar[bool] = False

    def contenders(
        self,
        names: Sequence[str],
        least: np.ndarray,
        most: np.ndarray,
        quantum: Sequence[bool] = (),
        share: float = 1.0,
    ) -> tuple[int, ...]:
        if self.name not in names:
            raise ValueError(unknown("candidate", self.name, names))
        return (list(names).index(self.name),)

    def choose(self, offers: Offers, turn: Turn) -> Choice:
        if self.name not in offers.names:
            raise ValueError(unknown("candidate", self.name, offers.names))
        index = offers.names.index(self.name)
        passed_over = jnp.full(len(offers.names), Refusal.NOT_NAMED, jnp.int32).at[index].set(Refusal.NONE)
        return Choice(jnp.int32(index), verdict_of(offers.able[index]), passed_over)
