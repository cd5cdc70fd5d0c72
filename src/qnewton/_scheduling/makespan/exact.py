"""The shortest schedule: of few jobs by looking at all, of tens by a mixed-integer programme."""

from dataclasses import dataclass

import numpy as np

from .problem import Jobs

ENUMERATED = 2**12
"""Assignments that are all looked at."""


def enumerated(problem: Jobs) -> np.ndarray:
    """Return the assignment with the least makespan, of equal ones the first; at most `ENUMERATED` are looked at.

    Args:
        problem: with at least one job.
    """
    count, width = problem.seconds.shape
    # The first job goes to the first worker in the first part of the table, so that ties go to those named first.
    every = np.stack(np.unravel_index(np.arange(width**count), (width,) * count), axis=1)
    finish = np.zeros((len(every), width))
    for worker in range(width):
        mine = every == worker
        loads = np.where(mine, problem.seconds[:, worker], 0.0).sum(axis=1)
        finish[:, worker] = np.where(mine.any(axis=1), problem.ready_s[worker] + loads, 0.0)
    makespan = finish.max(axis=1)
    # Of the shortest the one that keeps workers busy least.
    shortest = np.flatnonzero(makespan == makespan.min())
    return every[shortest[finish[shortest].sum(axis=1).argmin()]]


@dataclass(frozen=True, eq=False)
class SolverResult:
    """Result of the mixed-integer solver.

    Attributes:
        assignment: `[jobs]`; None where it found none in time.
        bound_s: no schedule is shorter.
    """

    assignment: np.ndarray | None
    bound_s: float


def exact(problem: Jobs, shortest_known: float, tolerance: float, time_limit_s: float) -> SolverResult:
    """Solve the problem by HiGHS (`scipy.optimize.milp`).

    One binary per job and worker that could take it within the makespan known, one per worker that is not ready at
    once and may stay unused, and the makespan.

    Args:
        problem: with at least one job.
        shortest_known: makespan of some schedule.
        tolerance: relative gap at which it may stop.
        time_limit_s: after which the best schedule so far and its bound are returned.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    count, width = problem.seconds.shape
    jobs, workers = np.nonzero(problem.ready_s + problem.seconds <= shortest_known * (1 + 1e-9))
    pairs = len(jobs)
    last = pairs + width
    cost = np.zeros(last + 1)
    cost[-1] = 1.0
    # Seconds of a makespan near 1, whatever the problem's own: the solver's tolerances are absolute.
    scale = shortest_known if shortest_known > 0 else 1.0
    seconds, ready = problem.seconds[jobs, workers] / scale, problem.ready_s / scale
    once = csr_array((np.ones(pairs), (jobs, np.arange(pairs))), shape=(count, last + 1))
    rows = np.concatenate([workers, np.arange(width), np.arange(width)])
    across = np.concatenate([np.arange(pairs), pairs + np.arange(width), np.full(width, last)])
    loads = csr_array((np.concatenate([seconds, ready, -np.ones(width)]), (rows, across)), shape=(width, last + 1))
    waits = np.flatnonzero(ready[workers] > 0)
    used = csr_array(
        (
            np.concatenate([np.ones(len(waits)), -np.ones(len(waits))]),
            (np.tile(np.arange(len(waits)), 2), np.concatenate([waits, pairs + workers[waits]])),
        ),
        shape=(len(waits), last + 1),
    )
    constraints = [LinearConstraint(once, 1, 1), LinearConstraint(loads, -np.inf, 0)]
    if len(waits):
        constraints.append(LinearConstraint(used, -np.inf, 0))
    found = milp(
        cost,
        integrality=np.concatenate([np.ones(last), [0]]),
        bounds=Bounds(np.zeros(last + 1), np.append(np.ones(last), np.inf)),  # pyright: ignore[reportArgumentType]
        constraints=constraints,
        options={"time_limit": time_limit_s, "mip_rel_gap": max(tolerance, 1e-6)},
    )
    bound = getattr(found, "mip_dual_bound", None)
    assignment = None
    if found.x is not None:
        assignment = np.zeros(count, int)
        taken = np.flatnonzero(found.x[:pairs] > 0.5)
        assignment[jobs[taken]] = workers[taken]
    # The solver's bound holds to its feasibility tolerance.
    return SolverResult(assignment, 0.0 if bound is None else max(0.0, (float(bound) - 1e-6) * scale))
