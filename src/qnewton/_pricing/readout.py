"""Read-out of everything that a step needs: direction, length and sign."""

from .._core.arrays import Number, NumberArray, floating
from .._core.conditions import Condition
from .._core.evidence import Evidence
from .._solvers.quantum.readout import AbstractNorm, AbstractReadout, ReadoutCost


class WithLength(AbstractReadout):
    """Direction and length of one solution, each with its own share of the error.

    The error of `t y` is at most that of the direction y plus that of the length t, both relative. So this is what one
    round of refinement needs (`readout.Refined`).

    Attributes:
        readout: of the direction.
        norm: of the length.
        amplitude: of the event whose probability holds the length, at least; see `Assumptions.norm`.
        norm_share: part of the error that the length may make.
    """

    readout: AbstractReadout
    norm: AbstractNorm
    amplitude: Number
    norm_share: float

    @property
    def name(self) -> str:
        return f"{self.readout.name}, {self.norm.name}"

    @property
    def source(self) -> str:
        return f"{self.readout.source}; {self.norm.source}"

    @property
    def evidence(self) -> Evidence:
        return self.readout.evidence

    def copies(self, n: Number, precision: Number, failure_probability: Number) -> ReadoutCost:
        xp, n, precision, failure = floating(n, precision, failure_probability)
        direction = self.readout.copies(n, (1 - self.norm_share) * precision, failure / 2)
        length = self.norm.copies(self.amplitude**2, self.norm_share * precision, failure / 2)
        applications = direction.copies + 0 * length.copies

        def whole(value: NumberArray) -> NumberArray:
            return xp.broadcast_to(value, applications.shape)

        return ReadoutCost(
            copies=direction.copies + length.copies,
            controlled_applications=direction.controlled_applications + length.controlled_applications,
            rounds=whole(direction.rounds),
            precision=whole(precision),
            products=direction.products + length.products,
            conditions=tuple(Condition(whole(c.holds), c.words) for c in (*direction.conditions, *length.conditions)),
            coherent=direction.coherent or length.coherent,
        )
