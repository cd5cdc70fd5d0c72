"""Layouts of a fault-tolerant machine's logical qubits, and the rate at which each consumes T states."""

import abc
from types import ModuleType

import equinox as eqx

from .._core.arrays import Number, NumberArray


class AbstractLayout(eqx.Module):
    """Layout that assigns tiles of the surface and logical cycles to a circuit of Clifford, T and measurement gates."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The name used in tables."""

    @abc.abstractmethod
    def log_volume(self, xp: ModuleType, demand: "Demand", syndromes_per_reaction: Number) -> NumberArray:
        """Return the logarithm of tiles times logical cycles, an upper bound over all code distances."""

    @abc.abstractmethod
    def tiles(self, xp: ModuleType, demand: "Demand", syndromes_per_reaction: Number, distance: Number) -> NumberArray:
        """Logical qubits that are laid out."""

    @abc.abstractmethod
    def cycles(self, xp: ModuleType, demand: "Demand", syndromes_per_reaction: Number, distance: Number) -> NumberArray:
        """Logical cycles, of `distance` rounds of syndrome extraction each."""


class Demand(eqx.Module):
    """Resources that an algorithm requires of a fault-tolerant machine, per run.

    Attributes:
        qubits: logical qubits of the algorithm, at least 1.
        t_count: T gates, at least 0.
        t_depth: layers of T gates and measurements, each of which waits for the one before.
        cycles: T gates, rotations and measurements, where they are done one after the other.
    """

    qubits: NumberArray
    t_count: NumberArray
    t_depth: NumberArray
    cycles: NumberArray


class Sequential(AbstractLayout):
    """One T gate or measurement per logical cycle, the layout of `qdk` and of Beverland et al., arXiv 2211.07629.

    `2 Q + ceil(sqrt(8 Q)) + 1` tiles, Litinski's fast data block (arXiv 1808.02892). T depth does not enter, since
    gates become measurements of many qubits each, one after the other. A run takes at least one cycle.
    """

    @property
    def name(self) -> str:
        return "sequential"

    def log_volume(self, xp, demand, syndromes_per_reaction):
        tiles = self.tiles(xp, demand, syndromes_per_reaction, 1)
        return xp.log(tiles) + xp.log(self.cycles(xp, demand, syndromes_per_reaction, 1))

    def tiles(self, xp, demand, syndromes_per_reaction, distance):
        return 2 * demand.qubits + xp.ceil(xp.sqrt(8 * demand.qubits)) + 1

    def cycles(self, xp, demand, syndromes_per_reaction, distance):
        return xp.maximum(demand.cycles, 1)


class ReactionLimited(AbstractLayout):
    """One layer of T gates per reaction time, the fastest known layout: each measurement determines the next one.

    Time-optimal computation (Fowler, arXiv 1210.4626) in units as in Litinski, arXiv 1808.02892, section 5: a unit
    of `4 Q + 4 sqrt(Q) + 1` tiles prepares a layer in `T count / T depth + sqrt(Q) + 3` logical cycles, and so many
    units work in turn that one of them is ready after each reaction. The unit's formulas are from memory and were not
    checked against the paper's text; for its example (100 qubits, T count 1e8, T depth 1e6, distance 13, reaction as
    long as a round) they give 1,469 units and 1 s, the paper 1,500 and 1 s. A reaction is never
    shorter than a round of syndrome extraction.
    """

    @property
    def name(self) -> str:
        return "reaction-limited"

    def log_volume(self, xp, demand, syndromes_per_reaction):
        # Units are a whole number: at most one more than needed, and a cycle is at least three rounds long.
        units_per_distance = self._cycles_of_a_layer(xp, demand) / syndromes_per_reaction + 1 / 3
        return (
            xp.log(self._tiles_of_a_unit(xp, demand))
            + xp.log(units_per_distance)
            + xp.log(self._layers(xp, demand))
            + xp.log(syndromes_per_reaction)
        )

    def tiles(self, xp, demand, syndromes_per_reaction, distance):
        units = xp.ceil(self._cycles_of_a_layer(xp, demand) * distance / syndromes_per_reaction)
        return self._tiles_of_a_unit(xp, demand) * xp.maximum(units, 1)

    def cycles(self, xp, demand, syndromes_per_reaction, distance):
        return self._layers(xp, demand) * syndromes_per_reaction / distance

    def _layers(self, xp, demand):
        return xp.maximum(demand.t_depth, 1)

    def _tiles_of_a_unit(self, xp, demand):
        return xp.ceil(4 * demand.qubits + 4 * xp.sqrt(demand.qubits) + 1)

    def _cycles_of_a_layer(self, xp, demand):
        return demand.t_count / self._layers(xp, demand) + xp.sqrt(demand.qubits) + 3
