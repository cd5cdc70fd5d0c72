"""Blocks as jobs on unrelated parallel machines: the problem, as numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class Jobs:
    """Jobs to finish as soon as possible, each on one worker and without interruption.

    A worker with jobs finishes at `ready_s` plus the sum of their seconds, one without at 0. In the usual notation
    R||Cmax with release times of the workers.

    Attributes:
        seconds: `[jobs, workers]`, float64, transfers included; infinite where the worker cannot take the job.
        ready_s: `[workers]`, when each can begin.
        jobs, workers: their names.
    """

    seconds: np.ndarray
    ready_s: np.ndarray
    jobs: tuple[str, ...]
    workers: tuple[str, ...]

    @classmethod
    def of(
        cls,
        seconds: npt.ArrayLike,
        ready_s: npt.ArrayLike = 0.0,
        *,
        jobs: Sequence[str] | None = None,
        workers: Sequence[str] | None = None,
    ) -> "Jobs":
        """Return a checked problem, with numbers for missing names.

        Args:
            seconds: `[jobs, workers]`; NaN and infinity mean that the worker cannot take the job.
            ready_s: `[workers]` or one for all.
            jobs: their names.
            workers: their names.

        Raises:
            ValueError: for no worker, a job that nobody can take, negative seconds, or shapes that do not fit.
        """
        table = np.asarray(seconds, np.float64)
        if table.ndim != 2:
            raise ValueError(f"seconds has shape {table.shape}: it must be [jobs, workers]")
        count, width = table.shape
        if width == 0:
            raise ValueError(
                f"there is no worker for {count} jobs: pass at least one machine with a count of 1 or more"
            )
        names = tuple(f"job {j}" for j in range(count)) if jobs is None else tuple(jobs)
        machines = tuple(f"worker {i}" for i in range(width)) if workers is None else tuple(workers)
        if (len(names), len(machines)) != (count, width):
            raise ValueError(
                f"seconds has shape {table.shape}, with {len(names)} names of jobs and {len(machines)} of workers"
            )
        if len(set(machines)) < width:
            raise ValueError(f"two workers have one name: {', '.join(machines)}. Schedules tell them by name")
        ready = np.broadcast_to(np.asarray(ready_s, np.float64), (width,)).copy()
        if not np.all(np.isfinite(ready) & (ready >= 0)):
            raise ValueError(f"ready_s is {ready}: every worker begins after a finite number of seconds, at least 0")
        if np.any(table < 0):
            j, i = np.argwhere(table < 0)[0]
            raise ValueError(f"{names[j]!r} takes {table[j, i]} s on {machines[i]!r}: seconds are at least 0")
        table = np.where(np.isfinite(table), table, math.inf)
        nobody = np.flatnonzero(np.all(np.isinf(table), axis=1))
        if nobody.size:
            raise ValueError(
                f"no worker can take {listed(names, nobody)}: on each of {', '.join(machines)} its seconds are "
                "infinite or NaN. Add a machine that runs a candidate which can, or leave the job out"
            )
        return cls(table, ready, names, machines)


def listed(names: Sequence[str], which: Sequence[int] | np.ndarray) -> str:
    """Return the first few names, and the number of the others."""
    shown = ", ".join(repr(names[int(j)]) for j in which[:MOST_NAMED])
    return shown if len(which) <= MOST_NAMED else f"{shown} and {len(which) - MOST_NAMED} more"


def finish_of(problem: Jobs, assignment: np.ndarray) -> np.ndarray:
    """Return the finish time of each worker `[workers]`; 0 for one without jobs."""
    width = len(problem.workers)
    taken = problem.seconds[np.arange(len(assignment)), assignment]
    loads = np.bincount(assignment, weights=taken, minlength=width)
    used = np.bincount(assignment, minlength=width) > 0
    return np.where(used, problem.ready_s + loads, 0.0)
