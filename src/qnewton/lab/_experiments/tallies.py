"""What a run's totals need of its steps and systems, so that their lines need not be kept."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from msgspec.structs import replace

from .._runfile import SetTotals, StepLine, SystemLine, SystemSums


class Steps:
    """Sums over the steps of a run, of which the newest alone is kept and may still be completed.

    Attributes:
        count: of the steps.
        newest: its line; None before the first.
    """

    def __init__(self):
        """Start before the first step."""
        self.count = 0
        self.newest: StepLine | None = None
        self._measured = self._evaluating = 0.0
        self._statuses: Counter[str] = Counter()
        self._predicted: dict[str, float] = {}

    def add(self, step: StepLine) -> None:
        """Take up the line of the next step."""
        self._fold()
        self.count, self.newest = self.count + 1, step

    def complete(self, values: Mapping[str, Any]) -> StepLine:
        """Add an evaluation's results to the newest step's line, and return the line."""
        assert self.newest is not None, "there is a step"
        self.newest = replace(self.newest, **values)
        return self.newest

    @property
    def measured_seconds(self) -> float:
        """Measured seconds of all steps."""
        return self._measured + (0.0 if self.newest is None else self.newest.measured_seconds)

    @property
    def measured_evaluation_seconds(self) -> float:
        """Measured seconds of all evaluations."""
        return self._evaluating + (0.0 if self.newest is None else self.newest.measured_evaluation_seconds)

    @property
    def statuses(self) -> dict[str, int]:
        """Return the count of each status."""
        return dict(self._statuses if self.newest is None else self._statuses + Counter(self.newest.statuses))

    def predicted_seconds(self, assumed: str) -> float:
        """Return the predicted seconds of all steps under an assumption set; NaN if those of one are not finite."""
        own = 0.0 if self.newest is None else known(self.newest.predicted_seconds[assumed].total)
        return self._predicted.get(assumed, 0.0) + own

    def _fold(self) -> None:
        step = self.newest
        if step is None:
            return
        self._measured += step.measured_seconds
        self._evaluating += step.measured_evaluation_seconds
        self._statuses.update(step.statuses)
        for name, seconds in step.predicted_seconds.items():
            self._predicted[name] = self._predicted.get(name, 0.0) + known(seconds.total)


class Systems:
    """Counts over the systems of a run, whose lines are written; those of one step alone are kept.

    Attributes:
        newest: lines that the newest step has of its own.
        execution: of the first quantum solve; None before there is one.
        solved_by: how many each solver solved, under the acting set.
    """

    def __init__(self):
        """Start before the first system."""
        self._count = self._quantum = 0
        self._now: list[SystemLine] = []
        self._sums = SystemSums()
        self.newest: list[SystemLine] = []
        self.execution: str | None = None
        self.solved_by: Counter[str] = Counter()

    def changed(self, lines: list[SystemLine]) -> list[SystemLine]:
        """Return the lines of a step; none if they say what those before did."""
        before = [replace(line, step=lines[0].step) for line in self._now] if lines else []
        return [] if before == lines else lines

    def add(self, lines: Sequence[SystemLine]) -> None:
        """Take up the lines that a step has of its own; without any its systems are those of the step before."""
        self.newest = list(lines)
        self._now = self.newest or self._now
        self._sums.add(self._now)
        for line in self._now:
            entry = line.assumptions[line.acting]
            self._count += line.count
            self._quantum += line.count * (entry.machine == "quantum")
            self.execution = self.execution or line.execution
            # Of a group nobody says how its solves ended.
            if line.solver is not None and line.status in ("ok", None):
                self.solved_by[line.solver] += line.count

    @property
    def quantum_share(self) -> float:
        """Share of the systems that go to a quantum solver."""
        return self._quantum / self._count if self._count else 0.0

    @property
    def totals(self) -> dict[str, SetTotals]:
        """Totals of each assumption set, the acting one first; empty if there are no systems."""
        return self._sums.totals()


class Rows:
    """Rows of equal arrays, kept as one array with room for more."""

    def __init__(self, rows: np.ndarray | None = None):
        """Start with these rows, `[count, ...]`; None: with none."""
        self._count = 0 if rows is None else len(rows)
        self._room = None if rows is None else np.asarray(rows)

    def add(self, row: np.ndarray) -> None:
        """Append one."""
        if self._room is None:
            self._room = np.empty((1, *row.shape), row.dtype)
        if self._count == len(self._room):
            self._room = np.concatenate([self._room, np.empty_like(self._room)])
        self._room[self._count] = row
        self._count += 1

    @property
    def values(self) -> np.ndarray | None:
        """All of them, `[count, ...]`; None if there are none."""
        return None if self._room is None else self._room[: self._count]


def by_step(lines: Iterable[SystemLine]) -> Iterator[list[SystemLine]]:
    """The lines of each step, which follow each other."""
    return (list(own) for _, own in groupby(lines, lambda line: line.step))


def known(value: float | None) -> float:
    """Return a number of a line, in which None may stand for a number that is not finite."""
    return float("nan") if value is None else value
