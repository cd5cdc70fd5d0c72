"""T factories of `qdk.qre`: 15-to-1 in rounds, Litinski's, cultivation, and which of them an estimate takes.

A factory is an error, physical qubits and the seconds in which it makes one T state. It may be of any code distance,
whatever that of the algorithm's qubits. How many work at once depends on the run, so for each error several factories
are kept (`FactoryFrontier`). All of that depends on the machine alone: it is listed once, on the host.
"""

import bisect
import functools
import json
from types import ModuleType

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .._core.arrays import NumberArray, constant
from .distillation import (
    LEAST_LOG_ERROR,
    MAX_DISTANCE,
    UNITS,
    check_any,
    first_at_most,
    nondecreasing,
    output_error,
    repetitions,
    unit_failure,
)
from .factory_files import MAGIC_STATES, packaged_tables, table_key
from .quantum_profile import QuantumProfile

_MOST_ROUNDS = 3
_FACTORY_FAILURE = 0.01
_FEWEST, _MOST, _STEP = 0.01, 1000.0, 0.005
"""T states while the slowest or the fastest factory makes one: the rates tried, and the step of their logarithm."""


class FactoryFrontier(eqx.Module):
    """Table of the few factories, for each error that T states may have, of which one needs the fewest qubits.

    Attributes:
        log_error: `[rows]`, natural logarithm of the error, falling; the factories of a row reach it.
        picks: `[kept, rows]`, indices of the row's factories; the first is the fastest.
        qubits: `[factories]`, physical qubits.
        seconds: `[factories]`, of one run, which delivers one T state.
    """

    log_error: np.ndarray
    picks: np.ndarray
    qubits: np.ndarray
    seconds: np.ndarray

    @property
    def least_log_error(self) -> float:
        """Logarithm of the smallest error that a factory reaches."""
        return float(self.log_error[-1])

    def fewest_qubits(
        self,
        xp: ModuleType,
        log_error: NumberArray,
        states: NumberArray,
        run_s: NumberArray,
        scale: NumberArray,
        stretch: NumberArray,
    ) -> tuple[NumberArray, NumberArray, NumberArray]:
        """Return how many factories make the states within a run, their qubits, and the seconds of the run.

        A run that is over before the first T state is there waits for it.

        Args:
            xp: numpy or `jax.numpy`, in which to work.
            log_error: natural logarithm of the error that a T state may have, no less than `least_log_error`.
            states: T states of the run.
            run_s: its seconds.
            scale: factor on a factory's seconds.
            stretch: factor on its code distances.
        """
        last = 0 * log_error.astype(int) + (len(self.log_error) - 1)
        row = first_at_most(xp, self.log_error, 0 * last, last, len(self.log_error), log_error)
        # One column after the other: where this is compiled to JavaScript, a number is looked up, not a row.
        picks = [constant(xp, column)[row] for column in self.picks]
        qubits = [constant(xp, self.qubits)[pick] for pick in picks]
        seconds = [constant(xp, self.seconds)[pick] * (scale * stretch) for pick in picks]
        run_s = xp.where(states > 0, xp.maximum(run_s, seconds[0]), run_s)
        rounding = 1 + 8 * xp.finfo(run_s.dtype).eps
        least, count = xp.full_like(run_s, xp.inf), xp.zeros_like(run_s)
        for size, time_s in zip(qubits, seconds, strict=True):
            runs = xp.floor(run_s / time_s * rounding)
            copies = xp.ceil(states / xp.maximum(runs, 1))
            total = xp.where(runs >= 1, copies * size, xp.inf)
            count, least = xp.where(total < least, copies, count), xp.minimum(total, least)
        return count, least * stretch**2, run_s


@functools.cache
def factory_frontier(profile: QuantumProfile) -> FactoryFrontier:
    """The factories of a machine: from the package's file, or computed once per profile and process."""
    packaged = packaged_tables().get(table_key(profile))
    return compute_frontier(profile) if packaged is None else FactoryFrontier(**packaged)


def compute_frontier(profile: QuantumProfile) -> FactoryFrontier:
    """Compute the factories of a machine, in about a second.

    Raises:
        ValueError: if none of them works at the machine's error rates.
    """
    kinds = {"rounds": _in_rounds, "litinski": _litinski, "cultivation": _cultivated}
    found = [kinds[name](profile) for name in profile.factories.split("+")]
    error, qubits, seconds = (np.concatenate(column) for column in zip(*found, strict=True))
    check_any(profile, error)
    best = _pareto(error, qubits, seconds)
    return _kept(error[best], qubits[best], seconds[best])


def _table(kind: str) -> Float[np.ndarray, "rows columns"]:
    return np.array(json.loads(MAGIC_STATES.read_text(encoding="utf-8"))[kind]["rows"])


def _litinski(profile: QuantumProfile) -> tuple[np.ndarray, ...]:
    """Protocols of the least error class that the machine is in; several states at once count as one for a share."""
    clifford_class, t_class, error, qubits, states, rounds = _table("litinski").T
    fits = (profile.physical_error_rate <= clifford_class) & (profile.t_gate_error_rate <= t_class)
    fits &= clifford_class == np.min(clifford_class[fits], initial=np.inf)
    fits &= t_class == np.min(t_class[fits], initial=np.inf)
    round_s = profile.one_qubit_time_s + 4 * profile.two_qubit_time_s + profile.measurement_time_s
    return error[fits], np.ceil(qubits / states)[fits], (rounds * round_s)[fits]


def _cultivated(profile: QuantumProfile) -> tuple[np.ndarray, ...]:
    """Cultivation at the least simulated error rate that is no smaller than the machine's, in rounds of four gates."""
    simulated, error, qubits, qubit_rounds = _table("cultivation").T
    fits = profile.clifford_error_rate <= simulated
    fits &= simulated == np.min(simulated[fits], initial=np.inf)
    return error[fits], qubits[fits], (qubit_rounds / qubits * 4 * profile.two_qubit_time_s)[fits]


def _in_rounds(profile: QuantumProfile) -> tuple[np.ndarray, ...]:
    """Chains of one to three rounds, on physical or logical qubits, none of a smaller distance than the one before."""
    code = profile.error_correction
    distances = np.arange(3, MAX_DISTANCE + 1, 2)
    logical = code.logical_error_rate(profile.physical_error_rate, distances)
    reach = np.searchsorted(-logical, -np.exp(LEAST_LOG_ERROR) / 7.1) + 1
    distances, logical = distances[:reach], logical[:reach]
    physical, encoded = np.array(list(UNITS.values()), float).transpose(1, 0, 2)
    patches, cycles_s = code.patch_qubits(distances), profile.cycle_time_s(distances)
    qubits = np.concatenate([physical[:, 0], np.outer(patches, encoded[:, 0]).ravel()])
    seconds = np.concatenate([physical[:, 1] * profile.two_qubit_time_s, np.outer(cycles_s, encoded[:, 1]).ravel()])
    clifford = np.repeat(np.concatenate([[profile.clifford_error_rate], logical]), len(UNITS))
    chains = [_chains(profile.t_gate_error_rate, qubits, seconds, clifford, n) for n in range(1, _MOST_ROUNDS + 1)]
    error, qubits, seconds = (np.concatenate(column) for column in zip(*chains, strict=True))
    return error, qubits, seconds


def _chains(t_error: float, qubits: np.ndarray, seconds: np.ndarray, clifford: np.ndarray, rounds: int):
    picks = nondecreasing(len(qubits), rounds)
    errors, failures = [np.full(len(picks), t_error)], []
    for i in range(rounds):
        failures.append(unit_failure(errors[-1], clifford[picks[:, i]]))
        errors.append(output_error(errors[-1], clifford[picks[:, i]]))
    works = np.all(np.stack(failures) < 0.99, axis=0)
    picks, error = picks[works], errors[-1][works]
    needed, total, time_s = np.ones(len(picks)), np.zeros(len(picks)), np.zeros(len(picks))
    for i in reversed(range(rounds)):
        units = repetitions(needed, failures[i][works], _FACTORY_FAILURE / rounds)
        total += units * qubits[picks[:, i]]
        time_s += seconds[picks[:, i]]
        needed = 15 * units
    return error, total, time_s


def _pareto(error: np.ndarray, qubits: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return the indices, by rising error, of what nothing else beats in all three."""
    kept: list[int] = []
    stairs_qubits: list[float] = []
    stairs_seconds: list[float] = []
    for i in np.lexsort((seconds, qubits, error)).tolist():
        at = bisect.bisect_right(stairs_qubits, qubits[i])
        if at and stairs_seconds[at - 1] <= seconds[i]:
            continue
        kept.append(i)
        end = at
        while end < len(stairs_seconds) and stairs_seconds[end] >= seconds[i]:
            end += 1
        stairs_qubits[at:end], stairs_seconds[at:end] = [float(qubits[i])], [float(seconds[i])]
    return np.array(kept)


def _kept(error: np.ndarray, qubits: np.ndarray, seconds: np.ndarray) -> FactoryFrontier:
    """List, for each error, the fastest factory and all that need the fewest qubits at some rate of T states.

    Of errors with the same factories only the smallest is listed. Where there are fewer, the fastest is repeated.
    """
    ends = np.log(_FEWEST / np.max(seconds)), np.log(_MOST / np.min(seconds))
    rates = np.exp(np.linspace(*ends, int(np.ceil((ends[1] - ends[0]) / _STEP))))
    least, winner = np.full(len(rates), np.inf), np.zeros(len(rates), int)
    rows: list[tuple[int, list[int]]] = []
    for i in range(len(error)):
        total = np.ceil(rates * seconds[i]) * qubits[i]
        winner, least = np.where(total < least, i, winner), np.minimum(total, least)
        picks = [int(np.argmin(seconds[: i + 1])), *np.unique(winner).tolist()]
        if not rows or picks != rows[-1][1]:
            rows.append((i, picks))
    width = max(len(picks) for _, picks in rows)
    chosen = np.array([picks + picks[:1] * (width - len(picks)) for _, picks in rows[::-1]]).T
    used, where = np.unique(chosen, return_inverse=True)
    log_error = np.log(error[[i for i, _ in rows[::-1]]])
    return FactoryFrontier(log_error, where.reshape(chosen.shape), qubits[used], seconds[used])
