"""Numbers that the report computes from the records; no drawing, no HTML."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .records import Block, GateTime, Run, Step

Item = TypeVar("Item")
Word = TypeVar("Word", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range of some numbers."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class BreakEven:
    """The break-even gate time of one quantum candidate on one block, over the steps.

    `gate_time_s` is None where the candidate never has one: it loses at every gate time.
    """

    block: int
    candidate: str
    gate_time_s: Spread | None
    systems: int
    never: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A solver that an assumption set chose for some system."""

    name: str
    machine: str


def spread(values: Iterable[float | None]) -> Spread | None:
    """Median and range of the numbers among `values`; None if there is none."""
    numbers = [value for value in values if value is not None]
    return Spread(statistics.median(numbers), min(numbers), max(numbers)) if numbers else None


def total(values: Iterable[float | None]) -> float | None:
    """The sum; None if any term is unknown, because the sum then is."""
    numbers = list(values)
    return None if None in numbers else math.fsum(number for number in numbers if number is not None)


def by_block(run: Run) -> dict[int, list[Block]]:
    """The systems of every block, in the order of the files; blocks in the order of their index."""
    groups: dict[int, list[Block]] = {}
    for block in run.blocks:
        groups.setdefault(block.block, []).append(block)
    return dict(sorted(groups.items()))


def acting_set(run: Run) -> str | None:
    """The assumption set whose choices were carried out; None when no system was written."""
    if run.summary is not None:
        return run.summary.acting
    return run.blocks[-1].acting if run.blocks else None


def assumption_sets(run: Run) -> list[str]:
    """All assumption sets of the run, the acting one first, then from the fewest costs to the most."""
    names = {name for step in run.steps for name in step.predicted_seconds}
    names |= {name for block in run.blocks for name in block.assumptions}
    acting = acting_set(run)
    known = [name for name in ("paper", "logical", "end_to_end") if name in names]
    return sorted(known + sorted(names - set(known)), key=lambda name: name != acting)


def choices(run: Run) -> list[Choice]:
    """Every choice of every assumption set, classical ones first: one order for all figures."""
    found = {Choice(entry.choice, entry.machine) for block in run.blocks for entry in block.assumptions.values()}
    return sorted(found, key=lambda choice: (choice.machine == "quantum", choice.name))


def quantum_share(run: Run, assumption_set: str, block: int | None = None) -> float | None:
    """Fraction of the systems (of one block, or of all) that the set gives to a quantum solver."""
    machines = [
        entry.assumptions[assumption_set].machine
        for entry in run.blocks
        if assumption_set in entry.assumptions and block in (None, entry.block)
    ]
    return machines.count("quantum") / len(machines) if machines else None


def predicted_total(run: Run, assumption_set: str) -> float | None:
    """Predicted seconds of all steps under one assumption set."""
    totals = [step.predicted_seconds[assumption_set]["total"] for step in run.steps if _has(step, assumption_set)]
    return total(totals) if totals else None


def predicted_stages(run: Run, assumption_set: str) -> dict[str, float | None]:
    """Predicted seconds per stage, summed over the steps."""
    rows = [step.predicted_seconds[assumption_set] for step in run.steps if _has(step, assumption_set)]
    return {stage: total(row[stage] for row in rows) for stage in (rows[0] if rows else {})}


def _has(step: Step, assumption_set: str) -> bool:
    return assumption_set in step.predicted_seconds


def break_even(run: Run, assumption_set: str) -> list[BreakEven]:
    """Break-even gate time per block and quantum candidate, blocks in order, most favourable candidate first."""
    rows: list[BreakEven] = []
    for index, blocks in by_block(run).items():
        values: dict[str, list[float | None]] = {}
        for block in blocks:
            if assumption_set in block.assumptions:
                for candidate, gate_time_s in block.assumptions[assumption_set].break_even_gate_time_s.items():
                    values.setdefault(candidate, []).append(gate_time_s)
        found = []
        for candidate, times in values.items():
            positive = [time for time in times if time is not None and time > 0]
            found.append(BreakEven(index, candidate, spread(positive), len(times), len(times) - len(positive)))
        rows += sorted(found, key=lambda row: (-(row.gate_time_s.median if row.gate_time_s else 0.0), row.candidate))
    return rows


def gate_time_sweep(run: Run, assumption_set: str) -> list[GateTime]:
    """Predicted total and quantum share at every reported gate time, each system going to its fastest candidate.

    Computed from `blocks.jsonl` for the sets that `summary.json` has no sweep of. A system without any candidate that
    has finite predicted seconds makes the total of that gate time unknown (None).
    """
    steps = {step.step for step in run.steps if _has(step, assumption_set)}
    entries = [
        block.assumptions[assumption_set]
        for block in run.blocks
        if block.step in steps and assumption_set in block.assumptions
    ]
    stages = predicted_stages(run, assumption_set)
    if not entries or not stages:
        return []
    whole, classical, quantum = stages["total"], stages["solve_classical"], stages["solve_quantum"]
    around = None if whole is None or classical is None or quantum is None else whole - classical - quantum
    totals: dict[float, list[float]] = {}
    wins: Counter[float] = Counter()
    for entry in entries:
        quantum_seconds = entry.predicted_quantum_seconds_by_gate_time
        on_quantum = set(quantum_seconds) | set(entry.break_even_gate_time_s)
        slow = _least(seconds for name, seconds in entry.predicted_seconds.items() if name not in on_quantum)
        fastest: dict[float, float] = {}
        for time, seconds in (row for rows in quantum_seconds.values() for row in rows):
            fastest[time] = min(fastest.get(time, math.inf), math.inf if seconds is None else seconds)
        for time, seconds in fastest.items():
            totals.setdefault(time, []).append(min(slow, seconds))
            wins[time] += seconds < slow
    sweep = []
    for time, taken in sorted(totals.items()):
        known = around is not None and len(taken) == len(entries) and all(map(math.isfinite, taken))
        seconds = around + math.fsum(taken) if around is not None and known else None
        sweep.append(GateTime(time, wins[time] / len(entries), seconds))
    return sweep


def _least(values: Iterable[float | None]) -> float:
    return min((value for value in values if value is not None), default=math.inf)


def refusals(run: Run, assumption_set: str) -> list[tuple[str, str, int]]:
    """(candidate, reason, number of systems) of what the set refused, most frequent first."""
    counts = Counter(
        (candidate, reason)
        for block in run.blocks
        if assumption_set in block.assumptions
        for candidate, reason in block.assumptions[assumption_set].refused.items()
    )
    return [(candidate, reason, count) for (candidate, reason), count in sorted(counts.items(), key=_most_first)]


def _most_first(item: tuple[tuple[str, str], int]) -> tuple[int, tuple[str, str]]:
    return -item[1], item[0]


def thin(points: Sequence[tuple[float, float]], limit: int) -> list[tuple[float, float]]:
    """At most about `limit` of the points of a line; each run of points keeps its least and its greatest value.

    The first and the last point stay. NaN marks a gap in the line; a run that is all gap stays one.
    """
    if len(points) <= limit:
        return list(points)
    kept = [points[0]]
    for chunk in _chunks(points[1:-1], max(1, limit // 2 - 1)):
        finite = [index for index, (_, y) in enumerate(chunk) if not math.isnan(y)]
        if not finite:
            kept.append(chunk[0])
            continue
        low = min(finite, key=lambda index: chunk[index][1])
        high = max(finite, key=lambda index: chunk[index][1])
        kept += [chunk[index] for index in sorted({low, high})]
    return [*kept, points[-1]]


def columns(items: Sequence[Item], limit: int) -> list[Sequence[Item]]:
    """`items` cut into at most `limit` consecutive groups of nearly equal size."""
    return _chunks(items, min(limit, len(items))) if items else []


def _chunks(items: Sequence[Item], count: int) -> list[Sequence[Item]]:
    edges = [round(index * len(items) / count) for index in range(count + 1)]
    return [items[start:end] for start, end in itertools.pairwise(edges) if end > start]


def most_common(values: Iterable[Word]) -> Word:
    """The most frequent value; the first seen wins a tie."""
    return Counter(values).most_common(1)[0][0]
