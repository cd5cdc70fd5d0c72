"""T factories: chains of distillation, the error that they reach, and their cost.

The model is that of Beverland et al., arXiv 2211.07629, Appendix C: up to four rounds of 15-to-1 distillation, each of
one of two units and at a code distance no smaller than that of the round before; units are repeated until a round
delivers what the next one needs with 99 % probability over the whole factory; rounds share their qubits.

The choice depends on the machine alone, so all chains worth having are listed once, on the host, and an estimate looks
its factory up (`FactoryTable.lookup`).
"""

import functools
import itertools
from types import ModuleType
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .._core.arrays import Number, NumberArray, constant
from .factory_files import packaged_tables, table_key
from .quantum_profile import QuantumProfile

LEAST_LOG_ERROR = -45 * np.log(10)
"""Natural logarithm of the smallest error of a T state that is tabulated."""
MAX_DISTANCE = 99
"""The largest code distance considered; the published estimator stops at 50, error rates are extrapolated to either."""
_MAX_ROUNDS = 4
_FACTORY_FAILURE = 0.01
# Beverland et al., Table VI: qubits and cycles of a unit on physical qubits (first round alone), then on logical ones.
UNITS = {"15-to-1 RM prep": ((31, 24), (31, 11)), "15-to-1 space efficient": ((12, 45), (20, 13))}
_INPUTS = 15


def output_error(error, clifford):
    return 35 * error**3 + 7.1 * clifford


def unit_failure(error, clifford):
    return 15 * error + 356 * clifford


class FactoryTable(eqx.Module):
    """The factories of one machine with the least volume for some error and code distance.

    Attributes:
        first, last: `[distances]`, the rows that belong to a largest distance of 1, 3, 5, ...; within them errors fall
            and volumes grow.
        log_error: `[rows]`, natural logarithm of the error of the T state.
        qubits: `[rows]`, physical qubits.
        seconds: `[rows]`, of one run, which delivers one T state.
        least_log_error: `[distances]`, the smallest error within a largest distance, falling.
    """

    first: np.ndarray
    last: np.ndarray
    log_error: np.ndarray
    qubits: np.ndarray
    seconds: np.ndarray
    least_log_error: np.ndarray

    def lookup(self, xp: ModuleType, distance: Any, log_error: Number) -> tuple[NumberArray, NumberArray]:
        """Qubits and seconds of the factory with the least volume for a largest distance and error.

        Args:
            xp: numpy or `jax.numpy`, in which to work.
            distance: odd and at least `least_distance(log_error)`, or the answer is of too poor a factory.
            log_error: natural logarithm of the error that a T state may have.
        """
        row = xp.clip((distance.astype(int) - 1) // 2, 0, len(self.first) - 1)
        low, high = constant(xp, self.first)[row], constant(xp, self.last)[row]
        most = int(np.max(self.last - self.first)) + 1
        found = first_at_most(xp, self.log_error, low, high, most, log_error)
        return constant(xp, self.qubits)[found], constant(xp, self.seconds)[found]

    def least_distance(self, xp: ModuleType, log_error: Number) -> NumberArray:
        """Return the smallest distance at which a factory reaches the error; above `MAX_DISTANCE` if none does."""
        rows = xp.searchsorted(constant(xp, -self.least_log_error), -log_error)
        return xp.where(rows < len(self.least_log_error), 2 * rows + 1, MAX_DISTANCE + 2)


def first_at_most(
    xp: ModuleType, log_error: np.ndarray, low: NumberArray, high: NumberArray, most: int, wanted: Number
) -> NumberArray:
    """Return the first row, of those from `low` to `high`, at most `most`, whose error is small enough."""
    for _ in range(int(np.ceil(np.log2(most)))):
        middle = (low + high) // 2
        enough = constant(xp, log_error)[middle] <= wanted
        low, high = xp.where(enough | (low >= high), low, middle + 1), xp.where(enough, middle, high)
    return low


@functools.cache
def factory_table(profile: QuantumProfile) -> FactoryTable:
    """The factories of a machine: from the package's file, or computed once per profile and process."""
    packaged = packaged_tables().get(table_key(profile))
    return compute_table(profile) if packaged is None else FactoryTable(**packaged)


def compute_table(profile: QuantumProfile) -> FactoryTable:
    """Compute the factories of a machine, in some tenths of a second.

    Raises:
        ValueError: if none of them works at the machine's error rates.
    """
    error, distance, qubits, seconds = (np.concatenate(column) for column in zip(*_chains(profile), strict=True))
    check_any(profile, error)
    volume = qubits * seconds
    order = np.lexsort((distance, volume))
    first, last, rows, least = [], [], [], []
    for limit in range(1, int(distance.max()) + 1, 2):
        # By volume, keep what has a smaller error than everything cheaper.
        allowed = order[distance[order] <= limit]
        best = np.minimum.accumulate(error[allowed]) if len(allowed) else error[allowed]
        kept = allowed[np.concatenate([[True], error[allowed][1:] < best[:-1]])] if len(allowed) else allowed
        first.append(len(rows))
        rows += kept.tolist()
        last.append(max(len(rows) - 1, first[-1]))
        least.append(np.log(error[kept[-1]]) if len(kept) else np.inf)
    # A distance with which nothing can be distilled has no row of its own; `least_distance` keeps callers away from it.
    last = np.minimum(last, len(rows) - 1)
    return FactoryTable(
        first=np.minimum(first, last),
        last=last,
        log_error=np.log(error[rows]),
        qubits=qubits[rows],
        seconds=seconds[rows],
        least_log_error=np.array(least),
    )


def check_any(profile: QuantumProfile, error: np.ndarray) -> None:
    """Refuse a machine without a factory.

    Raises:
        ValueError: with its error rates.
    """
    if not len(error):
        raise ValueError(
            f"no T factory of {profile.name} ({profile.factories}) works at its t_gate_error_rate "
            f"{profile.t_gate_error_rate:g} and clifford_error_rate {profile.clifford_error_rate:g}"
        )


def _chains(profile: QuantumProfile):
    """Yield error, largest distance, qubits and seconds of every chain, per number of rounds and choice of units."""
    code = profile.error_correction
    distances = np.arange(1, MAX_DISTANCE + 1, 2)
    clifford = code.logical_error_rate(profile.physical_error_rate, distances)
    # Larger distances than the smallest error calls for only cost.
    distances = distances[: np.searchsorted(-clifford, -np.exp(LEAST_LOG_ERROR) / 7.1) + 1]
    perfect = profile.t_gate_error_rate
    for rounds in range(1, _MAX_ROUNDS + 1):
        for units in itertools.product(UNITS.values(), repeat=rounds):
            yield _chain(profile, distances, units)
        perfect = output_error(perfect, 0.0)
        if perfect < 1e-3 * np.exp(LEAST_LOG_ERROR):
            return


def _chain(profile: QuantumProfile, distances: np.ndarray, units: tuple) -> tuple[np.ndarray, ...]:
    code, rounds = profile.error_correction, len(units)
    logical = code.logical_error_rate(profile.physical_error_rate, distances)
    # A unit must be cleaner than what it distils; the first round may run on physical qubits (distance 1) instead.
    clean = logical <= 0.1 * profile.t_gate_error_rate
    clean_first = np.concatenate([[profile.clifford_error_rate <= 0.1 * profile.t_gate_error_rate], clean[1:]])
    picks = nondecreasing(len(distances), rounds)
    picks = picks[clean_first[picks[:, 0]] & np.all(clean[picks[:, 1:]], axis=1)]
    first_clifford = np.concatenate([[profile.clifford_error_rate], logical[1:]])
    cliffords = np.column_stack([first_clifford[picks[:, 0]], logical[picks[:, 1:]]])
    errors, failures = _forward(profile.t_gate_error_rate, cliffords)
    keep = np.all((errors[:, 1:] <= errors[:, :-1]), axis=1)
    keep &= np.all(failures < 0.99, axis=1)
    keep &= _every_distance_matters(profile.t_gate_error_rate, picks, first_clifford, logical, errors, failures)
    picks, errors, failures = picks[keep], errors[keep], failures[keep]
    patch, cycle_s = code.patch_qubits(distances), profile.cycle_time_s(distances)
    needed, qubits, seconds = np.ones(len(picks)), np.zeros(len(picks)), np.zeros(len(picks))
    for i in reversed(range(rounds)):
        physical, (unit_qubits, unit_cycles) = units[i]
        at = picks[:, i]
        size, time_s = unit_qubits * patch[at], unit_cycles * cycle_s[at]
        if i == 0:
            size = np.where(at == 0, physical[0], size)
            time_s = np.where(at == 0, physical[1] * profile.t_gate_time_s, time_s)
        repeats = repetitions(needed, failures[:, i], _FACTORY_FAILURE / rounds)
        qubits = np.maximum(qubits, repeats * size)
        seconds += time_s
        needed = _INPUTS * repeats
    return errors[:, -1], distances[picks[:, -1]], qubits, seconds


def nondecreasing(count: int, rounds: int) -> np.ndarray:
    grid = np.indices((count,) * rounds, dtype=np.int16).reshape(rounds, -1)
    return grid[:, np.all(grid[1:] >= grid[:-1], axis=0)].T


def _forward(error: float, cliffords: Float[np.ndarray, "chains rounds"]) -> tuple[np.ndarray, np.ndarray]:
    """Return errors before each round and after the last, and each round's failure probability per unit."""
    errors, failures = [np.full(len(cliffords), error)], []
    for clifford in cliffords.T:
        failures.append(unit_failure(errors[-1], clifford))
        errors.append(output_error(errors[-1], clifford))
    return np.column_stack(errors), np.column_stack(failures)


def _every_distance_matters(error, picks, first_clifford, logical, errors, failures) -> np.ndarray:
    """Return whether lowering any one distance changes the result; if not, the cheaper chain is listed anyway."""
    matters = np.ones(len(picks), bool)
    for i in range(picks.shape[1]):
        smaller = picks.copy()
        smaller[:, i] -= 1
        can = smaller[:, i] >= (0 if i == 0 else picks[:, i - 1])
        smaller[~can] = picks[~can]
        cliffords = np.column_stack([first_clifford[smaller[:, 0]], logical[smaller[:, 1:]]])
        cheaper_errors, cheaper_failures = _forward(error, cliffords)
        same = (cheaper_errors[:, -1] <= 1.001 * errors[:, -1]) & np.all(cheaper_failures <= 1.01 * failures, axis=1)
        matters &= ~(can & same)
    return matters


def repetitions(needed: np.ndarray, failure: np.ndarray, allowed: float) -> np.ndarray:
    """Return the units to run at once so that `needed` of them succeed, except with probability `allowed`."""
    from scipy.special import bdtr

    low, high = needed - 1, needed.copy()

    def short(rows: np.ndarray, units: np.ndarray) -> np.ndarray:
        return bdtr(needed[rows] - 1, units.astype(int), 1 - failure[rows]) >= allowed

    # Most rows are done at once: only those that are not are looked at again.
    rows = np.flatnonzero(short(np.arange(len(needed)), high))
    while len(rows):
        low[rows], high[rows] = high[rows], 2 * high[rows]
        rows = rows[short(rows, high[rows])]
    rows = np.flatnonzero(high - low > 1)
    while len(rows):
        middle = np.floor((low[rows] + high[rows]) / 2)
        few = short(rows, middle)
        low[rows], high[rows] = np.where(few, middle, low[rows]), np.where(few, high[rows], middle)
        rows = rows[high[rows] - low[rows] > 1]
    return high
