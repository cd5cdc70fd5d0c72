"""Effects of other gate times. All seconds here are predicted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..._pricing.fastest import fastest
from .._runfile import Ranges, Run, SetDecision
from . import derive


@dataclass(frozen=True, slots=True)
class SweepRow:
    """A run if a gate took `gate_time_s`: share of the systems on quantum, seconds of the solves and of everything."""

    gate_time_s: float
    quantum_share: float | None
    solve_seconds: float | None
    predicted_seconds: float | None


@dataclass(frozen=True, slots=True)
class Sweep:
    """All gate times under one assumption set, and its solves if every system went to the fastest classical one."""

    rows: tuple[SweepRow, ...]
    classical_solve_seconds: float
    reported: bool


def sweeps(run: Run) -> dict[str, Sweep]:
    """Return the sweep of every assumption set; share and total of the acting one come from `summary.json`."""
    found: dict[str, Sweep] = {}
    for name in derive.assumption_sets(run):
        computed = from_blocks(run, name)
        reported = run.summary.by_gate_time if run.summary is not None and name == run.summary.acting else ()
        if reported:
            # As the run's policy would have had it, which need not be the fastest.
            rows = tuple(
                SweepRow(row.gate_time_s, row.quantum_share, row.predicted_solve_seconds, row.predicted_seconds)
                for row in reported
            )
            computed = replace(computed, rows=rows, reported=True)
        if computed.rows:
            found[name] = computed
    return found


def from_blocks(run: Run, assumption_set: str) -> Sweep:
    """The sweep from `blocks.jsonl`, each system going to its fastest candidate.

    A system that no candidate can take adds nothing, as in the totals of the run: its block takes a gradient step.
    """
    steps = Ranges()
    for step in run.all_steps:
        if assumption_set in step.predicted_seconds:
            steps.add(step.step)
    taken: dict[float, derive.Sum] = {}
    wins: dict[float, int] = {}
    slowest, entries = derive.Sum(), 0
    for block in run.all_blocks:
        if block.step not in steps or assumption_set not in block.assumptions:
            continue
        entries += 1
        entry = block.assumptions[assumption_set]
        classical, quantum = _classical(entry), _quantum(entry)
        slowest.add(_finite(_least(classical)[1]))
        for time, seconds in quantum.items():
            # Classical candidates come first and win a tie, whatever their order in the run.
            index, least = _least([*classical, *seconds])
            taken.setdefault(time, derive.Sum()).add(_finite(least))
            wins[time] = wins.get(time, 0) + (index >= len(classical) and math.isfinite(least))
    around = _around_the_solves(run, assumption_set)
    rows = []
    for time, own in sorted(taken.items()):
        solves = own.value if own.count == entries else None
        whole = None if around is None or solves is None else around + solves
        rows.append(SweepRow(time, wins[time] / entries, solves, whole))
    return Sweep(tuple(rows), slowest.value or 0.0, reported=False)


def _around_the_solves(run: Run, assumption_set: str) -> float | None:
    stages = derive.predicted_stages(run, assumption_set)
    whole, classical, quantum = (stages.get(stage) for stage in ("total", "solve_classical", "solve_quantum"))
    return None if whole is None or classical is None or quantum is None else whole - classical - quantum


def _classical(entry: SetDecision) -> list[float]:
    """Seconds of the classical candidates."""
    quantum = set(entry.predicted_quantum_seconds_by_gate_time) | set(entry.break_even_gate_time_s)
    return [_known(value) for name, value in entry.predicted_seconds.items() if name not in quantum]


def _quantum(entry: SetDecision) -> dict[float, list[float]]:
    """Gate time to the seconds of the quantum candidates."""
    found: dict[float, list[float]] = {}
    for rows in entry.predicted_quantum_seconds_by_gate_time.values():
        for time, seconds in rows:
            if time > 0:
                found.setdefault(time, []).append(_known(seconds))
    return found


def _known(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds


def _least(seconds: Sequence[float]) -> tuple[int, float]:
    """Return the fastest candidate and its seconds; infinite if there is none."""
    if not seconds:
        return 0, math.inf
    costs = np.asarray(seconds)
    index, found = fastest(costs, np.ones(len(costs), bool))
    return int(index), float(costs[index]) if found else math.inf


def _finite(seconds: float) -> float:
    """Return what a solve adds to a sum: 0 if no candidate can take the system."""
    return seconds if math.isfinite(seconds) else 0.0
