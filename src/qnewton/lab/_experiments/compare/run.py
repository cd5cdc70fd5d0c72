"""Tuning and training of all methods, cell by cell, in a directory from which a stopped comparison resumes."""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import scipy.linalg  # noqa: F401  # threadpoolctl sees only libraries that are loaded
import threadpoolctl

from ...._hardware import calibration_environment, store_calibration
from ...._scheduling import calibrate
from ..._runfile import COMPARE_VERSION, CompareCell, GridHead, StepLine, SystemLine, read_run
from .. import build, checks
from ..grid import Grid
from ..held import Held
from ..interrupts import stopped_by
from ..options import TaskOptions, TrainOptions
from ..own_task import short
from ..provenance import provenance
from ..runner import TrainingFailed, train
from ..task_options import options_of
from ..tasks import check_task, make_task
from .methods import LARGEST_DENSE, METHODS, STAND_IN, Method, check_methods, missing
from .tuning import TuningTrial, best_value, beyond_the_edge, next_round

POINTS = 50
"""Evaluations of a training, at equal distances of its budget."""
LARGEST_CALIBRATED = 2048
"""Rows of the largest system that calibration measures: what is beyond is extrapolated by its operations."""
LEAST_STEPS = 12
"""Of every training that seconds limit: with fewer there is nothing to see of a method whose step takes long."""
UNLIMITED = 1_000_000
"""Steps of a training that only seconds limit."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        method: its name.
        value: of the tuned number; None: untuned.
        seed: of the parameters and of the order of the batches.
    """

    method: str
    value: float | None
    seed: int

    @property
    def name(self) -> str:
        """Name of the cell's directory."""
        value = "" if self.value is None else f"-{METHODS[self.method].tuned}-{self.value:g}".replace("_", "-")
        return f"{self.method}{value}-seed-{self.seed}"


@dataclass(frozen=True)
class Comparison:
    """A comparison: its options, and its directory.

    Attributes:
        directory: with options.json, the cells, and what follows from them.
        task: its name.
        task_options: its sizes and data.
        methods: names.
        seeds: that are reported.
        seconds: measured seconds of steps of every training, which takes `LEAST_STEPS` at least; None: `steps` limits.
        steps: of every training; None: `seconds` limits.
        trials: of every tuned method, before its grid is extended.
        batch_size: examples per step.
        dtype: of everything.
        gate_time_s: of the quantum machine.
    """

    directory: Grid[GridHead]
    task: str
    task_options: TaskOptions
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    seconds: float | None
    steps: int | None
    trials: int
    batch_size: int
    dtype: str
    gate_time_s: float

    @property
    def tuning_seed(self) -> int:
        """Seed for tuning, distinct from the reported ones."""
        return next(seed for seed in range(len(self.seeds) + 1) if seed not in self.seeds)

    def cell_path(self, cell: Cell) -> Path:
        """Return the cell's run directory."""
        return self.directory.path / "cells" / cell.name

    def done(self, cell: Cell) -> CompareCell | None:
        """The record of a cell; None where it is not done."""
        return self.directory.done(f"cells/{cell.name}/cell.json", CompareCell, **vars(cell))


def open_comparison(path: Path | None, options: dict[str, Any], task_options: TaskOptions) -> Comparison:
    """Make the directory, or resume the same comparison.

    Args:
        path: where; None takes the next free one under runs/.
        options: the fields of `Comparison` but the first and the third; what decides the cells.
        task_options: of the task.

    Raises:
        ValueError: for an unknown task or method, and for a directory of another comparison; names what differs.
        FileExistsError: for a directory of something else.
    """
    check_task(options["task"])
    check_methods(options["methods"])
    task_options = options_of(options["task"], task_options)
    sizes = {f"task {name}": value for name, value in vars(task_options).items()}
    head = GridHead(schema_version=COMPARE_VERSION, options=options | sizes, **provenance())
    directory = Grid.open(path, f"compare-{short(options['task'])}", "options.json", head)
    (directory.path / "cells").mkdir(exist_ok=True)
    return Comparison(directory=directory, task_options=task_options, **options)


def run_comparison(comparison: Comparison, tell: Tell = lambda _: None) -> dict[str, Any]:
    """Tune every method, then train it from every seed; finished cells are not repeated.

    All methods take one trial, or one seed, before any of them takes the next, so that a machine that drifts is the
    same for all. A trial is judged by the lowest held-out loss within its budget; one that diverged is lost, and
    counts as a trial.

    Args:
        comparison: as opened.
        tell: called with a line per training.

    Returns:
        What was found out in tuning: `methods`, a list with `trials`, `rounds` and the chosen `value` of each, and
        `left_out`, method to reason.
    """
    with (
        jax.enable_x64(comparison.dtype == "float64"),
        threadpoolctl.threadpool_limits(1, user_api="blas"),
    ):
        return _Runner(comparison, tell).run()


class _Runner:
    def __init__(self, comparison: Comparison, tell: Tell):
        self._comparison, self._tell, self._held = comparison, tell, Held()
        self._done = 0
        problem = self._held.of_task(
            "task",
            comparison.task,
            self._base(TrainOptions()),
            lambda: make_task(comparison.task, comparison.dtype, comparison.task_options),
        )
        self._judged_by_accuracy = problem.accuracy is not None
        self.largest = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(problem.init, jax.random.key(0))))
        reasons = {name: missing(name, self.largest) for name in comparison.methods}
        self.left_out = {name: reason for name, reason in reasons.items() if reason is not None}
        taking_part = [name for name in comparison.methods if name not in self.left_out]
        self._trained = [METHODS[name] for name in taking_part if METHODS[name].trained(self.largest)]
        self._priced = [METHODS[name] for name in taking_part if not METHODS[name].trained(self.largest)]
        if self._priced and STAND_IN not in taking_part:
            raise ValueError(
                f"--methods names newton-lu without {STAND_IN}: above {LARGEST_DENSE:,} rows (here {self.largest:,}) "
                f"its solves are predicted for the steps that {STAND_IN} takes, so name both"
            )

    def run(self) -> dict[str, Any]:
        trials = self._tune()
        found = []
        chosen = {method.name: best_value(trials[method.name]) for method in self._trained}
        self._tell("training with what was found")
        for seed in self._comparison.seeds:
            for method in self._trained:
                self._cell(Cell(method.name, chosen[method.name], seed))
        for method in (*self._trained, *self._priced):
            own = trials[method.name if method in self._trained else STAND_IN]
            value = best_value(own)
            found.append(
                {
                    "name": method.name,
                    "value": value,
                    "on_the_edge": method.tuned is not None and beyond_the_edge(own, method) is not None,
                    "trials": [vars(trial) for trial in own],
                    "trained": method in self._trained,
                }
            )
        order = {name: place for place, name in enumerate(self._comparison.methods)}
        found.sort(key=lambda entry: order[entry["name"]])
        return {"methods": found, "left_out": self.left_out, "rows": self.largest}

    def _tune(self) -> dict[str, list[TuningTrial]]:
        tuned = [method for method in self._trained if method.tuned is not None]
        trials: dict[str, list[TuningTrial]] = {method.name: [] for method in self._trained}
        self._tell(f"tuning on seed {self._comparison.tuning_seed}, which is not reported")
        for method in self._trained:
            if method.tuned is None:
                # Nothing to choose from; but whoever is reported has compiled and run once before.
                self._cell(Cell(method.name, None, self._comparison.tuning_seed))
        plan = {method.name: list(method.grid.first(self._comparison.trials)) for method in tuned}
        turn = 0
        while plan:
            for place in range(max(len(values) for values in plan.values())):
                for method in tuned:
                    if place < len(plan[method.name]):
                        value = plan[method.name][place]
                        trials[method.name].append(self._trial(method, value, turn))
            turn += 1
            plan = next_round({method.name: (method, trials[method.name]) for method in tuned}, turn)
            if plan:
                edges = [method.label for method in tuned if beyond_the_edge(trials[method.name], method)]
                self._tell(f"one more trial for everyone: the best is on the edge of the grid of {', '.join(edges)}")
        return trials

    def _trial(self, method: Method, value: float, turn: int) -> TuningTrial:
        cell = Cell(method.name, value, self._comparison.tuning_seed)
        record = self._cell(cell)
        return TuningTrial(value, record.lowest_test_loss, record.status, record.steps, turn)

    def _cell(self, cell: Cell) -> CompareCell:
        """The record of a cell, trained unless it was before."""
        record, before = self._comparison.done(cell), ", done before"
        if record is None:
            record, before = self._train(cell), ""
        self._done += 1
        lowest = record.lowest_test_loss
        found = f"held-out loss {lowest:.4g}" if lowest is not None else "no finite loss"
        outcome = found if record.status == "finished" else f"diverged ({found} before)"
        self._tell(
            f"[{self._done}] {cell.name}: {outcome}, {record.steps} steps, measured "
            f"{record.measured_seconds:.2f} s{before}"
        )
        return record

    def _train(self, cell: Cell) -> CompareCell:
        method = METHODS[cell.method]
        options = self._base(method.options(self.largest, self._comparison.gate_time_s))
        if method.scheduled:
            calibration = str(self._calibration())
            options = replace(options, scheduling=replace(options.scheduling, calibration=calibration))
        options = method.with_value(options, cell.value)
        options = replace(options, training=replace(options.training, seed=cell.seed))
        checks.check(options)
        with self._comparison.directory.building(f"cells/{cell.name}") as directory:
            reason = None
            try:
                summary = train(self._comparison.task, options, directory, _Silent(), self._held)
                if summary.status == "interrupted":
                    raise stopped_by(summary)
            except TrainingFailed as error:
                reason = str(error)
            steps = read_run(directory.path).steps
            record = CompareCell(
                method=cell.method,
                value=cell.value,
                seed=cell.seed,
                status="finished" if reason is None else "diverged",
                reason=reason,
                steps=len(steps),
                measured_seconds=sum(step.measured_seconds for step in steps),
                lowest_test_loss=min((s.test_loss for s in steps if s.test_loss is not None), default=None),
            )
            directory.write("cell.json", record)
        return record

    def _base(self, options: TrainOptions) -> TrainOptions:
        """The options with the budget that all methods share."""
        comparison = self._comparison
        limits: dict[str, Any] = {"steps": UNLIMITED, "seconds": comparison.seconds, "least_steps": LEAST_STEPS}
        if comparison.seconds is None:
            assert comparison.steps is not None, "one of the two limits"
            limits = {"steps": comparison.steps, "evaluate_every": math.ceil(comparison.steps / POINTS)}
        else:
            limits["evaluate_seconds"] = comparison.seconds / POINTS
        training = replace(options.training, batch_size=comparison.batch_size, dtype=comparison.dtype, **limits)
        return replace(options, task=comparison.task_options, training=training)

    def _calibration(self) -> Path:
        """Return the one snapshot of this machine that all predictions of the comparison use."""
        folder = self._comparison.directory.path / "calibration"
        with contextlib.suppress(FileNotFoundError):
            stored = sorted(folder.glob("*.json"))
            if stored:
                return stored[-1]
        self._tell("calibrating this machine for predictions")
        needed = {
            name: solver
            for method in self._trained
            if method.scheduled
            for name, solver in _solvers(method, self.largest, self._comparison.gate_time_s).items()
        }
        dtype = self._comparison.dtype
        largest = min(LARGEST_CALIBRATED, self.largest)
        sizes = sorted({n for n in (2, 16, 64, 256, 1024) if n < largest} | {1, 2, 4, largest})
        machine = calibrate(tuple(needed.values()), dtype=dtype, sizes=sizes)
        return store_calibration(machine, calibration_environment(dtype, 1), folder).path


class _Silent:
    """Silent watcher of a training: one line per training is enough."""

    def stage(self, what: str) -> None:
        pass

    def step(self, step: StepLine, blocks: Sequence[SystemLine]) -> None:
        pass


def _solvers(method: Method, largest: int, gate_time_s: float) -> dict[str, Any]:
    scheduling = method.options(largest, gate_time_s).scheduling
    return dict(zip(scheduling.solvers, build.make_solvers(scheduling), strict=True))
