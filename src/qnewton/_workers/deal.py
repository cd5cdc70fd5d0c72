"""Assignment of a step's blocks to the workers that are present, for the shortest schedule."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .._pricing.fastest import fastest
from .._scheduling.makespan import Jobs, schedule
from .engine import Colleague


@dataclass(frozen=True)
class Offer:
    """What a worker would do with a block.

    Attributes:
        place: of the candidate.
        seconds: predicted, transfer included; infinite where it can take none.
    """

    place: int
    seconds: float


def offer(seconds: np.ndarray, choice: int, quantum: Sequence[bool], who: Colleague) -> Offer:
    """Return the chosen candidate where the worker runs it, else the fastest one that it runs.

    Args:
        seconds: predicted `[candidates]`.
        choice: of the scheduler.
        quantum: which candidates are quantum solvers.
        who: the worker.
    """
    runs = np.asarray(quantum) == who.quantum
    if runs[choice] and math.isfinite(seconds[choice]):
        place, found = choice, True
    else:
        index, able = fastest(seconds[None], runs[None] & np.isfinite(seconds)[None])
        place, found = int(index[0]), bool(able[0])
    return Offer(place, float(seconds[place]) * who.slowness + who.transfer_s if found else math.inf)


def deal(
    seconds: Mapping[int, np.ndarray],
    choices: Mapping[int, int],
    quantum: Sequence[bool],
    crew: Sequence[Colleague],
    busy_s: Mapping[str, float],
) -> dict[int, str]:
    """Return block to worker; a block is left out that nobody can take as its scheduler chose.

    Args:
        seconds: block to predictions `[candidates]`.
        choices: block to chosen candidate.
        quantum: which candidates are quantum solvers.
        crew: who is there.
        busy_s: worker to seconds until it has done what it has.
    """
    if not crew:
        return {}
    rows = {}
    for block, row in seconds.items():
        choice = choices[block]
        if choice < 0:
            continue
        own = [offer(row, choice, quantum, who).seconds if quantum[choice] == who.quantum else math.inf for who in crew]
        if any(map(math.isfinite, own)):
            rows[block] = own
    if not rows:
        return {}
    ready = np.asarray([busy_s.get(who.name, 0.0) + who.wait_s for who in crew])
    problem = Jobs.of(np.asarray(list(rows.values())), ready, workers=[who.name for who in crew])
    # Nothing that is decided may depend on the clock.
    found = schedule(problem, exact_up_to=0)
    return {block: problem.workers[worker] for block, worker in zip(rows, found.assignment, strict=True)}
