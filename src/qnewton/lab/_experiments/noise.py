"""Learning curves with emulated quantum solves, against their error epsilon and their number of shots."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import lineax as lx
import numpy as np
import optax
import scipy.linalg  # noqa: F401  # threadpoolctl sees only libraries that are loaded
import threadpoolctl
from jaxtyping import PyTree
from msgspec import structs

from ..._conditioning import Damp
from ..._curvature.batch import Batch
from ..._hardware import ClassicalMachine
from ..._optim.newton import newton
from ..._scheduling import Hybrid
from ..._solvers import Cholesky, EmulatedQSVT
from ..._solvers.quantum.emulated import Infinite, LineFit, Shots
from .._runfile import NOISE_VERSION, GridHead, NoiseCell, NoiseFile, plain
from .build import residual_tolerance
from .grid import Grid
from .own_task import short
from .parts import make
from .provenance import provenance
from .tasks import make_task
from .tasks.base import Task, batches
from .tasks.evaluation import mean

TOLERANCE = 0.01
"""Test accuracy that a training may lose to the exact one's: a point."""


@dataclass(frozen=True)
class Cell:
    """One training of the grid.

    Attributes:
        epsilon: error of the normalised state; None where a classical solver is exact.
        shots: copies; None: infinitely many.
        seed: of the parameters.
    """

    epsilon: float | None
    shots: int | None
    seed: int

    @property
    def name(self) -> str:
        """Name of the training, on disk and for the user."""
        if self.epsilon is None:
            return f"exact-seed-{self.seed}"
        return f"epsilon-{self.epsilon!r}-shots-{'inf' if self.shots is None else self.shots}-seed-{self.seed}"


def open_grid(path: Path | None, options: dict[str, Any]) -> Grid[GridHead]:
    """Make the directory, or resume the same grid.

    Args:
        path: where; None takes the next free one under runs/.
        options: of the grid, as `run_grid` has them.

    Raises:
        RunFileError: for a directory of another grid; names what differs.
        FileExistsError: for a directory of something else.
    """
    head = GridHead(schema_version=NOISE_VERSION, options=options, **provenance())
    return Grid.open(path, f"noise-{short(options['task'])}", "options.json", head)


def finish(directory: Grid[GridHead], records: Sequence[NoiseCell], found: dict[str, Any]) -> None:
    """Write `noise.json`, unless an earlier call did."""
    if not (directory.path / "noise.json").exists():
        directory.write("noise.json", NoiseFile(**structs.asdict(directory.head), answer=found, curves=tuple(records)))


def cells(options: dict[str, Any]) -> Iterator[Cell]:
    """Yield all trainings, exact ones first; a solver's seeds follow each other, since they share its program."""
    seeds = options["seeds"]
    yield from (Cell(None, None, seed) for seed in seeds)
    for epsilon in options["epsilons"]:
        for shots in options["shots"]:
            yield from (Cell(epsilon, shots, seed) for seed in seeds)


def run_grid(
    options: dict[str, Any], directory: Grid[GridHead], tell: Callable[[str], None] = lambda _: None
) -> list[NoiseCell]:
    """Train every cell that is not done yet.

    Args:
        options: `task`, `epsilons`, `shots` (None: infinitely many), `seeds`, `steps`, `batch_size`, `partition`,
            `damping`, `dtype`.
        directory: where records are and go.
        tell: called with a line per cell.

    Returns:
        The records of all cells, in the order of `cells`.
    """
    with (
        jax.enable_x64(options["dtype"] == "float64"),
        # jax factorises through scipy's BLAS, whose threads spin for each other on cores that are few or shared.
        threadpoolctl.threadpool_limits(1, user_api="blas"),
    ):
        return _run_grid(options, directory, tell)


def _run_grid(options: dict[str, Any], directory: Grid[GridHead], tell: Callable[[str], None]) -> list[NoiseCell]:
    chosen = list(cells(options))
    trainer, records = None, []
    for number, cell in enumerate(chosen, start=1):
        settings = {"epsilon": cell.epsilon, "shots": cell.shots, "seed": cell.seed}
        file = f"cells/{cell.name}.json"
        record, seconds = directory.done(file, NoiseCell, **settings), "done before"
        if record is None:
            trainer = trainer or _Trainer(make_task(options["task"], options["dtype"]), options)
            start = time.perf_counter()
            curves = trainer.curves(cell)
            taken = time.perf_counter() - start
            record = directory.add(file, NoiseCell(**settings, **curves, measured_seconds=taken))
            seconds = f"{taken:.1f} s"
        accuracy = record.test_accuracy[-1]
        tell(f"[{number}/{len(chosen)}] {cell.name}: test accuracy {accuracy:.3f}, {seconds}")
        records.append(record)
    return records


_Held = tuple[tuple[float | None, int | None], optax.GradientTransformationExtraArgs, Callable]
"""Epsilon and shots of a solver, and its program."""


class _Trainer:
    """Trainings of one task; the program of a solver is compiled once for its seeds."""

    def __init__(self, task: Task, options: dict[str, Any]):
        self._task, self._options = task, options
        self._held: tuple[tuple[float | None, int | None], optax.GradientTransformationExtraArgs, Callable] | None = (
            None
        )

        accuracy = task.accuracy
        if accuracy is None:
            raise ValueError(f"the grid compares accuracies, and {task.name} has none: take a task that classifies")

        @jax.jit
        def evaluate(params: PyTree) -> tuple:
            losses = (mean(task.objective, params, data.batch) for data in (task.train, task.test))
            return *losses, mean(accuracy, params, task.test.batch)

        self._evaluate = evaluate

    def curves(self, cell: Cell) -> dict[str, Any]:
        """Return losses and accuracy before the first step and after each, and the circuits' results in each step."""
        transformation, step = self._program(cell)
        params = self._task.init(jax.random.key(cell.seed))
        state = transformation.init(params)
        stream = batches(self._task.train, self._options["batch_size"], cell.seed)
        points, reports = [self._evaluate(params)], []
        for _ in range(self._options["steps"]):
            params, state = step(params, state, next(stream))
            points.append(self._evaluate(params))
            reports.append(jax.device_get(state.info))
        train_loss, test_loss, accuracy = (
            tuple(float(v) for v in values) for values in zip(*jax.device_get(points), strict=True)
        )
        return {
            "train_loss": train_loss,
            "test_loss": test_loss,
            "test_accuracy": accuracy,
            "accepted": tuple(bool(info.accepted) for info in reports),
            "relative_residual": tuple(max(float(b.relative_residual) for b in info.blocks) for info in reports),
            "condition_number": None
            if cell.epsilon is None
            else tuple(_largest_kappa(info.blocks) for info in reports),
            "executed_queries": (
                None
                if cell.epsilon is None
                else tuple(sum(float(block.executed.queries) for block in info.blocks) for info in reports)
            ),
        }

    def _program(self, cell: Cell) -> tuple[optax.GradientTransformationExtraArgs, Callable]:
        kind = cell.epsilon, cell.shots
        if self._held is None or self._held[0] != kind:
            transformation = self._transformation(cell)

            @jax.jit
            def step(params: PyTree, state: PyTree, batch: Batch) -> tuple[PyTree, PyTree]:
                gradients = jax.grad(self._task.objective)(params, batch)
                updates, state = transformation.update(gradients, state, params, batch=batch)
                return optax.apply_updates(params, updates), state

            self._held = kind, transformation, step
        return self._held[1:]

    def _transformation(self, cell: Cell) -> optax.GradientTransformationExtraArgs:
        solver: lx.AbstractLinearSolver = Cholesky()
        tolerance = 0.1
        if cell.epsilon is not None:
            measurement = Infinite() if cell.shots is None else Shots(cell.shots)
            # By a fit even without shots, so that cells with and without them differ in the shots alone.
            emulated = EmulatedQSVT(cell.epsilon, measurement=measurement, length=LineFit())
            # Of a single candidate nothing is compared, so no machine need be measured.
            nobody = ClassicalMachine("none", self._options["dtype"], ())
            solver, tolerance = Hybrid([emulated], classical=nobody), residual_tolerance([emulated])
        return newton(
            self._task.objective,
            partition=make("partition", self._options["partition"], "partition"),
            conditioning=(Damp(self._options["damping"]),),
            solver=solver,
            residual_tolerance=tolerance,
        )


def _largest_kappa(blocks: Sequence[Any]) -> float:
    return math.exp(max(float(block.plan.estimate.log_condition_number) for block in blocks))


def answer(records: Sequence[NoiseCell]) -> dict[str, Any]:
    """Return the shots and epsilons that do as well as exact solves, to `TOLERANCE` in the mean over the seeds.

    A number of shots is enough where all larger ones of the grid do as well, and an epsilon small enough where all
    smaller ones do, so that a lucky cell decides nothing.

    Args:
        records: of all cells.
    """
    exact = _mean([r.test_accuracy[-1] for r in records if r.epsilon is None])
    grid: dict[tuple[float, int | None], list[NoiseCell]] = {}
    for record in records:
        if record.epsilon is not None:
            grid.setdefault((record.epsilon, record.shots), []).append(record)
    epsilons = sorted({epsilon for epsilon, _ in grid}, reverse=True)
    shots = sorted({number for _, number in grid}, key=_size)

    def summary(epsilon: float, number: int | None) -> dict[str, Any]:
        own = grid[epsilon, number]
        accuracy = _mean([r.test_accuracy[-1] for r in own])
        return {
            "shots": number,
            "test_accuracy": accuracy,
            "train_loss": _mean([r.train_loss[-1] for r in own]),
            "executed_queries": _mean([_sum(r.executed_queries or ()) for r in own]),
            # Accuracies are fractions of whole numbers: no rounding may decide.
            "reached": accuracy >= exact - TOLERANCE - 1e-6,
        }

    by_epsilon, by_shots = [], []
    for epsilon in epsilons:
        row = [summary(epsilon, number) for number in shots]
        enough = _last_run([cell["reached"] for cell in row])
        by_epsilon.append(
            {
                "epsilon": epsilon,
                "reached": enough is not None,
                "smallest_shots": None if enough is None else shots[enough],
                "cells": row,
            }
        )
    for index, number in enumerate(shots):
        small = _last_run([row["cells"][index]["reached"] for row in by_epsilon])
        by_shots.append({"shots": number, "largest_epsilon": None if small is None else epsilons[small]})
    found = {
        "tolerance": TOLERANCE,
        "exact_accuracy": exact,
        "shots": shots,
        "by_epsilon": by_epsilon,
        "by_shots": by_shots,
    }
    return plain(found | _best(by_epsilon, by_shots))


def _best(by_epsilon: list[dict[str, Any]], by_shots: list[dict[str, Any]]) -> dict[str, Any]:
    reaching = [row for row in by_epsilon if row["reached"]]
    fewest = min(reaching, key=lambda row: _size(row["smallest_shots"]), default=None)
    largest = max((r["largest_epsilon"] for r in by_shots if r["largest_epsilon"] is not None), default=None)
    return {
        "reached": fewest is not None,
        "smallest_shots": fewest and fewest["smallest_shots"],
        "at_epsilon": fewest and fewest["epsilon"],
        "largest_epsilon": largest,
    }


def _last_run(reached: Sequence[bool]) -> int | None:
    """Return the start of the final run of successes; None if the last is none."""
    first = None
    for index in reversed(range(len(reached))):
        if not reached[index]:
            break
        first = index
    return first


def _mean(values: Sequence[float | None]) -> float:
    return float(np.mean(np.array(values, float)))


def _sum(values: Sequence[float | None]) -> float:
    # None, in the files, is what was not finite; numpy makes it NaN.
    return float(np.sum(np.array(values, float)))


def _size(shots: int | None) -> float:
    return math.inf if shots is None else shots
