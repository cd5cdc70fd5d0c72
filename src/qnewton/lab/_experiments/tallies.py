"""What a run's totals need of its steps and systems, so that their lines need not be kept."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from msgspec.structs import replace

from .._runfile import StepLine, SystemLine


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
        """Of all steps."""
        return self._measured + (0.0 if self.newest is None else self.newest.measured_seconds)

    @property
    def measured_evaluation_seconds(self) -> float:
        """Of all evaluations."""
        return self._evaluating + (0.0 if self.newest is None else self.newest.measured_evaluation_seconds)

    @property
    def statuses(self) -> dict[str, int]:
        """How often each status came."""
        return dict(self._statuses if self.newest is None else self._statuses + Counter(self.newest.statuses))

    def predicted_seconds(self, assumed: str) -> float:
        """Of all steps, under an assumption set; NaN if those of one are not finite."""
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
    """Counts over the systems of a run, whose lines are written and not kept.

    Attributes:
        newest: lines of the newest step.
        execution: of the first quantum solve; None before there is one.
        solved_by: how many each solver solved.
    """

    def __init__(self, acting: str):
        """Start before the first system.

        Args:
            acting: assumption set.
        """
        self._acting = acting
        self._count = self._quantum = 0
        self.newest: list[SystemLine] = []
        self.execution: str | None = None
        self.solved_by: Counter[str] = Counter()

    def add(self, lines: Sequence[SystemLine]) -> None:
        """Take up the lines of a step."""
        self.newest = list(lines)
        for line in lines:
            entry = line.assumptions[self._acting]
            self._count += 1
            # Where no candidate could take the system, the choice names the first one and nothing was solved.
            self._quantum += entry.machine == "quantum" and not entry.nobody
            self.execution = self.execution or line.execution
            if line.status == "ok":
                self.solved_by[line.solver] += 1

    @property
    def quantum_share(self) -> float:
        """Share of the systems that go to a quantum solver."""
        return self._quantum / self._count if self._count else 0.0


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


def by_step(lines: Iterable[SystemLine]) -> Iterable[list[SystemLine]]:
    """The lines of each step, which follow each other."""
    return (list(own) for _, own in groupby(lines, lambda line: line.step))


def known(value: float | None) -> float:
    """Return a number of a line, in which None may stand for a number that is not finite."""
    return float("nan") if value is None else value
