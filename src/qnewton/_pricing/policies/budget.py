"""Policy of the fastest affordable candidate."""

import math
from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..._core.status import Refusal, Verdict
from ..fastest import fastest
from .base import AbstractPolicy, Choice, Offers, Turn, fastest_of, verdict_of


class Budget(AbstractPolicy):
    """The fastest candidate within a budget per step; the least expensive if none is within it.

    What a solve spends is its predicted seconds times the rate of its machine: 1 for seconds, watts for joules, a price
    per second for money. A step's budget is split among its blocks by their rows, so that blocks which keep inside
    their parts keep the step inside its budget; a single solve outside a training has all of it. Where no candidate
    does, the verdict is `OVER_BUDGET`.

    Attributes:
        limit: what a step may spend, positive.
        classical_rate: spent per second of the classical machine, at least 0.
        quantum_rate: spent per second of the quantum machine, at least 0.
    """

    limit: float = eqx.field(static=True)
    classical_rate: float = eqx.field(static=True, default=1.0)
    quantum_rate: float = eqx.field(static=True, default=1.0)
    remembers: ClassVar[bool] = False

    def __check_init__(self):
        if not 0 < self.limit < math.inf:
            raise ValueError(
                f"limit is {self.limit}: what a step may spend must be positive and finite; Fastest() has no budget"
            )
        for name in ("classical_rate", "quantum_rate"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"{name} is {getattr(self, name)}: what a second of the machine costs must be finite and at least "
                    "0 (1 for a budget in seconds, watts for one in joules, a price for one in money)"
                )

    def contenders(
        self,
        names: Sequence[str],
        least: np.ndarray,
        most: np.ndarray,
        quantum: Sequence[bool] = (),
        share: float = 1.0,
    ) -> tuple[int, ...]:
        rates = np.array([self.quantum_rate if one else self.classical_rate for one in quantum])
        limit = self.limit * share
        known, able = np.isfinite(most), np.isfinite(least)
        # Nothing times infinity is nothing: at no rate whatever takes however long is inside.
        spent_least = np.where(able, rates * np.where(able, least, 0), np.inf)
        spent_most = np.where(known | (able & (rates == 0)), rates * np.where(known, most, 0), np.inf)
        sure = spent_most <= limit
        if np.any(sure & known):
            best = int(np.argmin(np.where(sure, most, np.inf)))
            inside = (spent_least <= limit) & (least < most[best])
            return tuple(i for i in range(len(names)) if inside[i] or i == best)
        # It may be that nobody keeps inside, and then the cheapest is taken.
        cheapest = int(np.argmin(spent_most))
        might = able & ((spent_least <= limit) | (spent_least < spent_most[cheapest]))
        return tuple(i for i in range(len(names)) if might[i] or i == cheapest)

    def choose(self, offers: Offers, turn: Turn) -> Choice:
        rates = [self.quantum_rate if quantum else self.classical_rate for quantum in offers.quantum]
        spent = offers.seconds * jnp.asarray(rates, offers.seconds.dtype)
        inside = offers.able & (spent <= self.limit * turn.share)
        fits = jnp.any(inside)
        passed_over = jnp.where(fits & ~inside, Refusal.OVER_BUDGET, Refusal.NONE).astype(jnp.int32)
        quickest = fastest_of(offers, passed_over)
        cheapest, found = fastest(spent, offers.able)
        missed = jnp.where(found, jnp.int32(Verdict.OVER_BUDGET), verdict_of(found))
        return Choice(
            jnp.where(fits, quickest.index, cheapest.astype(jnp.int32)),
            jnp.where(fits, quickest.verdict, missed),
            passed_over,
        )
