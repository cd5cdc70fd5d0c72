"""Conversion of logical counts to physical qubits and seconds, by the published formulas.

Pure functions of arrays, in numpy or JAX. The model is that of Beverland et al., arXiv 2211.07629, as `qdk` 1.33.1 has
it; with the layout `Sequential` both agree (tests/hardware/test_overhead_qdk.py has how closely).
"""

import enum
from types import ModuleType
from typing import NamedTuple

import equinox as eqx
import numpy as np

from .._core.arrays import Number, NumberArray, floating, quiet
from .distillation import LEAST_LOG_ERROR, MAX_DISTANCE, factory_table
from .layouts import AbstractLayout, Demand, Sequential
from .quantum_profile import QuantumProfile


class OverheadStatus(enum.IntEnum):
    """Validity of an estimate, with the reason if it does not hold."""

    OK = 0
    BAD_INPUT = 1
    TOO_LONG = 2
    TOO_MANY_T_GATES = 3

    @property
    def reason(self) -> str:
        """Reason in words."""
        return _REASONS[self]


_REASONS = {
    OverheadStatus.OK: "",
    OverheadStatus.BAD_INPUT: "the counts are not finite numbers, at least one qubit and at least 0 gates, or the "
    "failure probability is not in (0, 1)",
    OverheadStatus.TOO_LONG: f"the run is so long that its qubits would need a code distance above {MAX_DISTANCE}: "
    "outside the range of the error formula",
    OverheadStatus.TOO_MANY_T_GATES: "no distillation in four rounds reaches the error that each T state may have: "
    f"below 1e{LEAST_LOG_ERROR / np.log(10):.0f}, or out of reach of this machine's T gates",
}


class PhysicalCost(eqx.Module):
    """Physical resources of one run. Arrays of one shape; infinite where `status` is not 0.

    Attributes:
        qubits: physical qubits, factories included.
        seconds: of one run.
        code_distance: of the algorithm's logical qubits.
        logical_qubits: tiles laid out.
        logical_cycles: of `logical_cycle_s` seconds each.
        logical_cycle_s: seconds of `code_distance` rounds of syndrome extraction.
        factories: T factories that work at once.
        factory_qubits: physical qubits in them.
        status: an `OverheadStatus`.
    """

    qubits: NumberArray
    seconds: NumberArray
    code_distance: NumberArray
    logical_qubits: NumberArray
    logical_cycles: NumberArray
    logical_cycle_s: NumberArray
    factories: NumberArray
    factory_qubits: NumberArray
    status: NumberArray

    @property
    def valid(self) -> NumberArray:
        """Whether the estimate holds."""
        return self.status == OverheadStatus.OK

    @property
    def reason(self) -> str:
        """Reason why a single estimate does not hold, in words; empty if it holds.

        Raises:
            TypeError: for an array of estimates.
        """
        return OverheadStatus(int(self.status)).reason


@quiet
def physical_cost(
    profile: QuantumProfile,
    *,
    qubits: Number,
    t_count: Number,
    t_depth: Number | None = None,
    cycles: Number | None = None,
    failure_probability: Number = 1e-3,
    t_share: Number = 0.5,
    layout: AbstractLayout = Sequential(),
    time_scale: Number = 1.0,
) -> PhysicalCost:
    """Physical qubits and seconds of one run of an algorithm.

    Args:
        profile: the machine.
        qubits: logical qubits of the algorithm, at least 1.
        t_count: T gates, those that rotations were synthesised from included.
        t_depth: layers of T gates and measurements, each of which waits for the one before, at most `t_count` of T
            gates; None: no two T gates at once. The layout `Sequential` does not look at it.
        cycles: T gates, rotations (a layer of them counts as often as one has T gates) and measurements, done one after
            the other; None: `t_count`. The layout `ReactionLimited` does not look at it.
        failure_probability: that the run may fail with, in (0, 1). Errors of rotations are the caller's.
        t_share: of it, for T states; the rest is for logical qubits. `qdk` takes half where there are no rotations.
        layout: tiles and pace.
        time_scale: all physical operations take so many times their time, the reaction time apart; a sweep of gate
            times over one profile, for hypothetical machines.

    Returns:
        The cost, in the common shape of the arguments.
    """
    t_depth, cycles = t_count if t_depth is None else t_depth, t_count if cycles is None else cycles
    xp, *numbers = floating(qubits, t_count, t_depth, cycles, failure_probability, t_share, time_scale)
    sane, demand, log_failure, share, scale = _sane(xp, *xp.broadcast_arrays(*numbers))
    has_t = demand.t_count > 0
    syndrome_s = profile.syndrome_time_s * scale
    syndromes_per_reaction = xp.maximum(profile.reaction_time_s / syndrome_s, 1)
    log_volume = layout.log_volume(xp, demand, syndromes_per_reaction)
    log_logical = log_failure + xp.where(has_t, xp.log1p(-share), 0.0) - log_volume
    log_t_error = xp.where(has_t, log_failure + xp.log(share) - xp.log(xp.maximum(demand.t_count, 1)), 0.0)
    chosen = _code_and_factory(xp, profile, log_logical, log_t_error, scale)
    distance, patch, cycle_s, factory = chosen.distance, chosen.patch, chosen.cycle_s, chosen.factory
    cycles, seconds, factories = _paced(xp, demand, layout.cycles(xp, demand, syndromes_per_reaction, distance), chosen)
    tiles = layout.tiles(xp, demand, syndromes_per_reaction, distance)
    status = xp.where(sane, _status(xp, has_t, chosen), int(OverheadStatus.BAD_INPUT))

    def masked(value: Number) -> NumberArray:
        return xp.where(status == 0, value, xp.inf)

    return PhysicalCost(
        qubits=masked(tiles * patch + factories * factory),
        seconds=masked(seconds),
        code_distance=masked(distance),
        logical_qubits=masked(tiles),
        logical_cycles=masked(cycles),
        logical_cycle_s=masked(cycle_s),
        factories=masked(factories),
        factory_qubits=masked(factories * factory),
        status=status,
    )


def _sane(
    xp: ModuleType,
    qubits: NumberArray,
    t_count: NumberArray,
    t_depth: NumberArray,
    cycles: NumberArray,
    failure: NumberArray,
    t_share: NumberArray,
    scale: NumberArray,
) -> tuple[NumberArray, Demand, NumberArray, NumberArray, NumberArray]:
    """Return whether the numbers describe a run, and demand, log failure probability, T share and time scale.

    What is not sane is computed as something that is, so that no NaN reaches a gradient; the caller masks it.
    """
    sane = (failure > 0) & (failure < 1) & (t_share > 0) & (t_share < 1)
    sane &= (scale > 0) & xp.isfinite(scale) & (qubits >= 1)
    arrays = qubits, t_count, t_depth, cycles
    for array in arrays:
        sane &= xp.isfinite(array) & (array >= 0)
    demand = Demand(*(xp.where(sane, array, 1.0) for array in arrays))
    log_failure = xp.log(xp.where(sane, failure, 0.5))
    return sane, demand, log_failure, xp.where(sane, t_share, 0.5), xp.where(sane, scale, 1.0)


class _Chosen(NamedTuple):
    """The code distance, the patch of a logical qubit at it, and the factory of T states.

    Attributes:
        distance: of the code.
        patch: physical qubits of a logical one.
        cycle_s: seconds of a logical cycle.
        factory: physical qubits of one factory.
        run_s: seconds of one run of it.
        too_long: whether logical qubits ask for a distance that is not considered.
        too_many: whether T states do.
    """

    distance: NumberArray
    patch: NumberArray
    cycle_s: NumberArray
    factory: NumberArray
    run_s: NumberArray
    too_long: NumberArray
    too_many: NumberArray


def _code_and_factory(
    xp: ModuleType, profile: QuantumProfile, log_logical: NumberArray, log_t_error: NumberArray, scale: NumberArray
) -> _Chosen:
    distance = _distance(xp, profile, log_logical)
    too_long = distance > MAX_DISTANCE
    table = factory_table(profile)
    distils = log_t_error <= np.log(profile.t_gate_error_rate)
    for_factory = xp.where(distils, table.least_distance(xp, log_t_error), 1)
    too_many = for_factory > MAX_DISTANCE
    distance = xp.clip(xp.maximum(distance, for_factory), 1, MAX_DISTANCE)
    cycle_s = profile.syndrome_time_s * scale * distance
    patch = profile.error_correction.patch_qubits(distance)
    factory, run_s = table.lookup(xp, distance, log_t_error)
    # A T gate that is good enough as it is only has to be encoded, in a patch and a cycle.
    factory, run_s = xp.where(distils, factory, patch), xp.where(distils, run_s * scale, cycle_s)
    return _Chosen(distance, patch, cycle_s, factory, run_s, too_long, too_many)


def _paced(
    xp: ModuleType, demand: Demand, cycles: NumberArray, chosen: _Chosen
) -> tuple[NumberArray, NumberArray, NumberArray]:
    """Logical cycles, seconds and factories of a run that the layout gives `cycles`."""
    has_t = demand.t_count > 0
    # A run that is over before the first T state is there waits for it.
    rounding = 8 * xp.finfo(cycles.dtype).eps
    cycles = xp.where(has_t, xp.maximum(cycles, xp.ceil(chosen.run_s / chosen.cycle_s * (1 - rounding))), cycles)
    seconds = cycles * chosen.cycle_s
    runs = xp.maximum(xp.floor(seconds / chosen.run_s * (1 + rounding)), 1)
    return cycles, seconds, xp.where(has_t, xp.ceil(demand.t_count / runs), 0.0)


def _status(xp: ModuleType, has_t: NumberArray, chosen: _Chosen) -> NumberArray:
    status = xp.where(chosen.too_long, int(OverheadStatus.TOO_LONG), int(OverheadStatus.OK))
    return xp.where(has_t & chosen.too_many, int(OverheadStatus.TOO_MANY_T_GATES), status)


def _distance(xp: ModuleType, profile: QuantumProfile, log_logical: NumberArray) -> NumberArray:
    """The smallest odd distance whose logical error per cycle is at most `exp(log_logical)`."""
    code = profile.error_correction
    decades = np.log(code.threshold / profile.physical_error_rate)
    least = xp.ceil(2 * (np.log(code.prefactor) - log_logical) / decades - 1)
    return xp.maximum(2 * xp.floor(least / 2) + 1, 1)


def t_gates_per_rotation(rotations: Number, failure_probability: Number) -> NumberArray:
    """Return the mean number of T gates to synthesise one of `rotations` arbitrary rotations.

    `ceil(0.53 log2(R / failure) + 4.86)` (Kliuchnikov et al., arXiv 2203.10064, as `qdk` 1.33.1 has it).

    Args:
        rotations: how many rotations there are; where 0, no T gates.
        failure_probability: that all of them together may contribute.
    """
    xp, rotations, failure_probability = floating(rotations, failure_probability)
    count = xp.ceil(0.53 * (xp.log2(xp.maximum(rotations, 1)) - xp.log2(failure_probability)) + 4.86)
    return xp.where(rotations > 0, count, 0.0)
