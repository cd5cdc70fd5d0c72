"""The training loop: options in, run files out."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
import scipy.linalg  # noqa: F401  # threadpoolctl sees only libraries that are loaded
import threadpoolctl
from jaxtyping import PyTree

from ..core.memory import check_block_fits
from ..curvature import Batch, Block
from ..optim import assign, newton
from ..scheduling import Hybrid
from . import build
from .calibrations import snapshot
from .complete_ledger import CompleteLedger
from .interrupts import finish_before_interrupt
from .ledger import Ledger
from .options import TrainOptions
from .provenance import provenance
from .rundir import SCHEMA_VERSION, RunDirectory
from .stages import measure_stages
from .task_options import options_of
from .tasks import check_task, make_task
from .tasks.base import Task, batches
from .tasks.evaluation import mean
from .timing import SolveTimer
from .workers import Workers

LARGEST_MEASURED = 4096
"""Rows of the largest system that calibration measures."""


class Watcher(Protocol):
    """Whoever shows the progress of a run."""

    def stage(self, what: str) -> None:
        """A new stage of the preparation begins."""
        ...

    def step(self, step: dict[str, Any], blocks: list[dict[str, Any]]) -> None:
        """A step is done and recorded."""
        ...


class TrainingFailed(Exception):
    """The training cannot go on; what was recorded stays in the run directory."""


def train(name: str, options: TrainOptions, directory: RunDirectory, watcher: Watcher) -> dict[str, Any]:
    """Train a task and write its run files (all but the report).

    Args:
        name: of the task.
        options: of the run.
        directory: fresh.
        watcher: is told of every stage and step.

    Returns:
        The summary, as written. Also after Ctrl-C, with status `interrupted` and the steps done so far.

    Raises:
        ValueError, MemoryError: for options that cannot work, before the first step.
        TrainingFailed: if the loss of a batch is not finite.
    """
    build.check(options)
    with (
        jax.enable_x64(options.training.dtype == "float64"),
        # jax factorises through scipy's BLAS, whose threads spin for each other on cores that are few or shared.
        threadpoolctl.threadpool_limits(options.training.blas_threads, user_api="blas"),
    ):
        return _train(name, options, directory, watcher)


def _train(name: str, options: TrainOptions, directory: RunDirectory, watcher: Watcher) -> dict[str, Any]:
    check_task(name)
    options = dataclasses.replace(options, task=options_of(name, options.task))
    watcher.stage("loading data")
    task = make_task(name, options.training.dtype, options.task)
    watcher.stage(f"data: {task.source}")
    params = task.init(jax.random.key(options.training.seed))

    prepared = _prepare_complete(task, options, params)
    calibrating = 0.0
    if prepared is None:
        watcher.stage("calibrating this machine")
        calibrating = time.perf_counter()
        prepared = _prepare(task, options, params)
        calibrating = time.perf_counter() - calibrating
    ledger = prepared.ledger
    config = {
        "schema_version": SCHEMA_VERSION,
        "task": task.name,
        "preset": options.preset,
        "optimizer": prepared.name,
        "options": dataclasses.asdict(options),
        "seed": options.training.seed,
        **provenance(),
        "model": {
            "description": task.model,
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
            "blocks": [{"name": block.name, "n": block.n} for block in prepared.blocks],
        },
        "data": {
            "description": task.source,
            "train": len(task.train),
            "test": len(task.test),
            "batch": min(options.training.batch_size, len(task.train)),
        },
    }
    directory.write("config.json", config)
    if prepared.calibration is not None:
        found = {"machine": config["machine"], **prepared.calibration, "measured_seconds": calibrating}
        directory.write("calibration.json", found)

    watcher.stage("compiling the step")
    compiling = time.perf_counter()
    loop = _Loop(task, prepared, options, params)
    compiling = time.perf_counter() - compiling
    status, written = "finished", 0
    try:
        for _ in range(options.training.steps):
            with finish_before_interrupt():
                step, blocks = loop.advance(ledger)
                if blocks:
                    directory.append("blocks.jsonl", blocks)
                directory.append("steps.jsonl", [step])
                written = len(ledger.steps)
            watcher.step(step, blocks)
            _check_finite(step, options.optimizer)
    except KeyboardInterrupt:
        status = "interrupted"
        # Ctrl-C can come between a step's record and its lines, most likely while it is evaluated.
        if written < len(ledger.steps):
            blocks = [line for line in ledger.blocks if line["step"] >= written]
            if blocks:
                directory.append("blocks.jsonl", blocks)
            directory.append("steps.jsonl", ledger.steps[written:])
    final = loop.evaluate()
    stepping = sum(step["measured_seconds"] for step in ledger.steps)
    evaluating = sum(step["measured_evaluation_seconds"] for step in ledger.steps)
    summary = {
        "schema_version": SCHEMA_VERSION,
        "task": task.name,
        "preset": options.preset,
        "optimizer": prepared.name,
        "status": status,
        "steps": len(ledger.steps),
        "final_loss": final["train_loss"],
        "test_loss": final["test_loss"],
        "test_accuracy": final["test_accuracy"],
        "measured_seconds": stepping + evaluating,
        "measured_breakdown": {
            "steps": stepping,
            "evaluations": evaluating,
            "compilation": compiling,
            "calibration": calibrating,
        },
        **ledger.totals(),
    }
    directory.write("summary.json", summary)
    if not math.isfinite(final["train_loss"]):
        where = "over all training data after the last step"
        raise TrainingFailed(_diverged(where, final["train_loss"], options.optimizer))
    return summary


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """What a run needs before it compiles.

    Attributes:
        name: of the optimizer.
        optimizer: the transformation.
        ledger: of the run.
        blocks: of the scheduled systems; empty of a complete optimizer.
        calibration: for `calibration.json`; None where nothing is predicted.
        deal: between two steps; None of a complete optimizer.
        timer: of solves; None where none are timed.
    """

    name: str
    optimizer: optax.GradientTransformationExtraArgs
    ledger: Ledger | CompleteLedger
    blocks: Sequence[Block] = ()
    calibration: dict[str, Any] | None = None
    deal: "_Deal | None" = None
    timer: SolveTimer | None = None


def _prepare_complete(task: Task, options: TrainOptions, params: PyTree) -> _Prepared | None:
    """The complete optimizer that the options name; None where they name the scheduled one."""
    if options.optimizer not in build.COMPLETE:
        return None
    batch = next(batches(task.train, options.training.batch_size, options.training.seed))
    optimizer = build.COMPLETE[options.optimizer](task.objective, params, batch)
    return _Prepared(build.name_of(optimizer, params), optimizer, CompleteLedger())


def _prepare(task: Task, options: TrainOptions, params: PyTree) -> _Prepared:
    """Calibrate, and build the optimizer and the ledger upon it."""
    objective, dtype = task.objective, options.training.dtype
    curvature = build.CURVATURES[options.step.curvature]
    partition = build.PARTITIONS[options.step.partition]
    conditioning = build.make_conditioning(options.conditioning)
    adaptation = build.make_adaptation(options.conditioning)
    blocks = partition(params)
    for block in () if build.never_forms(options) else blocks:
        check_block_fits(block.name, block.n, jnp.dtype(dtype).itemsize)
    # Measure up to the largest system of this run, so that predictions do not extrapolate; far beyond these sizes the
    # operation count takes over, and measuring would take as long as training.
    largest = min(LARGEST_MEASURED, max(block.n for block in blocks))
    sizes = sorted({n for n in (2, 16, 64, 256, 1024) if n < largest} | {1, 2, 4, largest})
    frozen = snapshot(
        options.scheduling.calibration,
        build.make_solvers(options.scheduling),
        dtype=dtype,
        blas_threads=options.training.blas_threads,
        sizes=sizes,
    )
    policy = build.make_policy(options.policy, options.scheduling)
    hybrid = build.make_hybrid(options.scheduling, policy, frozen.corrected)
    workers = build.make_workers(options.policy, hybrid)
    optimizer = newton(
        objective,
        build.make_schedule(options.step, options.training.steps),
        curvature=curvature,
        partition=partition,
        conditioning=conditioning,
        solver=hybrid,
        adaptation=adaptation,
        clip=options.step.clip,
        residual_tolerance=build.residual_tolerance(options.scheduling),
    )
    batch = next(batches(task.train, options.training.batch_size, options.training.seed))
    stages = measure_stages(
        objective,
        curvature,
        conditioning,
        hybrid.estimator,
        blocks,
        params,
        batch,
        tries=adaptation.tries,
        unformed=build.keeps_unformed(options),
    )
    gate_times = sorted({options.scheduling.gate_time_s, *options.scheduling.gate_times_s}, reverse=True)
    ledger = Ledger(hybrid, blocks, stages, gate_times, workers)
    calibration = {**frozen.record(), "stages": dataclasses.asdict(stages)}
    timer = None
    if options.training.time_solves:
        timer = SolveTimer(
            objective, curvature, conditioning, blocks, hybrid, dtype, unformed=build.keeps_unformed(options)
        )
    return _Prepared("newton", optimizer, ledger, blocks, calibration, _Deal(hybrid, workers), timer)


@dataclasses.dataclass(frozen=True)
class _Deal:
    """Deals the blocks of the next step out, where workers share them."""

    hybrid: Hybrid
    workers: Workers | None

    def __call__(self, state: Any, next_step: int) -> Any:
        if self.workers is None:
            return state
        return assign(state, self.hybrid, self.workers.at(next_step))[0]


class _Loop:
    """The state of a training and its compiled functions."""

    def __init__(self, task: Task, prepared: _Prepared, options: TrainOptions, params: PyTree):
        optimizer: Any = prepared.optimizer
        self._task, self._options, self._deal, self._timer = task, options, prepared.deal, prepared.timer
        self._size = min(options.training.batch_size, len(task.train))
        self._batches = batches(task.train, self._size, options.training.seed)
        self._params, self._state = params, optimizer.init(params)
        self._done = 0

        def step(params: PyTree, state: Any, batch: Batch) -> tuple[PyTree, Any]:
            gradients = jax.grad(task.objective)(params, batch)
            updates, state = optimizer.update(gradients, state, params, batch=batch)
            return optax.apply_updates(params, updates), state

        def evaluate(params: PyTree, train: Batch, test: Batch) -> tuple:
            losses = (mean(task.objective, params, data) for data in (train, test))
            return *losses, None if task.accuracy is None else mean(task.accuracy, params, test)

        first = next(batches(task.train, self._size, options.training.seed))
        self._step: Callable = jax.jit(step).lower(self._params, self._state, first).compile()
        self._evaluate: Callable = jax.jit(evaluate).lower(self._params, task.train.batch, task.test.batch).compile()

    def advance(self, ledger: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """One step, recorded and, when its turn has come, evaluated."""
        batch, before = next(self._batches), self._params
        start = time.perf_counter()
        self._params, self._state = jax.block_until_ready(self._step(self._params, self._state, batch))
        seconds = time.perf_counter() - start
        info = jax.device_get(self._state.info)
        epoch = self._done * self._size / len(self._task.train)
        step, blocks = ledger.record(info, epoch=epoch, measured_seconds=seconds)
        if self._timer is not None and self._done % self._options.training.time_solves == 0:
            timed, probe = self._timer(before, batch, info.blocks)
            for line, own in zip(blocks, timed, strict=True):
                line.update(timed=own, probe_seconds=probe)
        self._done += 1
        if self._deal is not None and self._done < self._options.training.steps:
            self._state = self._deal(self._state, self._done)
        if self._done % self._options.training.evaluate_every == 0 or self._done == self._options.training.steps:
            step.update(self.evaluate())
        return step, blocks

    def evaluate(self) -> dict[str, Any]:
        """Loss and accuracy over all data at the present parameters, and what finding them took."""
        start = time.perf_counter()
        values = jax.block_until_ready(self._evaluate(self._params, self._task.train.batch, self._task.test.batch))
        seconds = time.perf_counter() - start
        train_loss, test_loss, accuracy = values
        return {
            "train_loss": float(train_loss),
            "test_loss": float(test_loss),
            "test_accuracy": None if accuracy is None else float(accuracy),
            "measured_evaluation_seconds": seconds,
        }


def _check_finite(step: dict[str, Any], optimizer: str) -> None:
    if not math.isfinite(step["loss"]):
        raise TrainingFailed(_diverged(f"of the batch at step {step['step']}", step["loss"], optimizer))


def _diverged(which: str, loss: float, optimizer: str) -> str:
    remedy = "Lower --learning-rate, raise --damping, or look" if optimizer == "newton" else "Look"
    return (
        f"the loss {which} is {loss}: the parameters or the data left the floating-point range. {remedy} for NaN in "
        "the data. The steps up to here are in the run directory"
    )
