"""Conversion of logical counts to physical qubits and seconds, by the published formulas.

Pure functions of arrays, in numpy or JAX. A profile declares the model: `beverland` is that of Beverland et al., arXiv
2211.07629, as `qdk.estimator` 1.33.1 has it, `qre` that of `qdk.qre`, version 3 of the same estimator. With the layout
`Sequential` they agree (tests/hardware/test_overhead_qdk.py and test_overhead_qre.py have how closely).
"""

import enum
from types import ModuleType
from typing import NamedTuple

import equinox as eqx
import numpy as np

from .._core.arrays import Number, NumberArray, floating, quiet
from .distillation import MAX_DISTANCE, factory_table
from .frontier import factory_frontier
from .layouts import AbstractLayout, Demand, Sequential
from .quantum_profile import QuantumProfile

_LEAST_DISTANCE = 3
"""The smallest code distance of the model `qre`; 1, no code, is the one of `beverland`."""
_DISTILLED = float(np.log(1e-12))
"""Logarithm of the error that a machine's factories must reach, so that smaller ones are extrapolated."""


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
    OverheadStatus.TOO_LONG: "the run is so long that its cost lies outside the floating-point range",
    OverheadStatus.TOO_MANY_T_GATES: "no factory of this machine reaches the error that each T state may have, or "
    f"any below {np.exp(_DISTILLED):.0e}, from where on costs are extrapolated",
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
        extrapolated: whether the code distance is above 99, or a T state's error below that of all listed factories.
            The same formulas go on: distances grow like the logarithm of the error, in a factory as well.
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
    extrapolated: NumberArray

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
        t_share: of it, for T states; the rest is for logical qubits. `qdk.estimator` takes half where there are no
            rotations. The model `qre` does not look at it: T states get what the code distance leaves.
        layout: tiles and pace.
        time_scale: all physical operations take so many times their time, the reaction time apart; a sweep of gate
            times over one profile, for hypothetical machines.

    Returns:
        The cost, in the common shape of the arguments.
    """
    t_depth, cycles = t_count if t_depth is None else t_depth, t_count if cycles is None else cycles
    xp, *numbers = floating(qubits, t_count, t_depth, cycles, failure_probability, t_share, time_scale)
    sane, demand, log_failure, share, scale = _sane(xp, *xp.broadcast_arrays(*numbers))
    # Of all distances the largest number, so that the volume is an upper bound.
    most_syndromes = xp.maximum(profile.reaction_time_s / (profile.round_time_s(1) * scale), 1)
    log_volume = layout.log_volume(xp, demand, most_syndromes)
    chosen = _chosen(xp, profile, demand, log_volume, log_failure, share)
    distance, cycle_s = chosen.distance, profile.cycle_time_s(chosen.distance) * scale
    syndromes_per_reaction = xp.maximum(profile.reaction_time_s * distance / cycle_s, 1)
    cycles = layout.cycles(xp, demand, syndromes_per_reaction, distance)
    cycles, seconds, factories, factory_qubits = _paced(xp, profile, demand, cycles, cycle_s, chosen, scale)
    tiles = layout.tiles(xp, demand, syndromes_per_reaction, distance)
    qubits = tiles * profile.error_correction.patch_qubits(distance) + factory_qubits
    status = _status(xp, sane, xp.isfinite(qubits) & xp.isfinite(seconds), chosen)
    found = {
        "qubits": qubits,
        "seconds": seconds,
        "code_distance": distance,
        "logical_qubits": tiles,
        "logical_cycles": cycles,
        "logical_cycle_s": cycle_s,
        "factories": factories,
        "factory_qubits": factory_qubits,
    }
    masked = {name: xp.where(status == 0, value, xp.inf) for name, value in found.items()}
    extrapolated = (distance > MAX_DISTANCE) | (chosen.stretch > 1)
    return PhysicalCost(**masked, status=status, extrapolated=extrapolated)


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
    """The code distance and what it leaves for T states.

    Attributes:
        distance: of the code.
        log_t_error: logarithm of the error that a T state may have, no less than what a listed factory reaches.
        stretch: by which the logarithm is in truth larger. Distances grow like it, beyond the list as well: so do a
            factory's seconds, and its qubits like the square.
        too_many: whether T states ask for an error that no factory reaches.
    """

    distance: NumberArray
    log_t_error: NumberArray
    stretch: NumberArray
    too_many: NumberArray


def _chosen(
    xp: ModuleType,
    profile: QuantumProfile,
    demand: Demand,
    log_volume: NumberArray,
    log_failure: NumberArray,
    share: NumberArray,
) -> _Chosen:
    if profile.model == "qre":
        return _least_distance(xp, profile, demand, log_volume, log_failure)
    return _code_and_factory(xp, profile, demand, log_volume, log_failure, share)


def _status(xp: ModuleType, sane: NumberArray, finite: NumberArray, chosen: _Chosen) -> NumberArray:
    status = xp.where(finite, int(OverheadStatus.OK), int(OverheadStatus.TOO_LONG))
    status = xp.where(chosen.too_many, int(OverheadStatus.TOO_MANY_T_GATES), status)
    return xp.where(sane, status, int(OverheadStatus.BAD_INPUT))


def _stretched(xp: ModuleType, log_t_error: NumberArray, least: float) -> tuple[NumberArray, NumberArray, NumberArray]:
    """Return the error to look up, the stretch, and whether no factory reaches the error."""
    if least > _DISTILLED:
        return log_t_error, xp.ones_like(log_t_error), log_t_error < least
    return xp.maximum(log_t_error, least), xp.maximum(log_t_error / least, 1.0), log_t_error < -xp.inf


def _code_and_factory(
    xp: ModuleType,
    profile: QuantumProfile,
    demand: Demand,
    log_volume: NumberArray,
    log_failure: NumberArray,
    share: NumberArray,
) -> _Chosen:
    """Split the failure probability, then take the distance that logical qubits and the factory need."""
    has_t, table = demand.t_count > 0, factory_table(profile)
    log_logical = log_failure + xp.where(has_t, xp.log1p(-share), 0.0) - log_volume
    log_t_error = xp.where(has_t, log_failure + xp.log(share) - xp.log(xp.maximum(demand.t_count, 1)), 0.0)
    log_t_error, stretch, too_many = _stretched(xp, log_t_error, float(table.least_log_error[-1]))
    distils = log_t_error <= np.log(profile.t_gate_error_rate)
    for_factory = xp.where(distils, table.least_distance(xp, log_t_error), 1)
    for_factory = xp.where(stretch > 1, _odd(xp, for_factory * stretch), for_factory)
    distance = xp.maximum(_distance(xp, profile, log_logical), for_factory)
    return _Chosen(distance, log_t_error, stretch, has_t & too_many)


def _least_distance(
    xp: ModuleType, profile: QuantumProfile, demand: Demand, log_volume: NumberArray, log_failure: NumberArray
) -> _Chosen:
    """Take the least distance that leaves room for the best factory's errors; T states may use all that it leaves.

    The failure probability bounds `tiles x cycles x p_L(distance) + T states x error of a T state`.
    """
    code, least = profile.error_correction, factory_frontier(profile).least_log_error
    has_t, log_states = demand.t_count > 0, xp.log(xp.maximum(demand.t_count, 1))
    # Where factories beyond the list would be needed, they get half.
    best = xp.minimum(least, log_failure - log_states - np.log(2)) if least <= _DISTILLED else least
    eps = xp.finfo(log_volume.dtype).eps
    needed = xp.where(has_t, xp.exp(xp.minimum(log_states + best - log_failure, 0.0)), 0.0)
    room = xp.log1p(-xp.minimum(needed, 1 - eps))
    distance = xp.maximum(_distance(xp, profile, log_failure + room - log_volume), _LEAST_DISTANCE)
    decades = np.log(code.threshold / profile.physical_error_rate)
    log_logical = np.log(code.prefactor) - (distance + 1) / 2 * decades
    used = xp.exp(xp.minimum(log_volume + log_logical - log_failure, np.log1p(-float(eps))))
    left = xp.maximum(log_failure + xp.log1p(-used) - log_states, best)
    log_t_error, stretch, _ = _stretched(xp, xp.where(has_t, left, 0.0), least)
    return _Chosen(distance, log_t_error, stretch, needed >= 1)


def _paced(
    xp: ModuleType,
    profile: QuantumProfile,
    demand: Demand,
    cycles: NumberArray,
    cycle_s: NumberArray,
    chosen: _Chosen,
    scale: NumberArray,
) -> tuple[NumberArray, NumberArray, NumberArray, NumberArray]:
    """Logical cycles, seconds, factories and their qubits, of a run that the layout gives `cycles`."""
    has_t = demand.t_count > 0
    if profile.model == "qre":
        factories, factory_qubits, seconds = factory_frontier(profile).fewest_qubits(
            xp, chosen.log_t_error, demand.t_count, cycles * cycle_s, scale, chosen.stretch
        )
        return seconds / cycle_s, seconds, factories, factory_qubits
    factory, run_s = factory_table(profile).lookup(xp, chosen.distance, chosen.log_t_error)
    # A T gate that is good enough as it is only has to be encoded, in a patch and a cycle.
    distils = chosen.log_t_error <= np.log(profile.t_gate_error_rate)
    patch = profile.error_correction.patch_qubits(chosen.distance)
    factory = xp.where(distils, factory * chosen.stretch**2, patch)
    run_s = xp.where(distils, run_s * chosen.stretch * scale, cycle_s)
    # A run that is over before the first T state is there waits for it.
    rounding = 8 * xp.finfo(cycles.dtype).eps
    cycles = xp.where(has_t, xp.maximum(cycles, xp.ceil(run_s / cycle_s * (1 - rounding))), cycles)
    seconds = cycles * cycle_s
    runs = xp.maximum(xp.floor(seconds / run_s * (1 + rounding)), 1)
    factories = xp.where(has_t, xp.ceil(demand.t_count / runs), 0.0)
    return cycles, seconds, factories, factories * factory


def _distance(xp: ModuleType, profile: QuantumProfile, log_logical: NumberArray) -> NumberArray:
    """The smallest odd distance whose logical error per cycle is at most `exp(log_logical)`."""
    code = profile.error_correction
    decades = np.log(code.threshold / profile.physical_error_rate)
    return _odd(xp, xp.ceil(2 * (np.log(code.prefactor) - log_logical) / decades - 1))


def _odd(xp: ModuleType, least: NumberArray) -> NumberArray:
    """The smallest odd number that is at least 1 and a number."""
    return xp.maximum(2 * xp.floor(xp.ceil(least) / 2) + 1, 1)


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
