"""Gate counts of a circuit: the record between the algorithms that need gates and the hardware that runs them."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float

from .arrays import Number, NumberArray, floating, quiet
from .conditions import Condition, Demand, broken, in_words, met, settle


class GateCost(eqx.Module):
    """Gates and qubits of one circuit, before error correction. Clifford gates are free.

    Arrays of one shape, from numpy or JAX, infinite where a condition is not met.

    Attributes:
        t_count: T gates. Not an integer, since the synthesis of a rotation is counted by its leading term.
        t_depth: layers of T gates, at least 1: also a circuit without any takes a logical cycle.
        qubits: logical qubits at once, ancillas included.
        conditions: what the formula demands, and where that is met.
    """

    t_count: Float[NumberArray, "*shape"]
    t_depth: Float[NumberArray, "*shape"]
    qubits: Float[NumberArray, "*shape"]
    conditions: tuple[Condition, ...]

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
    def under(cls, demands: Sequence[Demand], *, t_count: Number, t_depth: Number, qubits: Number) -> "GateCost":
        """Return the numbers where the conditions are met, with a depth of at least one layer."""
        xp, depth = floating(t_depth)
        conditions, (t_count, t_depth, qubits) = settle(demands, t_count, xp.maximum(depth, 1.0), qubits)
        return cls(t_count, t_depth, qubits, conditions)

    @quiet
    def times(self, repetitions: Number) -> "GateCost":
        """Return the circuit repeated in sequence on the same qubits.

        Args:
            repetitions: at least 0; need not be an integer, as an expected number is not.
        """
        _, repetitions, t_count, t_depth = floating(repetitions, self.t_count, self.t_depth)
        demand = repetitions >= 0, "a number of repetitions that is not negative"
        conditions, (t_count, t_depth, qubits) = settle(
            [demand], repetitions * t_count, repetitions * t_depth, self.qubits
        )
        return GateCost(t_count, t_depth, qubits, self._spread(conditions) + conditions)

    def __add__(self, other: "GateCost") -> "GateCost":
        """One circuit after the other, on the qubits of the larger."""
        xp, *_ = floating(self.t_count, other.t_count)
        conditions, (t_count, t_depth, qubits) = settle(
            [], self.t_count + other.t_count, self.t_depth + other.t_depth, xp.maximum(self.qubits, other.qubits)
        )
        return GateCost(t_count, t_depth, qubits, self._spread(conditions) + other._spread(conditions) + conditions)

    def _spread(self, over: tuple[Condition, ...]) -> tuple[Condition, ...]:
        """Return the conditions, broadcast to the shape of others."""
        xp, *_ = floating(over[0].holds, self.t_count)
        shape = np.shape(over[0].holds)
        return tuple(Condition(xp.broadcast_to(one.holds, shape), one.words) for one in self.conditions)
