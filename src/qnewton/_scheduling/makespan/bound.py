"""A lower bound on every schedule: the linear relaxation of Lenstra, Shmoys and Tardos, by column generation."""

import numpy as np

from .heuristic import alike
from .prices import bound_of, find_prices
from .problem import Jobs

_ROUNDS = 150
_CHEAPEST = 3
# Relative distance between the programme's value and what its prices prove.
_CLOSED = 1e-6
_MOST_PROGRAMMES = 25


def lower_bound(problem: Jobs, shortest_known: float) -> float:
    """Return a lower bound on the makespan, proven by prices in float64 rather than by a solver's tolerance.

    A pair of job and worker that alone would take longer than a schedule that is known is excluded first, which is what
    makes the relaxation strong (a job longer than the makespan cannot be split). The linear programme is solved over
    the few pairs per job that matter; pairs that its prices show to be missing are added until none is.

    Args:
        problem: with at least one job.
        shortest_known: makespan of some schedule.
    """
    bound = float((problem.ready_s + problem.seconds).min(axis=1).max())
    while True:
        better = max(bound, _relaxed(problem, shortest_known, bound))
        # A worker that is ready late counts from where the bound is by now.
        if not np.any(problem.ready_s > bound) or better <= bound * (1 + 1e-6):
            return min(better, shortest_known)
        bound = better


def _relaxed(problem: Jobs, shortest_known: float, proven: float) -> float:
    """The relaxation's value with the best prices found.

    Args:
        problem: as above.
        shortest_known: as above.
        proven: a lower bound. An unused worker is ready when it likes, and a used one no later than the makespan: both
            are so at the lesser of `ready_s` and this.
    """
    allowed = problem.ready_s[:, None] + problem.seconds.T <= shortest_known * (1 + 1e-9)
    seconds = np.where(allowed.T, problem.seconds, np.inf)
    kinds, _, counts = alike(seconds, np.minimum(problem.ready_s, proven))
    seconds, ready = kinds[:-1], kinds[-1]
    start = find_prices(seconds, ready, counts, _ROUNDS)
    value = bound_of(seconds, ready, counts, start.weights)
    cheapest = np.argsort(seconds * (start.weights / counts), axis=1)[:, :_CHEAPEST]
    chosen = start.shares > 0
    chosen[np.arange(len(seconds))[:, None], cheapest] = True
    chosen &= np.isfinite(seconds)
    for _ in range(_MOST_PROGRAMMES):
        solved = _programme(seconds, ready, counts, chosen)
        if solved is None:
            break
        weights, optimum = solved
        value = max(value, bound_of(seconds, ready, counts, weights))
        with np.errstate(invalid="ignore"):
            priced = np.where(np.isinf(seconds), np.inf, seconds * (weights / counts))
        least = np.where(chosen, priced, np.inf).min(axis=1)
        missing = (priced < least[:, None] * (1 - 1e-9)) & ~chosen
        if value >= optimum * (1 - _CLOSED) or not missing.any():
            break
        chosen |= missing
    return value


def _programme(
    seconds: np.ndarray, ready: np.ndarray, counts: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Return weights of the kinds and the least makespan over the chosen pairs; None if the solver has none."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    jobs, kinds = np.nonzero(chosen)
    columns, (count, width) = len(jobs), seconds.shape
    # Load of a kind, less its number times the makespan, at most minus what it loses in getting ready.
    rows = np.concatenate([kinds, np.arange(width)])
    across = np.concatenate([np.arange(columns), np.full(width, columns)])
    load = csr_array((np.concatenate([seconds[jobs, kinds], -counts]), (rows, across)), shape=(width, columns + 1))
    once = csr_array((np.ones(columns), (jobs, np.arange(columns))), shape=(count, columns + 1))
    cost = np.zeros(columns + 1)
    cost[-1] = 1.0
    found = linprog(cost, load, -ready * counts, once, np.ones(count), method="highs-ds")
    if found.status != 0:
        return None
    weights = np.maximum(-np.asarray(found.ineqlin.marginals), 0.0) * counts
    return (weights / weights.sum(), float(found.fun)) if weights.any() else None
