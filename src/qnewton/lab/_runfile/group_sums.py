"""The groups of every step and their totals over a training, derived from the lines by readers and the ledger."""

from collections import Counter
from collections.abc import Iterable, Sequence
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


def group_totals(steps: Sequence[StepLine]) -> dict[str, GroupTotals]:
    """Return each assumption set's totals over the steps, the acting set first; empty if no step has groups."""
    seconds: dict[str, dict[bool, list[float]]] = {}
    counts: dict[str, Counter[str | None]] = {}
    for groups in groups_by_step(steps):
        for group in groups:
            for name, entry in group.assumptions.items():
                own = seconds.setdefault(name, {False: [], True: []})
                counts.setdefault(name, Counter())[entry.choice] += group.count
                taken = None if entry.choice is None else entry.seconds[entry.choice]
                if taken is not None:
                    own[entry.quantum].append(taken)
    return {
        name: GroupTotals(
            predicted_seconds=fsum(own[False]),
            modelled_seconds=fsum(own[True]),
            solved_by={choice: number for choice, number in counts[name].items() if choice is not None},
            open=counts[name][None],
        )
        for name, own in seconds.items()
    }
