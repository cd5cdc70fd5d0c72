"""Choice of the next tuning values: the best never on its grid's edge, equal trials for every method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .methods import Method

MOST_ROUNDS = 4
"""Further trials of every method at most."""


@dataclass(frozen=True)
class TuningTrial:
    """One training of the tuning.

    Attributes:
        value: of the tuned number.
        lowest_test_loss: within the budget; None where none was finite.
        status: `finished` or `diverged`.
        steps: taken.
        round: 0 of the grid, counted from there where it was extended.
    """

    value: float
    lowest_test_loss: float | None
    status: str
    steps: int
    round: int

    @property
    def score(self) -> float:
        """The minimised score; infinite if the training diverged."""
        lost = self.status != "finished" or self.lowest_test_loss is None
        return math.inf if lost else float(self.lowest_test_loss or 0.0)


def best_value(trials: Sequence[TuningTrial]) -> float | None:
    """Return the value of the best trial; None if an untuned method has none."""
    return min(trials, key=lambda trial: trial.score).value if trials else None


def beyond_the_edge(trials: Sequence[TuningTrial], method: Method) -> float | None:
    """Return the next value outwards if the best one is the outermost and there is one, else None."""
    best = best_value(trials)
    if best is None:
        return None
    if all(math.isinf(trial.score) for trial in trials):
        # All diverged: smaller rates, more damping.
        above = method.tuned == "damping_scale"
        ends = [trial.value for trial in trials]
        return method.grid.beyond(max(ends) if above else min(ends), above=above)
    for end, above in ((min(t.value for t in trials), False), (max(t.value for t in trials), True)):
        if best == end and (value := method.grid.beyond(best, above=above)) is not None:
            return value
    return None


def next_round(tuned: Mapping[str, tuple[Method, Sequence[TuningTrial]]], turn: int) -> dict[str, list[float]]:
    """Return one more value for every method; empty if no best one is on the edge of its grid.

    A method whose best value is the outermost goes on outwards; every other one looks between its best value and the
    better of the two beside it.

    Args:
        tuned: methods and their trials so far.
        turn: of the round that would come.
    """
    if turn > MOST_ROUNDS or not any(beyond_the_edge(trials, method) is not None for method, trials in tuned.values()):
        return {}
    return {name: _one_more(trials, method) for name, (method, trials) in tuned.items()}


def _one_more(trials: Sequence[TuningTrial], method: Method) -> list[float]:
    outwards = beyond_the_edge(trials, method)
    if outwards is not None:
        return [outwards]
    ordered = sorted(trials, key=lambda trial: trial.value)
    place = min(range(len(ordered)), key=lambda i: ordered[i].score)
    beside = sorted(
        (ordered[i] for i in (place - 1, place + 1) if 0 <= i < len(ordered)), key=lambda trial: trial.score
    )
    tried = {trial.value for trial in trials}
    for neighbour in beside:
        value = method.grid.between(ordered[place].value, neighbour.value)
        if value is not None and value not in tried:
            return [value]
    return []
