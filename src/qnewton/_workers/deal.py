"""Assignment of a step's blocks to the workers that are present, for the shortest schedule."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from .._pricing.fastest import fastest
from .._scheduling.makespan import Jobs, schedule
from .._scheduling.makespan.heuristic import DISTURBING
from .engine import Colleague

# Share of a step's solves that a better deal is worth, and seconds of all disturbing.
_WORTH = 0.02
_DISTURBING_S = 0.3


@dataclass(frozen=True)
class Offer:
    """What a worker would do with a block.

    Attributes:
        place: of the candidate.
        seconds: predicted, transfer included; infinite where it can take none.
    """

    place: int
    seconds: float


class Seen(NamedTuple):
    """What a step predicted of a block.

    Attributes:
        seconds: of every candidate `[candidates]`.
        choice: of the scheduler; -1 where none can take it.
        nbytes: that travel.
        on: worker to what its own calibration predicts, likewise.
    """

    seconds: np.ndarray
    choice: int
    nbytes: int = 0
    on: Mapping[str, np.ndarray] = MappingProxyType({})


def offer(seen: Seen, quantum: Sequence[bool], who: Colleague) -> Offer:
    """Return the chosen candidate where the worker runs it, else the fastest one that it runs.

    Args:
        seen: what is predicted of the block.
        quantum: which candidates are quantum solvers.
        who: the worker.
    """
    own = seen.on.get(who.name)
    seconds = seen.seconds * who.slowness if own is None else own
    choice = seen.choice
    runs = np.asarray(quantum) == who.quantum
    if runs[choice] and math.isfinite(seconds[choice]):
        place, found = choice, True
    else:
        index, able = fastest(seconds[None], runs[None] & np.isfinite(seconds)[None])
        place, found = int(index[0]), bool(able[0])
    return Offer(place, float(seconds[place]) + who.travel_s(seen.nbytes) if found else math.inf)


def deal(
    seen: Mapping[int, Seen],
    quantum: Sequence[bool],
    crew: Sequence[Colleague],
    busy_s: Mapping[str, float],
) -> dict[int, str]:
    """Return block to worker; a block is left out that nobody can take as its scheduler chose.

    Args:
        seen: block to what was predicted of it.
        quantum: which candidates are quantum solvers.
        crew: who is there.
        busy_s: worker to seconds until it has done what it has.
    """
    if not crew:
        return {}
    rows = {}
    for block, one in seen.items():
        if one.choice < 0:
            continue
        own = [offer(one, quantum, who).seconds if quantum[one.choice] == who.quantum else math.inf for who in crew]
        if any(map(math.isfinite, own)):
            rows[block] = own
    if not rows:
        return {}
    ready = np.asarray([busy_s.get(who.name, 0.0) + who.wait_s for who in crew])
    table = np.asarray(list(rows.values()))
    dealt = _dealt(table.tobytes(), ready.tobytes(), tuple(who.name for who in crew))
    return dict(zip(rows, dealt, strict=True))


@lru_cache(maxsize=16)
def _dealt(table: bytes, ready: bytes, names: tuple[str, ...]) -> tuple[str, ...]:
    """The worker of each block; most steps predict what the last one did."""
    problem = Jobs.of(np.frombuffer(table).reshape(-1, len(names)), np.frombuffer(ready), workers=names)
    # No search that takes longer than it could win; by predictions, since nothing decided may depend on the clock.
    finite = np.where(np.isfinite(problem.seconds), problem.seconds, 0.0)
    effort = DISTURBING * min(1.0, _WORTH * float(finite.sum()) / len(names) / _DISTURBING_S)
    found = schedule(problem, exact_up_to=0, disturbing=effort)
    return tuple(problem.workers[worker] for worker in found.assignment)
