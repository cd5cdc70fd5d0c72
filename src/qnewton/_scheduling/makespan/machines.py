"""Conversion of a step's predictions and machines to a problem, and of its solution to candidates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..._core.suggest import unknown
from ..._pricing.fastest import fastest
from .problem import Jobs, listed
from .schedule import Schedule, schedule


@dataclass(frozen=True)
class Machine:
    """Workers of one kind.

    Attributes:
        name: e.g. `cpu`; with a count above 1 the workers are `cpu 0`, `cpu 1`, ...
        solvers: candidates that it runs, by name (`Hybrid.names`); a job on it takes the fastest of them.
        count: how many workers of the kind there are.
        slowness: factor on predicted seconds, which are those of the calibrated or modelled machine; positive.
        queue_s: seconds that a worker waits before its first job of a step, at least 0.
        transfer_s: seconds that moving a block there, and its solution back, adds to each job, at least 0.
    """

    name: str
    solvers: tuple[str, ...]
    count: int = 1
    slowness: float = 1.0
    queue_s: float = 0.0
    transfer_s: float = 0.0

    def __post_init__(self):
        if not self.solvers:
            raise ValueError(f"machine {self.name!r} runs no solvers: name at least one of the scheduler's candidates")
        if self.count < 0:
            raise ValueError(f"machine {self.name!r} has a count of {self.count}: it must be at least 0")
        if not 0 < self.slowness < math.inf:
            raise ValueError(f"machine {self.name!r} has a slowness of {self.slowness}: it must be positive and finite")
        for what in ("queue_s", "transfer_s"):
            if not 0 <= getattr(self, what) < math.inf:
                raise ValueError(
                    f"machine {self.name!r} has a {what} of {getattr(self, what)}: it must be finite and at least 0"
                )

    @property
    def workers(self) -> tuple[str, ...]:
        """Workers' names."""
        return (self.name,) if self.count == 1 else tuple(f"{self.name} {i}" for i in range(self.count))


@dataclass(frozen=True, eq=False)
class StepSchedule:
    """The blocks of a step, each on a worker and with the candidate that it runs there.

    Attributes:
        schedule: of the blocks that somebody can take.
        blocks: `[blocks]`, each block's position among the jobs of the schedule; -1 of one that nobody can take.
        candidates: `[blocks]`, the column of the candidate; -1 of one that nobody can take.
    """

    schedule: Schedule
    blocks: np.ndarray
    candidates: np.ndarray


def problem_of(
    predicted_seconds: np.ndarray,
    names: Sequence[str],
    machines: Sequence[Machine],
    *,
    blocks: Sequence[str] | None = None,
) -> tuple[Jobs, np.ndarray]:
    """Return the problem of scheduling a step's predictions on the machines.

    Args:
        predicted_seconds: `[blocks, candidates]`; NaN or infinite where a candidate cannot take the block.
        names: of the candidates.
        machines: at least one worker among them.
        blocks: names.

    Returns:
        The problem, and `[blocks, workers]` which candidate the worker would run.

    Raises:
        ValueError: for no machine, a candidate that is not there, or a block that nobody can take.
    """
    predicted = np.asarray(predicted_seconds, np.float64)
    if predicted.ndim != 2 or predicted.shape[1] != len(names):
        raise ValueError(
            f"predicted_seconds has shape {predicted.shape}: it must be [blocks, candidates], and there are "
            f"{len(names)} candidates"
        )
    columns, candidates, ready, workers = [], [], [], []
    for machine in machines:
        for solver in machine.solvers:
            if solver not in names:
                raise ValueError(f"machine {machine.name!r}: {unknown('candidate', solver, names)}")
        runs = np.asarray([name in machine.solvers for name in names])
        index, found = fastest(predicted, np.broadcast_to(runs, predicted.shape))
        own = np.take_along_axis(predicted, index[:, None], axis=1)[:, 0]
        column = np.where(found, own, math.inf) * machine.slowness + machine.transfer_s
        for worker in machine.workers:
            columns.append(column)
            candidates.append(index)
            ready.append(machine.queue_s)
            workers.append(worker)
    shape = len(predicted), len(workers)
    seconds = np.stack(columns, axis=1) if columns else np.zeros(shape)
    problem = Jobs.of(seconds, np.asarray(ready), jobs=blocks, workers=workers)
    return problem, np.stack(candidates, axis=1)


def schedule_step(
    predicted_seconds: np.ndarray,
    names: Sequence[str],
    machines: Sequence[Machine],
    *,
    blocks: Sequence[str] | None = None,
    tolerance: float = 0.01,
) -> StepSchedule:
    """Assign the blocks of a step to machines that work at once.

    A block that no worker can take is left out and named in the notes: in a training it takes a gradient step.

    Args:
        predicted_seconds: `[blocks, candidates]`; NaN or infinite where a candidate cannot take the block.
        names: of the candidates.
        machines: at least one worker among them.
        blocks: names.
        tolerance: as in `schedule`.

    Raises:
        ValueError: for no machine, or a candidate that is not there.
    """
    predicted = np.asarray(predicted_seconds, np.float64)
    labels = [f"block {k}" for k in range(len(predicted))] if blocks is None else list(blocks)
    run = {solver for machine in machines if machine.count for solver in machine.solvers}
    able = np.any(np.isfinite(predicted) & np.asarray([name in run for name in names]), axis=1)
    open_blocks, nobody = np.flatnonzero(able), np.flatnonzero(~able)
    problem, candidates = problem_of(predicted[open_blocks], names, machines, blocks=[labels[k] for k in open_blocks])
    found = schedule(problem, tolerance=tolerance)
    if nobody.size:
        note = f"nobody can take {listed(labels, nobody)}: left out"
        found = Schedule(
            problem, found.assignment, found.order, found.finish_s, found.lower_bound_s, (*found.notes, note)
        )
    jobs, columns = np.full(len(predicted), -1), np.full(len(predicted), -1)
    jobs[open_blocks] = np.arange(len(open_blocks))
    columns[open_blocks] = candidates[np.arange(len(open_blocks)), found.assignment]
    return StepSchedule(found, jobs, columns)
