"""Learning curves with emulated quantum solves, against their error epsilon and their number of shots."""

import json
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

from ..conditioning import Damp
from ..hardware import ClassicalMachine
from ..optim.newton import newton
from ..scheduling import Hybrid
from ..solvers import Cholesky
from .build import PARTITIONS, make_quantum, residual_tolerance
from .options import SchedulingOptions
from .provenance import provenance
from .rundir import RunDirectory, jsonable
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
        """What it is called, on disk and to the user."""
        if self.epsilon is None:
            return f"exact-seed-{self.seed}"
        return f"epsilon-{self.epsilon!r}-shots-{'inf' if self.shots is None else self.shots}-seed-{self.seed}"


class GridDirectory(RunDirectory):
    """The directory of a grid: options, one file per cell that is done, and what follows from all of them."""

    def __init__(self, path: Path, head: dict[str, Any]):
        super().__init__(path)
        self._head = head

    @classmethod
    def open(cls, path: Path | None, prefix: str, version: int, options: dict[str, Any]) -> "GridDirectory":
        """Make the directory, or take up the same grid again.

        Args:
            path: where; None takes the next free one under runs/.
            prefix: of the name there.
            version: of the files' schema.
            options: of the grid.

        Raises:
            ValueError: if the directory holds a grid of other options; names the first of them.
            FileExistsError: if it holds anything else.
        """
        file = None if path is None else path / "options.json"
        if path is not None and file is not None and file.exists():
            head = _read(file)
            _refuse_others(path, head, {"schema_version": version, **jsonable(options)})
            return cls(path, head)
        head = jsonable({"schema_version": version, "options": options, **provenance()})
        made = cls(RunDirectory.create(path, prefix).path, head)
        made.write("options.json", head)
        return made

    def done(self, cell: Cell) -> dict[str, Any] | None:
        """The record of a cell that is done; None where it is not."""
        file = self._file(cell)
        return _read(file) if file.exists() else None

    def add(self, cell: Cell, record: dict[str, Any]) -> None:
        """Write the record of a cell, whole or not at all."""
        self._file(cell).parent.mkdir(exist_ok=True)
        self.write(f"cells/{self._file(cell).name}", record)

    def finish(self, records: Sequence[dict[str, Any]], found: dict[str, Any]) -> None:
        """Write `noise.json`, unless a former call did."""
        if not (self.path / "noise.json").exists():
            self.write("noise.json", {**self._head, "answer": found, "curves": list(records)})

    def _file(self, cell: Cell) -> Path:
        return self.path / "cells" / f"{cell.name}.json"


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{file} is not a JSON file ({error}), and nothing is overwritten: delete it to have it made again"
        ) from None


def _refuse_others(path: Path, head: dict[str, Any], asked: dict[str, Any]) -> None:
    there = {"schema_version": head.get("schema_version"), **head.get("options", {})}
    for name, value in asked.items():
        if there.get(name) != value:
            shown = [_words(v) for v in (value, there.get(name))]
            option = name if name in ("schema_version", "task") else f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{option} is {shown[0]}, and {path} holds a grid with {shown[1]}: nothing is ever overwritten. Name "
                "another --out, or give the options of the grid to go on with it"
            )


def _words(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return " ".join("inf" if v is None else f"{v:g}" if isinstance(v, float) else str(v) for v in values)


def cells(options: dict[str, Any]) -> Iterator[Cell]:
    """All trainings, the exact ones first; the seeds of a solver follow each other, since they share its program."""
    seeds = options["seeds"]
    yield from (Cell(None, None, seed) for seed in seeds)
    for epsilon in options["epsilons"]:
        for shots in options["shots"]:
            yield from (Cell(epsilon, shots, seed) for seed in seeds)


def run_grid(
    options: dict[str, Any], directory: GridDirectory, tell: Callable[[str], None] = lambda _: None
) -> list[dict[str, Any]]:
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


def _run_grid(options: dict[str, Any], directory: GridDirectory, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    chosen = list(cells(options))
    trainer, records = None, []
    for number, cell in enumerate(chosen, start=1):
        record, seconds = directory.done(cell), "done before"
        if record is None:
            trainer = trainer or _Trainer(make_task(options["task"], options["dtype"]), options)
            start = time.perf_counter()
            curves = trainer.curves(cell)
            taken = time.perf_counter() - start
            record = jsonable(
                {"epsilon": cell.epsilon, "shots": cell.shots, "seed": cell.seed, **curves, "measured_seconds": taken}
            )
            directory.add(cell, record)
            seconds = f"{taken:.1f} s"
        accuracy = record["test_accuracy"][-1]
        tell(f"[{number}/{len(chosen)}] {cell.name}: test accuracy {accuracy:.3f}, {seconds}")
        records.append(record)
    return records


class _Trainer:
    """Trainings of one task; the program of a solver is compiled once for its seeds."""

    def __init__(self, task: Task, options: dict[str, Any]):
        self._task, self._options = task, options
        self._held: tuple[Any, Any, Callable] | None = None

        accuracy = task.accuracy
        if accuracy is None:
            raise ValueError(f"the grid compares accuracies, and {task.name} has none: take a task that classifies")

        @jax.jit
        def evaluate(params: Any) -> tuple:
            losses = (mean(task.objective, params, data.batch) for data in (task.train, task.test))
            return *losses, mean(accuracy, params, task.test.batch)

        self._evaluate = evaluate

    def curves(self, cell: Cell) -> dict[str, list[Any] | None]:
        """Losses and accuracy before the first step and after each; of each step what the circuits did."""
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
            [float(v) for v in values] for values in zip(*jax.device_get(points), strict=True)
        )
        return {
            "train_loss": train_loss,
            "test_loss": test_loss,
            "test_accuracy": accuracy,
            "accepted": [bool(info.accepted) for info in reports],
            "relative_residual": [max(float(b.relative_residual) for b in info.blocks) for info in reports],
            "condition_number": None if cell.epsilon is None else [_largest_kappa(info.blocks) for info in reports],
            "executed_queries": (
                None
                if cell.epsilon is None
                else [sum(float(block.executed.queries) for block in info.blocks) for info in reports]
            ),
        }

    def _program(self, cell: Cell) -> tuple[optax.GradientTransformationExtraArgs, Callable]:
        kind = cell.epsilon, cell.shots
        if self._held is None or self._held[0] != kind:
            transformation = self._transformation(cell)

            @jax.jit
            def step(params: Any, state: Any, batch: Any) -> tuple[Any, Any]:
                gradients = jax.grad(self._task.objective)(params, batch)
                updates, state = transformation.update(gradients, state, params, batch=batch)
                return optax.apply_updates(params, updates), state

            self._held = kind, transformation, step
        return self._held[1:]

    def _transformation(self, cell: Cell) -> optax.GradientTransformationExtraArgs:
        solver: lx.AbstractLinearSolver = Cholesky()
        tolerance = 0.1
        if cell.epsilon is not None:
            scheduling = SchedulingOptions(
                solvers=("qlsa",), precision=cell.epsilon, fidelity="emulated", shots=cell.shots
            )
            # Of a single candidate nothing is compared, so no machine need be measured.
            nobody = ClassicalMachine("none", self._options["dtype"], ())
            solver, tolerance = Hybrid([make_quantum(scheduling)], classical=nobody), residual_tolerance(scheduling)
        return newton(
            self._task.objective,
            partition=PARTITIONS[self._options["partition"]],
            conditioning=(Damp(self._options["damping"]),),
            solver=solver,
            residual_tolerance=tolerance,
        )


def _largest_kappa(blocks: Sequence[Any]) -> float:
    return math.exp(max(float(block.plan.estimate.log_condition_number) for block in blocks))


def answer(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Which shots and which epsilons do as well as exact solves, to `TOLERANCE` in the mean over the seeds.

    A number of shots is enough where all larger ones of the grid do as well, and an epsilon small enough where all
    smaller ones do, so that a lucky cell decides nothing.

    Args:
        records: of all cells.
    """
    exact = float(np.mean([r["test_accuracy"][-1] for r in records if r["epsilon"] is None]))
    grid: dict[tuple[float, int | None], list[dict[str, Any]]] = {}
    for record in records:
        if record["epsilon"] is not None:
            grid.setdefault((record["epsilon"], record["shots"]), []).append(record)
    epsilons = sorted({epsilon for epsilon, _ in grid}, reverse=True)
    shots = sorted({number for _, number in grid}, key=_size)

    def summary(epsilon: float, number: int | None) -> dict[str, Any]:
        own = grid[epsilon, number]
        accuracy = float(np.mean([r["test_accuracy"][-1] for r in own]))
        return {
            "shots": number,
            "test_accuracy": accuracy,
            "train_loss": _mean([r["train_loss"][-1] for r in own]),
            "executed_queries": _mean([_sum(r["executed_queries"]) for r in own]),
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
    return jsonable(found | _best(by_epsilon, by_shots))


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
    """Where the run of successes begins that goes on to the end; None where the last is none."""
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
