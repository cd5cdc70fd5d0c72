"""Totals over the systems of a training, by assumption set, for the ledger and for readers of its lines."""

from collections import Counter
from collections.abc import Iterable, Sequence

from .summary import SetTotals
from .system import SystemLine


class SystemSums:
    """Sums over the systems of the steps."""

    def __init__(self):
        """Start before the first step."""
        self._seconds: dict[str, dict[str, float]] = {}
        self._counts: dict[str, Counter[str | None]] = {}

    def add(self, lines: Iterable[SystemLine], steps: int = 1) -> None:
        """Take up the lines of a step, which hold for so many steps."""
        for line in lines:
            for name, entry in line.assumptions.items():
                own = self._seconds.setdefault(name, {"classical": 0.0, "quantum": 0.0})
                self._counts.setdefault(name, Counter())[entry.choice] += steps * line.count
                taken = None if entry.choice is None else entry.predicted_seconds.get(entry.choice)
                if taken is not None and entry.machine is not None:
                    own[entry.machine] += steps * taken

    def totals(self) -> dict[str, SetTotals]:
        """Return each assumption set's totals over the steps, the acting set first; empty if there are no systems."""
        return {
            name: SetTotals(
                predicted_seconds=own["classical"],
                modelled_seconds=own["quantum"],
                solved_by={choice: number for choice, number in self._counts[name].items() if choice is not None},
                open=self._counts[name][None],
            )
            for name, own in self._seconds.items()
        }


def set_totals(decided: Iterable[Sequence[SystemLine]], held: Iterable[int]) -> dict[str, SetTotals]:
    """Return the same for lines of steps, each of which hold for that many steps."""
    sums = SystemSums()
    for lines, steps in zip(decided, held, strict=True):
        sums.add(lines, steps)
    return sums.totals()
