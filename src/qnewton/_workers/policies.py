"""Policies that deal a step's blocks out to machines whose waits are not known yet."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from .._scheduling.makespan import Jobs
from .._scheduling.makespan.heuristic import heuristic
from .waits import WaitForecast

Policy: TypeAlias = Callable[[np.ndarray, Sequence[WaitForecast]], np.ndarray]
"""From predicted seconds `[blocks, machines]`, infinite where a machine cannot take a block, and a forecast for each
machine to the assignment `[blocks]`."""
_SCENARIOS = 512
_LEVELS = (None, 0.5, 0.75)
_SEED = 20261201
_SMALL = 600
_MOVES = 1000
_LAST, _TARGETS = 3, 4


def first_come_first_served(seconds: np.ndarray, waits: Sequence[WaitForecast]) -> np.ndarray:
    """Give the blocks, as they come, to the machine that has the fewest of them; predictions are not asked."""
    held = np.zeros(seconds.shape[1], int)
    found = np.zeros(len(seconds), int)
    for block, row in enumerate(seconds):
        worker = int(np.argmin(np.where(np.isfinite(row), held, np.iinfo(int).max)))
        held[worker] += 1
        found[block] = worker
    return found


def greedy(seconds: np.ndarray, waits: Sequence[WaitForecast]) -> np.ndarray:
    """Give the blocks, as they come, to the machine that is expected to finish them soonest."""
    ends = np.asarray([wait.mean_s for wait in waits])
    found = np.zeros(len(seconds), int)
    for block, row in enumerate(seconds):
        worker = int(np.argmin(ends + row))
        ends[worker] += row[worker]
        found[block] = worker
    return found


def expected_makespan(seconds: np.ndarray, waits: Sequence[WaitForecast], quantile: float | None = None) -> np.ndarray:
    """Return the assignment with the least expected makespan, or quantile of it, that was found.

    The rule for the shortest schedule is asked for waits at their means and at quantiles, and what it answers is judged
    by scenarios of all machines' waits, which are drawn from the forecasts independently: the same for all answers, and
    from one seed, so that the same record gives the same assignment.

    Args:
        seconds: as of `Policy`.
        waits: likewise.
        quantile: of the makespan, in (0, 1); None: its mean.
    """
    answers = [heuristic(Jobs.of(seconds, [wait.figure(level) for wait in waits])) for level in _levels(waits)]
    if seconds.size <= _SMALL:
        answers += [heuristic(problem) for problem in _without(seconds, waits)]
    scenarios = _scenarios(waits)
    best = min(answers, key=lambda answer: _figure(makespans_of(seconds, answer, scenarios), quantile))
    return _improved(seconds, best, scenarios, quantile)


def _levels(waits: Sequence[WaitForecast]) -> Sequence[float | None]:
    return _LEVELS if any(len(wait.sample_s) > 1 for wait in waits) else (None,)


def _without(seconds: np.ndarray, waits: Sequence[WaitForecast]) -> Iterator[Jobs]:
    """The problems in which machines are left out whose wait is not sure: each, and all of them."""
    unsure = [machine for machine, wait in enumerate(waits) if len(wait.sample_s) > 1]
    ready = [wait.mean_s for wait in waits]
    for left_out in (*([machine] for machine in unsure), *([unsure] if len(unsure) > 1 else [])):
        rest = seconds.copy()
        rest[:, left_out] = np.inf
        if np.all(np.any(np.isfinite(rest), axis=1)):
            yield Jobs.of(rest, ready)


def _improved(seconds: np.ndarray, assignment: np.ndarray, waits_s: np.ndarray, quantile: float | None) -> np.ndarray:
    """Move one block at a time, off the machine that is most often the last, while that helps."""
    best, moves = _figure(makespans_of(seconds, assignment, waits_s), quantile), _MOVES
    improved = True
    while improved and moves > 0:
        improved = False
        ends = _ends(seconds, assignment, waits_s)
        last = np.bincount(ends.argmax(axis=1), minlength=seconds.shape[1])
        for machine in np.argsort(-last, kind="stable")[:_LAST]:
            blocks = np.flatnonzero(assignment == machine)
            for block in blocks[np.argsort(-seconds[blocks, machine], kind="stable")]:
                # To where it adds least, first.
                others = np.argsort(ends.mean(axis=0) + seconds[block], kind="stable")
                for other in others[:_TARGETS]:
                    if other == machine or not np.isfinite(seconds[block, other]) or moves <= 0:
                        continue
                    moves -= 1
                    trial = assignment.copy()
                    trial[block] = other
                    found = _figure(makespans_of(seconds, trial, waits_s), quantile)
                    if found < best * (1 - 1e-9):
                        assignment, best, improved = trial, found, True
                        break
                if improved:
                    break
            if improved:
                break
    return assignment


def _ends(seconds: np.ndarray, assignment: np.ndarray, waits_s: np.ndarray) -> np.ndarray:
    """Return each machine's seconds until it is done, `[..., machines]`; 0 for one without blocks."""
    width = seconds.shape[1]
    taken = seconds[np.arange(len(assignment)), assignment]
    loads = np.bincount(assignment, weights=taken, minlength=width)
    return np.where(np.bincount(assignment, minlength=width) > 0, waits_s + loads, 0.0)


def _figure(makespans: np.ndarray, quantile: float | None) -> float:
    return float(np.mean(makespans) if quantile is None else np.quantile(makespans, quantile))


def _scenarios(waits: Sequence[WaitForecast]) -> np.ndarray:
    """Return waits of all machines `[scenarios, machines]`: each forecast's values equally often."""
    random = np.random.default_rng(_SEED)
    columns = []
    for wait in waits:
        places = (np.arange(_SCENARIOS) + 0.5) / _SCENARIOS * len(wait.sample_s)
        columns.append(random.permutation(wait.sample_s[places.astype(int)]))
    return np.stack(columns, axis=1)


def makespans_of(seconds: np.ndarray, assignment: np.ndarray, waits_s: np.ndarray) -> np.ndarray:
    """Return when the last block is done, for waits `[..., machines]`; a machine without blocks is not waited for."""
    return np.max(_ends(seconds, assignment, waits_s), axis=-1)


def pulled(seconds: np.ndarray, waits_s: np.ndarray) -> float:
    """Return the makespan where every machine, whenever it is free, takes the next block that it can take.

    It knows each wait once it is over, and no predictions.

    Args:
        seconds: as they will come out `[blocks, machines]`.
        waits_s: `[machines]`.
    """
    free = [(float(wait), machine) for machine, wait in enumerate(waits_s)]
    heapq.heapify(free)
    open_, end = list(range(len(seconds))), 0.0
    while open_ and free:
        now, machine = heapq.heappop(free)
        block = next((one for one in open_ if np.isfinite(seconds[one, machine])), None)
        if block is None:
            continue
        open_.remove(block)
        done = now + float(seconds[block, machine])
        end = max(end, done)
        heapq.heappush(free, (done, machine))
    return end


POLICIES: dict[str, Policy] = {
    "first-come-first-served": first_come_first_served,
    "greedy": greedy,
    "makespan": expected_makespan,
}
"""Those that are compared, by name."""
