"""The interface of a read-out: the number of copies of the state needed for the vector."""

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING

import equinox as eqx
from jaxtyping import Bool, Float

from ...._core.arrays import NumberArray, floating
from ...._core.conditions import Condition, Demand, Number, broken, in_words, met, settle
from ...._core.evidence import Evidence

if TYPE_CHECKING:
    # What pyright takes an abstract class attribute for, which a property may fill as well.
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar


class ReadoutCost(eqx.Module):
    """Runs of the quantum linear solver in one read-out; infinite where a condition is not met.

    Attributes:
        copies: runs whose state is measured, over all rounds.
        controlled_applications: runs of the solver as a controlled unitary, over all rounds.
        rounds: read-outs that follow each other, each of another right-hand side.
        precision: relative error in the 2-norm that one round leaves, state preparation and length included.
        products: classical products with the exact matrix.
        conditions: what the formula demands, and where that is met.
        coherent: whether the solver must be one unitary together with its inverse: then nothing in it may be measured,
            and a success probability p costs `1 / sqrt(p)` by amplification and not `1 / p` by repetition.
    """

    copies: Float[NumberArray, "*shape"]
    controlled_applications: Float[NumberArray, "*shape"]
    rounds: Float[NumberArray, "*shape"]
    precision: Float[NumberArray, "*shape"]
    products: Float[NumberArray, "*shape"]
    conditions: tuple[Condition, ...]
    coherent: bool = eqx.field(static=True, default=False)

    @property
    def applications(self) -> Float[NumberArray, "*shape"]:
        """All runs of the solver."""
        return self.copies + self.controlled_applications

    @property
    def valid(self) -> Bool[NumberArray, "*shape"]:
        """Whether the formula holds."""
        return met(self.conditions)

    @property
    def validity(self) -> str:
        """All conditions in words."""
        return in_words(self.conditions)

    def reason(self, index: tuple[int, ...] = ()) -> str:
        """Return why the formula does not hold for one entry; empty if it holds. Not under jit."""
        return broken(self.conditions, index)

    @classmethod
    def once(
        cls,
        demands: Sequence[Demand],
        *,
        copies: Number,
        controlled_applications: Number,
        precision: Number,
        products: float = 0.0,
        coherent: bool = False,
    ) -> "ReadoutCost":
        """Return one round, with the numbers where the conditions are met."""
        conditions, (copies, controlled) = settle(demands, copies, controlled_applications)
        xp, precision, _ = floating(precision, copies)
        one = xp.ones_like(copies)
        return cls(
            copies=copies,
            controlled_applications=controlled,
            rounds=one,
            precision=xp.broadcast_to(precision, copies.shape),
            products=products * one,
            conditions=conditions,
            coherent=coherent,
        )


class AbstractReadout(eqx.Module):
    """Method to turn copies of a normalised real state into its vector, relative signs included.

    The vector's length and the sign common to all entries are not in the state: `readout.norm`.

    Attributes:
        name: the key under which tables hold this read-out's numbers.
        source: where the formula stands.
        evidence: how sure it is.
    """

    name: AbstractClassVar[str]
    source: AbstractClassVar[str]
    evidence: AbstractClassVar[Evidence]

    @abc.abstractmethod
    def copies(self, n: Number, precision: Number, failure_probability: Number) -> ReadoutCost:
        """Return the cost of one read-out.

        Args:
            n: amplitudes.
            precision: error of the normalised vector in the 2-norm, in (0, 1).
            failure_probability: that the error is larger, in (0, 1).
        """


def probability_demands(precision: Number, failure_probability: Number) -> list[Demand]:
    """Return the conditions of every read-out quantity."""
    return [
        ((precision > 0) & (precision < 1), "a precision in (0, 1)"),
        ((failure_probability > 0) & (failure_probability < 1), "a failure probability in (0, 1)"),
    ]


def demands(n: Number, precision: Number, failure_probability: Number) -> list[Demand]:
    """Return the conditions of every read-out of a vector."""
    return [(n >= 1, "n >= 1"), *probability_demands(precision, failure_probability)]
