"""The rule of the paper's third version."""

import math
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from ..._core.status import Refusal
from .base import AbstractPolicy, Choice, Offers, Turn, fastest_of


class KappaThreshold(AbstractPolicy):
    """Classical solvers for condition numbers above a threshold, the fastest candidate for the others.

    The rule of arXiv 2405.00252v3. A condition number that is not known counts as above.

    Attributes:
        threshold: finite, at least 1. 1e4 is the paper's.
    """

    threshold: float = eqx.field(static=True, default=1e4)
    remembers: ClassVar[bool] = False
    takes_fastest: ClassVar[bool] = True

    def __check_init__(self):
        if not 1 <= self.threshold < math.inf:
            raise ValueError(
                f"threshold is {self.threshold}: a condition number is at least 1, so give a finite number from 1 on; "
                "Fastest() has no threshold, and without quantum candidates everything is classical"
            )

    def choose(self, offers: Offers, turn: Turn) -> Choice:
        # Not `>`, which is false of NaN.
        above = ~(offers.log_condition_number <= math.log(self.threshold))
        passed_over = jnp.where(jnp.asarray(offers.quantum) & above, Refusal.ABOVE_THRESHOLD, Refusal.NONE)
        return fastest_of(offers, passed_over.astype(jnp.int32))
