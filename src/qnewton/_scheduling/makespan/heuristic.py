"""Near-optimal schedules of thousands of jobs: prices, list scheduling by them, and local search."""

import numpy as np

from .local_search import improve
from .prices import find_prices
from .problem import Jobs, finish_of

_ROUNDS = 300
# Jobs that are moved to disturb a schedule which local search cannot improve.
_MOST_MOVED = 4
DEALING, DISTURBING = 3e7, 5e7
"""Changes that local search looks at, at most: from dealt schedules, and after disturbing the best one."""


def heuristic(problem: Jobs) -> np.ndarray:
    """A short schedule; deterministic, and about a second for 5,000 jobs on 64 workers.

    Prices of the workers' time say which workers are worth a job at all; the jobs are dealt out among those, longest
    first, each to where it finishes soonest; and local search takes it from there, and from a plain dealing out.

    Args:
        problem: with at least one job.

    Returns:
        The assignment `[jobs]`.
    """
    seconds, ready = problem.seconds, problem.ready_s
    kinds, of_worker, counts = alike(seconds, ready)
    found = find_prices(kinds[:-1], kinds[-1], counts, _ROUNDS)
    priced, plain = (
        improve(seconds, ready, _dealt(problem, wanted), DEALING)[0]
        for wanted in (found.shares[:, of_worker] > 0, np.ones(seconds.shape, bool))
    )
    return _shorter(problem, priced, plain)


def alike(seconds: np.ndarray, ready_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return distinct workers: one column each with `ready_s` below, each worker's kind, and the counts."""
    return np.unique(np.vstack([seconds, ready_s]), axis=1, return_inverse=True, return_counts=True)


def _dealt(problem: Jobs, wanted: np.ndarray) -> np.ndarray:
    """Assign the longest job first, each to the wanted worker that would finish it soonest.

    Args:
        problem: what is dealt out.
        wanted: `[jobs, workers]`, for each job one at least that can take it: what it found cheapest once.
    """
    seconds, ends = problem.seconds, problem.ready_s.copy()
    assignment = np.zeros(len(seconds), int)
    for j in np.argsort(-seconds.min(axis=1), kind="stable"):
        finish = ends + np.where(wanted[j], seconds[j], np.inf)
        assignment[j] = worker = int(finish.argmin())
        ends[worker] = finish[worker]
    return assignment


def refine(problem: Jobs, best: np.ndarray, floor: float, work: float = DISTURBING) -> np.ndarray:
    """Iterated local search, by seeded random moves.

    Args:
        problem: with at least one job.
        best: the assignment to start from.
        floor: a makespan that is short enough.
        work: changes that it looks at, at most.

    Returns:
        An assignment that is no worse.
    """
    generator = np.random.default_rng(0)
    seconds = problem.seconds
    current = best
    while work > 0 and finish_of(problem, best).max() > floor:
        trial = current.copy()
        jobs = generator.choice(len(seconds), min(len(seconds), 1 + int(generator.integers(_MOST_MOVED))), False)
        for j in jobs:
            trial[j] = generator.choice(np.flatnonzero(np.isfinite(seconds[j])))
        trial, work = improve(seconds, problem.ready_s, trial, work, floor)
        if finish_of(problem, trial).max() <= finish_of(problem, current).max():
            current = trial
        best = _shorter(problem, best, trial)
    return best


def _shorter(problem: Jobs, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    if finish_of(problem, other).max() < finish_of(problem, one).max():
        return other
    return one
