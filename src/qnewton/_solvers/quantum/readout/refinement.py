"""Iterative refinement: coarse read-outs, each of the previous residual."""

import functools
import operator

import jax

from ...._core.arrays import Number, floating, quiet, repeat
from ...._core.evidence import Evidence
from .base import AbstractReadout, ReadoutCost, demands

ROUNDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 512)
"""Numbers of rounds that are tried. The cost is flat about its least, which lies near `2 ln(1 / epsilon)` rounds for
`1 / epsilon^2` copies; for precisions down to 1e-15 the tests find it within 5 %. The same numbers for every
precision keep the cost monotone."""


class Refined(AbstractReadout):
    """Repeated read-out to precision `epsilon^(1/k)`, k times, for the k in `ROUNDS` with the fewest runs.

    Each round solves for the residual, whose solution is the error e of the solution so far, and reads it with a
    relative error xi, so that `||e||` falls to `xi ||e||` and k rounds leave `xi^k` (the triangle inequality). A
    precision then costs a logarithm where the read-out alone costs a power. One round is the read-out itself, so
    refinement is used only where it is cheaper. The failure probability is shared out evenly.

    xi is the error of all that a round does: the solver's state, the read-out and the length. So each round needs a
    length that is right in the 2-norm (`SuccessAmplitude`, not charged here); that of `LineFit` is not. The residuals
    are classical products with the exact matrix in a width that resolves epsilon, and each round loads a new
    right-hand side.

    Attributes:
        readout: of one round.
    """

    readout: AbstractReadout

    @property
    def name(self) -> str:
        return f"{self.readout.name}, refined"

    @property
    def source(self) -> str:
        return self.readout.source

    @property
    def evidence(self) -> Evidence:
        return self.readout.evidence

    @quiet
    def copies(self, n: Number, precision: Number, failure_probability: Number) -> ReadoutCost:
        xp, n, precision, failure = floating(n, precision, failure_probability)
        # A probability that is out of range may fall into it once it is shared out.
        allowed = functools.reduce(operator.and_, (holds for holds, _ in demands(n, precision, failure)))
        table = xp.asarray(ROUNDS, float)

        def better(state: tuple[int, ReadoutCost]) -> tuple[int, ReadoutCost]:
            index, best = state
            rounds = table[index] * xp.ones_like(n)
            each = self.readout.copies(n, precision ** (1 / rounds), failure / rounds)
            several = ReadoutCost(
                copies=rounds * each.copies,
                controlled_applications=rounds * each.controlled_applications,
                rounds=rounds * each.rounds,
                precision=each.precision,
                products=rounds - 1 + rounds * each.products,
                conditions=each.conditions,
                coherent=each.coherent,
            )
            cheaper = allowed & (several.applications < best.applications)
            return index + 1, jax.tree.map(lambda new, old: xp.where(cheaper, new, old), several, best)

        _, best = repeat(xp, better, (1, self.readout.copies(n, precision, failure)), len(ROUNDS) - 1)
        return best
