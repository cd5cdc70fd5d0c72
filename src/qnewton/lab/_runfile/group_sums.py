"""The groups of every step and their totals over a training, derived from the lines by readers and the ledger."""

from collections import Counter
from collections.abc import Iterable
from math import fsum

from .group import GroupLine, GroupTotals
from .step import StepLine


def groups_by_step(steps: Iterable[StepLine]) -> tuple[tuple[GroupLine, ...], ...]:
    """Return the groups of every step, including steps whose line marks them as unchanged."""
    found: list[tuple[GroupLine, ...]] = []
    for step in steps:
        before = found[-1] if found else ()
        found.append(before if step.systems is None else step.systems)
    return tuple(found)


class GroupSums:
    """Sums over the groups of the steps, step by step."""

    def __init__(self):
        """Start before the first step."""
        self._groups: tuple[GroupLine, ...] = ()
        self._seconds: dict[str, dict[bool, list[float]]] = {}
        self._counts: dict[str, Counter[str | None]] = {}

    def add(self, step: StepLine) -> None:
        """Take up the line of the next step."""
        if step.systems is not None:
            self._groups = step.systems
        for group in self._groups:
            for name, entry in group.assumptions.items():
                own = self._seconds.setdefault(name, {False: [], True: []})
                self._counts.setdefault(name, Counter())[entry.choice] += group.count
                taken = None if entry.choice is None else entry.seconds[entry.choice]
                if taken is not None:
                    own[entry.quantum].append(taken)

    def totals(self) -> dict[str, GroupTotals]:
        """Return each assumption set's totals over the steps, the acting set first; empty if no step has groups."""
        return {
            name: GroupTotals(
                predicted_seconds=fsum(own[False]),
                modelled_seconds=fsum(own[True]),
                solved_by={choice: number for choice, number in self._counts[name].items() if choice is not None},
                open=self._counts[name][None],
            )
            for name, own in self._seconds.items()
        }


def group_totals(steps: Iterable[StepLine]) -> dict[str, GroupTotals]:
    """Return each assumption set's totals over the steps, as `GroupSums` has them."""
    sums = GroupSums()
    for step in steps:
        sums.add(step)
    return sums.totals()
