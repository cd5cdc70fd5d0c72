"""Numbers that the report derives from the records; no drawing, no HTML."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..._core.status import Refusal
from .._runfile import STAGES, Run, StepLine, SystemLine

_TERMS = 50_000
"""Terms that are kept until they are summed."""
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
    found = Sum()
    for value in values:
        found.add(value)
    return found.value


class Sum:
    """A sum of any number of terms in the same memory, rounded once in 50,000 terms."""

    def __init__(self):
        """Start with no term."""
        self._terms: list[float] = []
        self._known, self.count = True, 0

    def add(self, term: float | None) -> None:
        """Add a term; an unknown one makes the sum unknown."""
        self.count += 1
        if term is None:
            self._known = False
            return
        self._terms.append(term)
        if len(self._terms) > _TERMS:
            self._terms = [math.fsum(self._terms)]

    @property
    def value(self) -> float | None:
        """The sum; None if a term is unknown."""
        return math.fsum(self._terms) if self._known else None


def by_block(run: Run) -> dict[int, list[SystemLine]]:
    """The systems of every block, in the order of the files; blocks in the order of their index."""
    groups: dict[int, list[SystemLine]] = {}
    for block in run.blocks:
        groups.setdefault(block.block, []).append(block)
    return dict(sorted(groups.items()))


def acting_set(run: Run) -> str | None:
    """Return the assumption set whose choices were carried out; None if no system was written."""
    if run.summary is not None and run.summary.acting is not None:
        return run.summary.acting
    return run.blocks[-1].acting if run.blocks else None


def held(run: Run) -> dict[int, int]:
    """Number of a step to that of the steps that its lines hold for, where it is not one."""
    spans = zip(run.written.firsts, run.written.untils, strict=True)
    return {first: until - first for first, until in spans if until - first != 1}


def assumption_sets(run: Run) -> list[str]:
    """All assumption sets of the run, the acting one first, then from the fewest costs to the most."""
    names = {name for step in run.steps for name in step.predicted_seconds}
    names |= {name for block in run.blocks for name in block.assumptions}
    acting = acting_set(run)
    known = [name for name in ("paper", "paper-best", "paper-sparse", "logical", "end_to_end") if name in names]
    return sorted(known + sorted(names - set(known)), key=lambda name: name != acting)


def choices(run: Run) -> list[Choice]:
    """Every choice of every assumption set, classical ones first: one order for all figures."""
    entries = [entry for block in run.blocks for entry in block.assumptions.values()]
    found = {
        Choice(entry.choice, entry.machine)
        for entry in entries
        if entry.choice is not None and entry.machine is not None
    }
    return sorted(found, key=lambda choice: (choice.machine == "quantum", choice.name))


def quantum_share(run: Run, assumption_set: str, block: int | None = None) -> float | None:
    """Return the share of the systems (of one block, or of all) that the set gives to a quantum solver."""
    steps, to_quantum, systems = held(run), 0, 0
    for line in run.blocks:
        if assumption_set in line.assumptions and block in (None, line.block):
            own = line.count * steps.get(line.step, 1)
            systems += own
            to_quantum += own * (line.assumptions[assumption_set].machine == "quantum")
    return to_quantum / systems if systems else None


def predicted_total(run: Run, assumption_set: str) -> float | None:
    """Predicted seconds of all steps under one assumption set."""
    return predicted_stages(run, assumption_set).get("total")


def predicted_stages(run: Run, assumption_set: str) -> dict[str, float | None]:
    """Predicted seconds per stage, summed over the steps."""
    sums: dict[str, Sum] = {}
    for step in run.all_steps:
        if _has(step, assumption_set):
            for stage in (*STAGES, "total"):
                sums.setdefault(stage, Sum()).add(step.predicted_seconds[assumption_set].stage(stage))
    return {stage: own.value for stage, own in sums.items()}


def _has(step: StepLine, assumption_set: str) -> bool:
    return assumption_set in step.predicted_seconds


def break_even(run: Run, assumption_set: str) -> list[BreakEven]:
    """Return the break-even gate time per block and quantum candidate, most favourable candidate first."""
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


def refusals(run: Run, assumption_set: str) -> list[tuple[str, str, int]]:
    """Return the set's refusals (candidate, reason, number of systems), most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    steps = held(run)
    for line in run.blocks:
        entry = line.assumptions.get(assumption_set)
        for one in () if entry is None else entry.refused.items():
            # Who is undercut could take it.
            if one[1] != Refusal.UNDERCUT.reason:
                counts[one] += line.count * steps.get(line.step, 1)
    return [(candidate, reason, count) for (candidate, reason), count in sorted(counts.items(), key=_most_first)]


def _most_first(item: tuple[tuple[str, str], int]) -> tuple[int, tuple[str, str]]:
    return -item[1], item[0]


def binned(points: Sequence[tuple[float, float]], limit: int) -> list[tuple[float, Spread | None]]:
    """Median and range of y in at most `limit` consecutive groups of points, each at the middle of its x.

    NaN marks a missing y; a group without any y is None.
    """
    return [
        (0.5 * (group[0][0] + group[-1][0]), spread(None if math.isnan(y) else y for _, y in group))
        for group in columns(points, limit)
    ]


def columns(items: Sequence[Item], limit: int) -> list[Sequence[Item]]:
    """`items` cut into at most `limit` consecutive groups of nearly equal size."""
    return _chunks(items, min(limit, len(items))) if items else []


def _chunks(items: Sequence[Item], count: int) -> list[Sequence[Item]]:
    edges = [round(index * len(items) / count) for index in range(count + 1)]
    return [items[start:end] for start, end in itertools.pairwise(edges) if end > start]


def most_common(values: Iterable[Word]) -> Word:
    """Return the most frequent value, on a tie the first one seen."""
    return Counter(values).most_common(1)[0][0]
