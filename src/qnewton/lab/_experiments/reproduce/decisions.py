"""Decisions on the systems of a saved run, on the host, for any set, gate time and policy.

A run records the numbers of each system and the predicted seconds of LU. What a quantum solve of it costs follows from
those numbers alone, by the same formulas that the run itself charges, in numpy: nothing is compiled and nothing is
trained again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...._hardware import ClassicalMachine, QuantumProfile, load_profile
from ...._pricing.assumptions import ASSUMPTION_SETS
from ...._pricing.clock import Clock
from ...._pricing.fastest import fastest
from ...._pricing.gate_times import at_gate_time, break_even_gate_time
from ...._pricing.problem import MatrixNumbers
from ...._pricing.solver import CountedSolver
from ...._solvers.quantum.queries import jennings2023v1
from ..._runfile import StepLine, SystemLine
from ..saved import SavedRun
from .options import Reproduction

SETS = ("paper", "end_to_end")
"""Side by side in every figure."""
KAPPA_LIMIT = 1e4
"""Above this condition number the paper's third version leaves a system to the classical side."""


@dataclass(frozen=True)
class Systems:
    """Systems of a run; arrays `[steps, blocks]` unless stated otherwise.

    Attributes:
        names: of the blocks.
        rows: of the blocks, `[blocks]`.
        log10_kappa: of the condition number; infinite where it is not known.
        lu_s: predicted seconds of LU.
        around_s: predicted seconds of everything around the solves but the estimation, `[steps]`.
        estimation_s: predicted seconds of finding the condition numbers, `[steps]`.
        numbers: of all systems in one row, for the formulas.
    """

    names: tuple[str, ...]
    rows: np.ndarray
    log10_kappa: np.ndarray
    lu_s: np.ndarray
    around_s: np.ndarray
    estimation_s: np.ndarray
    numbers: MatrixNumbers


@dataclass(frozen=True)
class Decided:
    """Decisions on all systems under one set at one gate time; all seconds are predicted or modelled.

    Attributes:
        set: of assumptions.
        gate_time_s: seconds.
        quantum: who goes to the quantum solver `[steps, blocks]`.
        quantum_s: what it would take there `[steps, blocks]`.
        solve_s: of all solves.
        total_s: of the whole training, what is around the solves included.
    """

    set: str
    gate_time_s: float
    quantum: np.ndarray
    quantum_s: np.ndarray
    solve_s: float
    total_s: float

    @property
    def share(self) -> float:
        """Share of the systems that the scheduler assigns to the quantum solver."""
        return float(np.mean(self.quantum))

    def record(self) -> dict[str, Any]:
        """Return the record for a file."""
        return {
            "gate_time_s": self.gate_time_s,
            "quantum_share": self.share,
            "predicted_solve_seconds": self.solve_s,
            "predicted_seconds": self.total_s,
        }


@dataclass(frozen=True)
class Priced:
    """Charges of a quantum solve of each system `[steps, blocks]` under one set.

    Attributes:
        set: of assumptions.
        seconds_s: at the options' gate time; infinite where no formula holds.
        fixed_s: the part of them that no clock scales.
        gate_time_s: the options'.
    """

    set: str
    seconds_s: np.ndarray
    fixed_s: np.ndarray
    gate_time_s: float

    def seconds(self, gate_time_s: float) -> np.ndarray:
        """Return the seconds at a gate time; infinite where no formula holds."""
        return at_gate_time(self.seconds_s, self.fixed_s, self.gate_time_s, gate_time_s)


def systems_of(saved: SavedRun, steps: Sequence[StepLine]) -> Systems:
    """The systems of a run that predicted LU.

    Args:
        saved: the run.
        steps: its lines of `steps.jsonl`.
    """
    lines = saved.steps
    acting = lines[0][0].acting

    def array(of: Any) -> np.ndarray:
        return np.asarray([[of(line) for line in step] for step in lines], float)

    def number(name: str, missing: float = np.nan) -> np.ndarray:
        return array(lambda line: missing if getattr(line, name) is None else getattr(line, name))

    def lu(line: SystemLine) -> float:
        seconds = line.assumptions[acting].predicted_seconds["LU"]
        return np.inf if seconds is None else seconds

    log_kappa = number("log_condition_number", np.inf)
    stages = [line.predicted_seconds[acting] for line in steps[: len(lines)]]
    return Systems(
        names=tuple(line.name for line in lines[0]),
        rows=np.asarray([line.n for line in lines[0]]),
        log10_kappa=log_kappa / np.log(10),
        lu_s=array(lu),
        around_s=np.asarray([stage.gradient + stage.curvature + stage.conditioning for stage in stages]),
        estimation_s=np.asarray([stage.estimation for stage in stages]),
        numbers=MatrixNumbers(
            n=number("n").ravel(),
            degree=number("degree").ravel(),
            max_entry=number("max_entry").ravel(),
            frobenius_norm=number("frobenius_norm").ravel(),
            spectral_norm=number("spectral_norm").ravel(),
            log_condition_number=log_kappa.ravel(),
            definite=False,
        ),
    )


def priced(systems: Systems, name: str, options: Reproduction) -> Priced:
    """Return the charge of a quantum solve of each system under a set."""
    charge = charged(systems.numbers, name, options)
    shape = systems.lu_s.shape
    seconds, fixed = (np.broadcast_to(part, systems.lu_s.size).reshape(shape) for part in charge)
    return Priced(name, seconds, fixed, options.gate_time_s)


def charged(numbers: MatrixNumbers, name: str, options: Reproduction) -> tuple[np.ndarray, np.ndarray]:
    """Return the modelled seconds of a quantum solve at the options' gate time, and the part that no clock scales.

    Infinite where the formula does not hold.

    Args:
        numbers: of systems, in one row.
        name: of the assumption set.
        options: precision, hardware and gate time.
    """
    clock = Clock(options.gate_time_s, quantum_profile(options))
    with np.errstate(all="ignore"):
        charge = ASSUMPTION_SETS[name].charge(CountedSolver.of(jennings2023v1), numbers, options.precision, clock)
        valid = np.asarray(charge.valid) & np.isfinite(numbers.log_condition_number)
        seconds = np.where(valid, np.asarray(charge.seconds, float), np.inf)
        fixed = np.where(valid, np.asarray(charge.fixed_seconds, float), 0.0)
    return seconds, fixed


def quantum_profile(options: Reproduction) -> QuantumProfile:
    """The quantum machine's error rates and code."""
    profile = load_profile(options.hardware)
    assert isinstance(profile, QuantumProfile), "the options name quantum profiles only"
    return profile


def decide(systems: Systems, price: Priced, gate_time_s: float, kappa_limit: float = np.inf) -> Decided:
    """Assign every system to the solver with the smaller prediction; LU on a tie.

    Args:
        systems: of a run.
        price: of the quantum solver.
        gate_time_s: of the quantum machine.
        kappa_limit: largest condition number that it may take.
    """
    quantum_s = price.seconds(gate_time_s)
    seconds = np.stack([systems.lu_s, quantum_s], axis=-1)
    allowed = np.stack([np.isfinite(systems.lu_s), systems.log10_kappa <= np.log10(kappa_limit)], axis=-1)
    index, _ = fastest(seconds, allowed)
    taken = np.take_along_axis(seconds, index[..., None], axis=-1)
    solve_s = float(np.sum(taken[np.isfinite(taken)]))
    total_s = float(np.sum(systems.around_s) + np.sum(systems.estimation_s)) + solve_s
    return Decided(price.set, gate_time_s, index == 1, quantum_s, solve_s, total_s)


def classical_record(systems: Systems) -> dict[str, float]:
    """Return the totals with LU alone: without a choice, no condition number is needed."""
    solve_s = float(np.sum(systems.lu_s[np.isfinite(systems.lu_s)]))
    return {"predicted_solve_seconds": solve_s, "predicted_seconds": float(np.sum(systems.around_s)) + solve_s}


def totals(systems: Systems, options: Reproduction) -> list[dict[str, Any]]:
    """Return predicted seconds by LU alone, of the hybrid under each set, and of the rest if all solves were free."""
    rows: list[dict[str, Any]] = [
        {"label": "all by LU", "set": None, **classical_record(systems), "quantum_share": 0.0},
    ]
    for name in SETS:
        decided = decide(systems, priced(systems, name, options), options.gate_time_s)
        rows.append({"label": f"hybrid, {name}", "set": name, **decided.record()})
    free = {"predicted_solve_seconds": 0.0, "predicted_seconds": float(np.sum(systems.around_s)), "quantum_share": 0.0}
    return [*rows, {"label": "every solve free", "set": None, **free}]


def lu_off_by(machine: ClassicalMachine) -> float:
    """Return the factor, at least 1, by which LU's prediction was off at worst at a size that it was measured at.

    Each such prediction leaves out the sample itself. 1 where nothing was measured.
    """
    samples = dict(machine.kernels)["lu"].samples
    return max((max(predicted / measured, measured / predicted) for _, measured, predicted in samples), default=1.0)


def break_even_s(systems: Systems, price: Priced, lu_factor: float = 1.0) -> np.ndarray:
    """Gate time below which the quantum solver beats LU `[steps, blocks]`; 0 where none does.

    Args:
        systems: of a run.
        price: of the quantum solver.
        lu_factor: times which the predicted seconds of LU are taken.
    """
    value = break_even_gate_time(lu_factor * systems.lu_s, price.seconds_s, price.fixed_s, price.gate_time_s)
    return np.where(np.isfinite(value), value, 0.0)
