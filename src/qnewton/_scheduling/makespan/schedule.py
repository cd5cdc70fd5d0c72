"""Assignment of jobs to workers, and a bound on its distance from the shortest schedule."""

from dataclasses import dataclass

import numpy as np

from .bound import lower_bound
from .exact import ENUMERATED, enumerated, exact
from .heuristic import DISTURBING, heuristic, refine
from .problem import Jobs, finish_of

EXACT_UP_TO = 64


@dataclass(frozen=True, eq=False)
class Schedule:
    """Assignment of jobs to workers, its finish times, and a lower bound on any schedule. All seconds are predicted.

    Attributes:
        problem: what was scheduled.
        assignment: `[jobs]`, position of the worker that takes each job.
        order: per worker its jobs, in the order in which it takes them: the shortest first, so that least is lost when
            a worker vanishes.
        finish_s: `[workers]`, when each is done; 0 of one without jobs.
        lower_bound_s: no schedule is shorter.
        notes: what is out of the ordinary, in words.
    """

    problem: Jobs
    assignment: np.ndarray
    order: tuple[tuple[int, ...], ...]
    finish_s: np.ndarray
    lower_bound_s: float
    notes: tuple[str, ...] = ()

    @property
    def makespan_s(self) -> float:
        """Finish time of the last worker."""
        return float(self.finish_s.max(initial=0.0))

    @property
    def gap(self) -> float:
        """Makespan over lower bound, minus 1; no schedule is shorter by more than this fraction."""
        return self.makespan_s / self.lower_bound_s - 1 if self.lower_bound_s > 0 else 0.0


def schedule(
    problem: Jobs,
    *,
    tolerance: float = 0.01,
    exact_up_to: int = EXACT_UP_TO,
    time_limit_s: float = 10.0,
    disturbing: float = DISTURBING,
) -> Schedule:
    """Return a schedule within `tolerance` of the shortest if possible, with a proven gap in any case.

    Of few jobs all assignments are looked at. Of others the heuristic first, then the bound. Where they lie further
    apart than asked, tens of jobs go to the mixed-integer programme and more of them to iterated local search.

    Args:
        problem: the jobs and the workers.
        tolerance: gap that is good enough, at least 0.
        exact_up_to: jobs that are given to the mixed-integer programme; with 0 nothing depends on the clock.
        time_limit_s: of that programme.
        disturbing: changes that iterated local search looks at, at most.

    Raises:
        ValueError: for a tolerance or a time limit out of range.
    """
    if not 0 <= tolerance < float("inf"):
        raise ValueError(f"tolerance is {tolerance}: it is a relative gap, finite and at least 0, e.g. 0.01")
    if not time_limit_s > 0:
        raise ValueError(f"time_limit_s is {time_limit_s}: it must be positive")
    if not problem.jobs:
        return _schedule(problem, np.zeros(0, int), 0.0)
    if len(problem.workers) ** len(problem.jobs) <= ENUMERATED:
        assignment = enumerated(problem)
        return _schedule(problem, assignment, _makespan(problem, assignment))
    assignment = heuristic(problem)
    makespan = _makespan(problem, assignment)
    bound = lower_bound(problem, makespan) if makespan > 0 else 0.0
    if makespan > bound * (1 + tolerance):
        if len(problem.jobs) <= exact_up_to:
            solved = exact(problem, makespan, tolerance, time_limit_s)
            bound = max(bound, min(solved.bound_s, makespan))
            if solved.assignment is not None and _makespan(problem, solved.assignment) < makespan:
                assignment = solved.assignment
        else:
            assignment = refine(problem, assignment, bound * (1 + tolerance), disturbing)
    return _schedule(problem, assignment, bound)


def _makespan(problem: Jobs, assignment: np.ndarray) -> float:
    return float(finish_of(problem, assignment).max())


def _schedule(problem: Jobs, assignment: np.ndarray, bound: float) -> Schedule:
    taken = problem.seconds[np.arange(len(assignment)), assignment]
    shortest_first = np.argsort(taken, kind="stable")
    order = tuple(
        tuple(int(j) for j in shortest_first if assignment[j] == worker) for worker in range(len(problem.workers))
    )
    finish = finish_of(problem, assignment)
    return Schedule(problem, assignment, order, finish, min(bound, float(finish.max(initial=0.0))))
